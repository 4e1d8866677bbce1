use futures::{StreamExt, executor::block_on, stream};
use proptest::prelude::*;
use sse_stream::SseStream;

use super::*;

fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut framer = Framer::new(1 << 20);
    let mut found = Vec::new();
    for piece in pieces {
        framer.push(piece);
        while let Some(frame) = framer.next_frame().unwrap() {
            found.push(frame);
        }
    }
    found
}

/// What the oracle makes of the stream: events that carry data.
fn oracle(bytes: &[u8]) -> Vec<(Option<String>, String)> {
    let body = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::copy_from_slice(bytes))]);
    let events = block_on(SseStream::from_bytes_stream(body).collect::<Vec<_>>());
    events.into_iter().filter_map(Result::ok).filter_map(|event| Some((event.event, event.data?))).collect()
}

fn ours(frames: &[Frame]) -> Vec<(Option<String>, String)> {
    frames
        .iter()
        .filter_map(|frame| Some((frame.event().map(str::to_owned), frame.data()?.into_owned())))
        .collect()
}

proptest! {
    #[test]
    fn any_split_gives_the_frames_that_the_oracle_sees(
        lines in prop::collection::vec(
            (prop_oneof!["", "data", "data:", "data: x", "data:  é y", ": c", "event: e", "id: 1"],
             prop_oneof![Just("\n"), Just("\r\n"), Just("\r")]), 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let text: String = lines.iter().flat_map(|(line, end)| [line.as_str(), end]).collect();
        let bytes = text.as_bytes();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        let found = frames(&pieces);
        prop_assert_eq!(ours(&found), oracle(bytes));
        let raw: Vec<u8> = found.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        prop_assert!(bytes.starts_with(&raw));
    }
}

#[test]
fn a_byte_order_mark_is_not_part_of_the_first_field() {
    assert_eq!(frames(&["\u{feff}data: a\n\n".as_bytes()])[0].data().as_deref(), Some("a"));
}

#[test]
fn a_frame_over_the_limit_is_refused_before_it_is_whole() {
    let mut framer = Framer::new(8);
    framer.push(b"data: 0123456789");
    assert_eq!(framer.next_frame(), Err(FrameTooLarge { limit: 8 }));
}

#[test]
fn other_lines_of_a_rewritten_frame_stay() {
    let frame = frames(&[b"event: e\r\nid: 7\r\ndata: old\r\n\r\n"]).remove(0);
    let mut out = BytesMut::new();
    frame.write_with("new", &mut out);
    assert_eq!(&out[..], b"event: e\nid: 7\ndata: new\n\n");
}

#[test]
fn a_frame_whose_empty_line_is_missing_is_completed_and_one_that_breaks_off_is_none() {
    let rest = |bytes: &str| {
        let mut framer = Framer::new(100);
        framer.push(bytes.as_bytes());
        assert_eq!(framer.next_frame(), Ok(None));
        framer.rest()
    };
    for whole in ["data: [DONE]", "data: [DONE]\n", "event: e\ndata: {\"a\":1}"] {
        let raw = rest(whole).unwrap().raw;
        assert!(raw.starts_with(whole.as_bytes()) && raw.ends_with(b"\n\n"), "{raw:?}");
    }
    assert_eq!(&rest("\n").unwrap().raw[..], b"\n", "empty lines pass as they are");
    for part in ["", "event: e\n", "data: ", "data: {\"a\":", "data: [DON"] {
        assert_eq!(rest(part), None, "{part:?}");
    }
}
