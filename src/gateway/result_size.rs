use crate::domain::{Content, ToolResult};

/// What a part counts at least, bytes: many empty ones are not free.
const SMALLEST_PART: usize = 32;

/// Cuts a result to `max` bytes of content, with a notice that says how much was cut; tells whether it did.
///
/// Text is cut at the end; an image or other binary that does not fit is left out whole. A structured result
/// beside content repeats the content, so the model gets it only where there is no content.
pub fn cap(result: ToolResult, max: usize) -> (ToolResult, bool) {
    let mut left = max;
    let mut cut = 0;
    let is_error = result.is_error;
    let parts = match result.structured {
        Some(structured) if result.content.is_empty() => vec![Content::Text(structured.to_string())],
        _ => result.content,
    };
    let mut content = Vec::with_capacity(parts.len());
    for part in parts {
        let size = size_of(&part);
        let counted = size.max(SMALLEST_PART);
        if counted <= left {
            left -= counted;
            content.push(part);
        } else {
            let kept = shorten(part, left);
            cut += size - kept.as_ref().map_or(0, size_of);
            left = 0;
            content.extend(kept);
        }
    }
    if cut > 0 {
        content.push(Content::Text(format!(
            "[{cut} bytes of this result were cut: it was over the limit of {max} bytes]"
        )));
    }
    (ToolResult { content, structured: None, is_error }, cut > 0)
}

/// How many bytes of a result count against the limit.
pub fn size(result: &ToolResult) -> usize {
    let structured = result.structured.as_ref().filter(|_| result.content.is_empty());
    result.content.iter().map(size_of).sum::<usize>() + structured.map_or(0, |value| value.to_string().len())
}

fn size_of(part: &Content) -> usize {
    let optional = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    match part {
        Content::Text(text) => text.len(),
        Content::Image { media_type, data } | Content::Audio { media_type, data } => {
            media_type.len() + data.len()
        }
        Content::TextResource { uri, media_type, text: data }
        | Content::BlobResource { uri, media_type, data } => uri.len() + optional(media_type) + data.len(),
        Content::ResourceLink { uri, name, description, media_type } => {
            uri.len() + name.len() + optional(description) + optional(media_type)
        }
    }
}

fn text_of(part: &Content) -> Option<&str> {
    match part {
        Content::Text(text) | Content::TextResource { text, .. } => Some(text),
        _ => None,
    }
}

fn shorten(part: Content, room: usize) -> Option<Content> {
    let besides_text = size_of(&part) - text_of(&part).map_or(0, str::len);
    let room = room.saturating_sub(besides_text);
    let cut = |text: String| {
        let end = text.floor_char_boundary(room);
        (end > 0).then(|| text[..end].to_owned())
    };
    match part {
        Content::Text(text) => cut(text).map(Content::Text),
        Content::TextResource { uri, media_type, text } => {
            cut(text).map(|text| Content::TextResource { uri, media_type, text })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f20_a_result_over_the_limit_is_cut_with_a_notice() {
        let (result, cut) = cap(ToolResult::text("é".repeat(10)), 7);
        assert!(cut);
        assert_eq!(
            result.content,
            [
                Content::Text("ééé".into()),
                Content::Text("[14 bytes of this result were cut: it was over the limit of 7 bytes]".into())
            ]
        );
    }

    #[test]
    fn an_image_that_does_not_fit_is_left_out_whole() {
        let image = Content::Image { media_type: "image/png".into(), data: "A".repeat(100) };
        let result =
            ToolResult { content: vec![Content::Text("here".into()), image], ..ToolResult::default() };
        assert_eq!(size(&result), 104 + "image/png".len());
        let (result, cut) = cap(result, 50);
        assert!(cut && result.content.len() == 2 && result.content[0] == Content::Text("here".into()));
    }

    #[test]
    fn many_empty_parts_and_long_names_count_too() {
        let empty = ToolResult { content: vec![Content::Text(String::new()); 100], ..ToolResult::default() };
        assert!(cap(empty, 1000).0.content.len() < 40);
        let odd = Content::Image { media_type: "x".repeat(2000), data: "AAAA".into() };
        let (result, cut) = cap(ToolResult { content: vec![odd], ..ToolResult::default() }, 1000);
        assert!(cut && matches!(&result.content[..], [Content::Text(_)]));
    }

    #[test]
    fn a_result_within_the_limit_stays_as_it_is() {
        let (result, cut) = cap(ToolResult::error("no"), 2);
        assert_eq!((result, cut), (ToolResult::error("no"), false));
    }
}
