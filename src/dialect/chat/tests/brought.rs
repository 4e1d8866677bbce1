//! What requests bring for the records.

use serde_json::{Value, json};

use super::{SETTINGS, read};
use crate::dialect::{Brought, Chat, Dialect};

#[expect(clippy::needless_pass_by_value, reason = "short calls")]
fn brought(messages: Value) -> Brought {
    read(&messages).brought
}

#[test]
fn f47_the_users_last_words_are_told_from_results_and_from_what_was_said_before() {
    let call = json!({"role": "assistant", "content": null, "tool_calls": [
        {"id": "c1", "type": "function", "function": {"name": "read", "arguments": "{}"}},
        {"id": "c2", "type": "function", "function": {"name": "read", "arguments": "{}"}}]});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "secret"});
    let ask = json!({"role": "user", "content": "Look."});
    let told = brought(json!([ask, call, result("c1"), result("c2")]));
    assert_eq!((told.prompt, told.results), (None, vec!["c1".to_owned(), "c2".to_owned()]));

    let parts = json!({"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "image_url", "image_url": {}}]});
    let told = brought(json!([ask, call, result("c1"), parts, result("c2")]));
    assert_eq!((told.prompt.as_deref(), told.results.len()), (Some("And"), 2));
}

#[test]
fn instructions_are_those_of_system_and_developer() {
    let told = brought(json!([{"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]}, {"role": "user", "content": "Hi"}]));
    assert_eq!((told.system, told.prompt), (vec!["Be brief.\n\nBe kind.".to_owned()], Some("Hi".to_owned())));
}

#[test]
fn f46_a_round_that_breaks_off_tells_what_it_said_so_far() {
    let request = read(&json!([]));
    let mut splicer = Chat.splicer(&request, "text/event-stream", SETTINGS);
    let mut out = bytes::BytesMut::new();
    for delta in [json!({"role": "assistant", "reasoning_content": "Hm"}), json!({"content": "Half \"an"})] {
        let chunk = json!({"id": "c-1", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": null}]});
        splicer.feed(format!("data: {chunk}\n\n").as_bytes(), &mut out).unwrap();
    }
    let so_far = splicer.so_far();
    assert_eq!((so_far.text.as_str(), so_far.thoughts.as_str()), ("Half \"an", "Hm"));
    assert_eq!(so_far.facts.response_id, "c-1");
}
