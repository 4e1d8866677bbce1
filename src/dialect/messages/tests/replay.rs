use bytes::BytesMut;
use serde_json::{Value, json};

use super::{answer, call, fold, message, splice, splicer, text, thinking};
use crate::dialect::{Delivery, Dialect, Ending, Messages, Round};
use crate::domain::Form;

const DELIVERIES: [Delivery; 2] = [Delivery::Streamed, Delivery::Whole];

fn answers() -> Vec<Value> {
    vec![
        json!([text("Just a text, \"quoted\" — é\u{1f600}\n")]),
        json!([thinking("a"), text(&"x".repeat(3000)), {"type": "redacted_thinking", "data": "zzz"}]),
        json!([thinking(""), call("h", "gh"), call("c", "read"), {"type": "tool_use", "id": "e", "name": "db", "input": {}}]),
        json!([{"type": "text", "text": "Cited.", "citations": [{"type": "x", "cited_text": "y"}, {"type": "z"}]}]),
        json!([
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
            {"type": "web_search_tool_result", "tool_use_id": "srv", "content": [{"encrypted_content": "e"}]},
            text("Found."),
        ]),
        json!([]),
    ]
}

fn of(delivery: Delivery, answer: &[u8]) -> (Round, BytesMut) {
    let (mut splicer, mut out) = (splicer(delivery, Form::Hidden), BytesMut::new());
    let round = splice(&mut *splicer, answer, &mut out);
    splicer.finish(Ending::Natural, &mut out);
    (round, out)
}

#[test]
fn a_replayed_round_is_the_same_round() {
    for blocks in answers() {
        for first in DELIVERIES {
            let (round, _) = of(first, answer(&blocks, first).as_bytes());
            for second in DELIVERIES {
                let (again, _) = of(second, &Messages.replay(&round, second));
                assert_eq!(format!("{again:?}"), format!("{round:?}"), "{first:?} {second:?}");
            }
        }
    }
}

#[test]
fn a_replay_tells_the_client_what_the_answer_told_it() {
    for blocks in answers() {
        let expected = message(Delivery::Whole, Form::Hidden, false, std::slice::from_ref(&blocks));
        for first in DELIVERIES {
            let (round, _) = of(first, answer(&blocks, first).as_bytes());
            let (_, streamed) = of(Delivery::Streamed, &Messages.replay(&round, Delivery::Streamed));
            let (_, whole) = of(Delivery::Whole, &Messages.replay(&round, Delivery::Whole));
            assert_eq!(fold(&streamed), expected, "{first:?}");
            assert_eq!(serde_json::from_slice::<Value>(&whole).unwrap(), expected, "{first:?}");
        }
    }
}

#[test]
fn what_a_stream_tells_at_its_end_is_told_again() {
    let stream = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"stop_sequence\",\"stop_sequence\":\"END\",\"container\":{\"id\":\"k\"}},\"usage\":{\"output_tokens\":9},\"context_management\":{\"applied_edits\":[]}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    let (round, _) = of(Delivery::Streamed, stream.as_bytes());
    let told: Value = serde_json::from_slice(&Messages.replay(&round, Delivery::Whole)).unwrap();
    assert_eq!(told["stop_sequence"], "END");
    assert_eq!(told["container"], json!({"id": "k"}));
    assert_eq!(told["context_management"], json!({"applied_edits": []}));
    assert_eq!(told["usage"], json!({"input_tokens": 7, "output_tokens": 9}));
    let (again, _) = of(Delivery::Streamed, &Messages.replay(&round, Delivery::Streamed));
    assert_eq!(format!("{again:?}"), format!("{round:?}"));
}

#[test]
fn arguments_that_are_no_json_come_again_as_they_were() {
    let stream = answer(&json!([call("h", "gh")]), Delivery::Streamed).replace(r#":\"h\"}"#, ": oops");
    let (round, _) = of(Delivery::Streamed, stream.as_bytes());
    assert!(round.calls[0].call.arguments.ends_with(": oops"), "{round:?}");
    let (again, _) = of(Delivery::Streamed, &Messages.replay(&round, Delivery::Streamed));
    assert_eq!(format!("{again:?}"), format!("{round:?}"));
}
