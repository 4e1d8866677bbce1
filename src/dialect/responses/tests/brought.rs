//! What requests bring for the records.

use serde_json::{Value, json};

use super::{SETTINGS, request};
use crate::dialect::{Brought, Dialect, Responses};

#[expect(clippy::needless_pass_by_value, reason = "short calls")]
fn brought(input: Value, more: Value) -> Brought {
    request(&input, &more).brought
}

#[test]
fn f47_the_users_last_words_are_told_from_results_and_from_what_was_said_before() {
    let ask = json!({"role": "user", "content": [{"type": "input_text", "text": "Look."}]});
    let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "read", "arguments": "{}"});
    let result = |id: &str| json!({"type": "function_call_output", "call_id": id, "output": "secret"});
    let told = brought(
        json!([ask, {"type": "reasoning", "id": "r", "summary": []}, call("c1"), call("c2"), result("c1"), result("c2")]),
        json!({}),
    );
    assert_eq!((told.prompt, told.results), (None, vec!["c1".to_owned(), "c2".to_owned()]));

    let steer =
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hurry."}]});
    let told = brought(json!([ask, call("c1"), steer, result("c1")]), json!({}));
    assert_eq!(
        (told.prompt.as_deref(), told.results.len()),
        (Some("Hurry."), 1),
        "the result stands behind the user's item"
    );

    let stored = json!([{"type": "custom_tool_call_output", "call_id": "c9", "output": "x"}]);
    let told = brought(stored, json!({"previous_response_id": "resp_1"}));
    assert_eq!((told.prompt, told.results), (None, vec!["c9".to_owned()]));
    assert_eq!(brought(json!("Just this."), json!({})).prompt.as_deref(), Some("Just this."));
}

#[test]
fn instructions_are_those_beside_the_items_and_among_them() {
    let told = brought(
        json!([{"role": "developer", "content": "Be kind."}, {"role": "user", "content": "Hi"}]),
        json!({"instructions": "Be brief."}),
    );
    assert_eq!(told.system, ["Be brief.", "Be kind."]);
}

#[test]
fn f46_a_round_that_breaks_off_tells_what_it_said_so_far() {
    let mut splicer = Responses.splicer(&request(&json!([]), &json!({})), "text/event-stream", SETTINGS);
    let mut out = bytes::BytesMut::new();
    let reasoning =
        json!({"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm"}]});
    let events = [
        json!({"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "model": "m-1", "status": "in_progress"}}),
        json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {"type": "reasoning", "id": "r", "summary": []}}),
        json!({"type": "response.output_item.done", "sequence_number": 2, "output_index": 0, "item": reasoning}),
        json!({"type": "response.output_item.added", "sequence_number": 3, "output_index": 1, "item": {"type": "message", "id": "m", "role": "assistant", "content": []}}),
        json!({"type": "response.output_text.delta", "sequence_number": 4, "output_index": 1, "content_index": 0, "delta": "Half \"an"}),
    ];
    for event in events {
        splicer.feed(format!("event: x\ndata: {event}\n\n").as_bytes(), &mut out).unwrap();
    }
    let so_far = splicer.so_far();
    assert_eq!((so_far.text.as_str(), so_far.thoughts.as_str()), ("Half \"an", "Hm"));
    assert_eq!(so_far.facts.response_id, "resp_1");
}
