//! What requests bring for the records.

use serde_json::{Value, json};

use super::request;
use crate::dialect::{Brought, Delivery};
use crate::domain::Form;

#[expect(clippy::needless_pass_by_value, reason = "short calls")]
fn brought(messages: Value, more: Value) -> Brought {
    request(&messages, &more).brought
}

#[test]
fn f47_the_users_last_words_are_told_from_results_and_from_what_was_said_before() {
    let call = json!({"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "read", "input": {}},
        {"type": "tool_use", "id": "c2", "name": "read", "input": {}}]});
    let result = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "secret"}]});
    let only_results = json!([{"role": "user", "content": "Look."}, call, {"role": "user", "content": [result("c1"), result("c2")]}]);
    let told = brought(only_results, json!({}));
    assert_eq!((told.prompt, told.results), (None, vec!["c1".to_owned(), "c2".to_owned()]));

    let with_text = json!([{"role": "user", "content": "Look."}, call,
        {"role": "user", "content": [result("c1"), {"type": "text", "text": "And"}, {"type": "text", "text": "then?"}]}]);
    let told = brought(with_text, json!({}));
    assert_eq!((told.prompt.as_deref(), told.results.len()), (Some("And\nthen?"), 1));

    let apart = json!([{"role": "user", "content": "Look."}, call, {"role": "user", "content": [result("c1")]},
        {"role": "user", "content": "Stop."}, {"role": "system", "content": "Be kind."}]);
    let told = brought(apart, json!({}));
    assert_eq!((told.prompt.as_deref(), told.system), (Some("Stop."), vec!["Be kind.".to_owned()]));
}

#[test]
fn instructions_are_told_without_what_varies_from_request_to_request() {
    let hello = json!([{"role": "user", "content": "Hi"}]);
    let system = |system: Value| brought(hello.clone(), json!({"system": system})).system;
    assert_eq!(system(json!("Be \"brief\".")), ["Be \"brief\"."]);
    let blocks = json!([{"type": "text", "text": "x-anthropic-billing-header: cc_version=1.abc;"},
        {"type": "text", "text": "You are an agent."}, {"type": "text", "text": "Be brief."}]);
    assert_eq!(system(blocks), ["You are an agent.\n\nBe brief."]);
    assert_eq!(system(json!(null)), [""; 0]);
}

#[test]
fn f46_a_round_that_breaks_off_tells_what_it_said_so_far() {
    let mut splicer = super::splicer(Delivery::Streamed, Form::Hidden);
    let mut out = bytes::BytesMut::new();
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "m-1",
            "usage": {"input_tokens": 7, "cache_read_input_tokens": 90, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm\n"}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Half \"an"}}),
    ];
    for event in events {
        splicer.feed(format!("event: x\ndata: {event}\n\n").as_bytes(), &mut out).unwrap();
    }
    let so_far = splicer.so_far();
    assert_eq!((so_far.text.as_str(), so_far.thoughts.as_str()), ("Half \"an", "Hm\n"));
    let usage = so_far.facts.usage;
    assert_eq!((usage.input, usage.cache_read, usage.output), (7, 90, 1));
}
