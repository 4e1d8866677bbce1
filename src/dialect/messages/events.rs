//! Events of a stream that the gateway writes itself.

use bytes::BytesMut;

use super::message::Part;
use crate::dialect::raw::{self, Patch, quote};
use crate::dialect::sse;

/// How much of a string one delta carries, bytes: less than the smallest frame that may be configured.
const PIECE: usize = 512;

/// Writes a content block as the events of a stream, under this index; `arguments` are what a call's deltas
/// carry, where its block could not take them.
pub fn write_block(index: u32, block: &str, arguments: Option<&str>, out: &mut BytesMut) {
    let (start, deltas) = split(block, arguments);
    let event = format!(r#"{{"type":"content_block_start","index":{index},"content_block":{start}}}"#);
    sse::write("content_block_start", &event, out);
    for delta in deltas {
        let event = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        sse::write("content_block_delta", &event, out);
    }
    sse::write("content_block_stop", &stop(index), out);
}

/// The event that closes the block at this index.
pub fn stop(index: u32) -> String {
    format!(r#"{{"type":"content_block_stop","index":{index}}}"#)
}

/// A block as its start has it, and the deltas that make it whole.
fn split(block: &str, arguments: Option<&str>) -> (String, Vec<String>) {
    let part = Part::read(block);
    let (mut patch, mut deltas) = (Patch::default(), Vec::new());
    match &*part.kind {
        "text" => {
            citations(&part, &mut patch, &mut deltas);
            string(&part, "text", "text_delta", PIECE, &mut patch, &mut deltas);
        }
        "thinking" => {
            string(&part, "thinking", "thinking_delta", PIECE, &mut patch, &mut deltas);
            // SDKs take the last signature, not the sum of its pieces.
            string(&part, "signature", "signature_delta", usize::MAX, &mut patch, &mut deltas);
        }
        "tool_use" | "server_tool_use" => {
            let input = part.fields.get("input").unwrap_or("{}");
            patch.set(block, &part.fields, "input", "{}");
            let written = Some(input).filter(|input| *input != "{}").or(arguments).map(quote);
            let written = written.as_deref().and_then(raw::inner).unwrap_or_default();
            deltas
                .extend(pieces(written, PIECE).map(|piece| delta("input_json_delta", "partial_json", piece)));
        }
        _ => {}
    }
    (patch.apply(block), deltas)
}

fn string(part: &Part<'_>, key: &str, kind: &str, piece: usize, patch: &mut Patch, deltas: &mut Vec<String>) {
    let Some(text) = part.fields.get(key).and_then(raw::inner) else { return };
    patch.set(part.json, &part.fields, key, "\"\"");
    deltas.extend(pieces(text, piece).map(|piece| delta(kind, key, piece)));
}

/// Citations come one by one, where that gives back the very array.
fn citations(part: &Part<'_>, patch: &mut Patch, deltas: &mut Vec<String>) {
    let citations = part.fields.array("citations");
    if !citations.is_empty() && part.fields.get("citations") == Some(&*format!("[{}]", citations.join(","))) {
        patch.set(part.json, &part.fields, "citations", "[]");
        let delta = |citation| format!(r#"{{"type":"citations_delta","citation":{citation}}}"#);
        deltas.extend(citations.into_iter().map(delta));
    }
}

fn delta(kind: &str, key: &str, escaped: &str) -> String {
    format!(r#"{{"type":"{kind}","{key}":"{escaped}"}}"#)
}

/// Cuts escaped string content into pieces that can each be decoded alone.
fn pieces(escaped: &str, size: usize) -> impl Iterator<Item = &str> {
    let mut rest = escaped;
    std::iter::from_fn(move || {
        let mut end = 0;
        while let Some(more) = rest.get(end..).filter(|more| !more.is_empty() && end < size) {
            end += character(more);
        }
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(end));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// How many bytes the first character takes: an escape is one, and so are the two of a surrogate pair.
fn character(escaped: &str) -> usize {
    let is_high_half = |escape: &str| {
        escape
            .get(2..4)
            .is_some_and(|digits| matches!(&*digits.to_ascii_lowercase(), "d8" | "d9" | "da" | "db"))
    };
    match escaped.as_bytes() {
        [b'\\', b'u', ..] if is_high_half(escaped) && escaped.get(6..8) == Some("\\u") => 12,
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        _ => escaped.chars().next().map_or(1, char::len_utf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_a_string_can_each_be_decoded() {
        let escaped = r#"a\"b\\é€\ud83d\ude00\u00e9\n\ud83d\ude00x\uD83D"#;
        for size in 1..40 {
            let pieces: Vec<_> = pieces(escaped, size).collect();
            assert_eq!(pieces.concat(), escaped);
            let told: String = pieces.iter().map(|piece| raw::unescape(piece)).collect();
            assert_eq!(told, raw::unescape(escaped), "{pieces:?}");
        }
    }
}
