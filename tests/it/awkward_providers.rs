//! What providers send although their API's reference does not: each form still gives one legal message.

use serde_json::{Value, json};

use crate::client::Message;
use crate::conversation::Conversation;
use crate::wire::{Api, Call, Mode, named, say, unnamed};

fn begin(api: Api, mode: Mode) -> Conversation {
    let mut body = api.request(mode, "Hello?", &["mine"]);
    if (api, mode) == (Api::Chat, Mode::Streamed) {
        body["stream_options"] = json!({"include_usage": true});
    }
    Conversation::new(api, mode, &body, &["srv__look", "srv__look_up"])
}

fn call(id: &str, name: &str, arguments: &str) -> Call {
    Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

/// A chunk with these choices.
fn choices(choices: Value) -> String {
    unnamed(
        &json!({"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}),
    )
}

/// A chunk with one delta.
fn chunk(delta: Value, finish: Value) -> String {
    choices(json!([{"index": 0, "delta": delta, "finish_reason": finish}]))
}

/// A piece of a call as `tool_calls` has it.
fn piece(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Value {
    let mut piece = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    if let Some(index) = index {
        piece["index"] = json!(index);
    }
    piece
}

const DONE: &str = "data: [DONE]\n\n";

/// Plays a round of chat alone, with the role before it.
fn chat_round(frames: &[String]) -> (Message, toolgate::dialect::Round) {
    let role = chunk(json!({"role": "assistant", "content": ""}), Value::Null);
    let stream = format!("{role}{}{DONE}", frames.concat());
    let mut conversation = begin(Api::Chat, Mode::Streamed);
    let round = conversation.round(&stream);
    (conversation.end(crate::conversation::End::Natural).message(Api::Chat, Mode::Streamed), round)
}

/// Plays this stream as the first round, and one that says "Done." as the second.
fn then_done(api: Api, stream: &str) -> (Message, Vec<Value>) {
    let done = api.bytes(Mode::Streamed, &say("b").text("Done."));
    begin(api, Mode::Streamed).play([stream, &done])
}

fn injected(round: &toolgate::dialect::Round) -> Vec<Call> {
    round.injected_calls().map(|each| call(&each.id, &each.name, &each.arguments)).collect()
}

#[test]
fn chat_content_in_the_chunk_that_finishes_is_kept() {
    let first = chunk(
        json!({"role": "assistant", "content": "Let me look.", "tool_calls": [piece(Some(0), "c1", "srv__look", "{}")]}),
        json!("tool_calls"),
    );
    let (message, requests) = then_done(Api::Chat, &format!("{first}{DONE}"));
    assert_eq!((message.texts, message.stop.as_str()), (vec!["Let me look.\n\nDone.".to_owned()], "stop"));
    assert_eq!(requests[0]["messages"][1]["content"], "Let me look.");
    assert_eq!(requests[0]["messages"][2]["tool_call_id"], "c1");
}

#[test]
fn chat_calls_in_one_chunk_without_index_or_with_the_same() {
    for index in [None, Some(0)] {
        for ids in [["c1", "c2", "c3"], ["c1", "c2", ""]] {
            let pieces = json!([
                piece(index, ids[0], "srv__look", "{\"a\":1}"),
                piece(index, ids[1], "mine", "{}"),
                piece(index, ids[2], "srv__look", "{}")
            ]);
            let (message, round) = chat_round(&[
                chunk(json!({"tool_calls": pieces}), Value::Null),
                chunk(json!({}), json!("tool_calls")),
            ]);
            assert_eq!(message.calls, [call("c2", "mine", "{}")], "{index:?}");
            assert_eq!(
                injected(&round),
                [call(ids[0], "srv__look", "{\"a\":1}"), call(ids[2], "srv__look", "{}")]
            );
        }
    }
}

#[test]
fn chat_calls_in_the_chunk_that_finishes() {
    let pieces = json!([piece(Some(0), "c1", "srv__look", "{}"), piece(Some(1), "c2", "mine", "{\"a\":1}")]);
    let (message, round) = chat_round(&[chunk(json!({"tool_calls": pieces}), json!("stop"))]);
    assert_eq!((message.calls, message.stop.as_str()), (vec![call("c2", "mine", "{\"a\":1}")], "stop"));
    assert_eq!((injected(&round).len(), round.wants_results), (1, true));
}

#[test]
fn chat_names_that_come_late_or_in_parts_or_again() {
    let call_in = |parts: &[(&str, &str)]| -> Vec<String> {
        let piece = |(name, arguments): &(&str, &str)| {
            chunk(
                json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": name, "arguments": arguments}}]}),
                Value::Null,
            )
        };
        parts.iter().map(piece).chain([chunk(json!({}), json!("tool_calls"))]).collect()
    };
    for (parts, name) in [
        (&[("", ""), ("srv__look", ""), ("", "{}")][..], "srv__look"),
        (&[("srv__", ""), ("look", ""), ("_up", ""), ("", "{}")], "srv__look_up"),
        (&[("srv__look", "{"), ("srv__look", "}")], "srv__look"),
        (&[("srv__look", "{}")], "srv__look"),
    ] {
        let (message, round) = chat_round(&call_in(parts));
        assert_eq!((message.calls, injected(&round)), (vec![], vec![call("c1", name, "{}")]), "{parts:?}");
    }
    let (message, round) = chat_round(&call_in(&[("srv__", ""), ("lo", ""), ("", "{}")]));
    assert_eq!((message.calls.len(), injected(&round).len()), (1, 0));
}

#[test]
fn chat_usage_in_each_chunk_counts_once() {
    let usage =
        |tokens: u64| json!({"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens});
    let with = |frame: String, tokens: u64| {
        frame.replace("\"choices\"", &format!("\"usage\":{},\"choices\"", usage(tokens)))
    };
    let first = with(
        chunk(
            json!({"role": "assistant", "tool_calls": [piece(Some(0), "c1", "srv__look", "{}")]}),
            Value::Null,
        ),
        1,
    ) + &with(chunk(json!({"content": null}), json!("tool_calls")), 2)
        + DONE;
    let second = with(chunk(json!({"role": "assistant", "content": "Done."}), Value::Null), 3)
        + &with(chunk(json!({}), json!("stop")), 4)
        + DONE;
    let mut conversation = begin(Api::Chat, Mode::Streamed);
    let round = conversation.round(&first);
    conversation.go_on(&round);
    conversation.round(&second);
    let answer = conversation.end(crate::conversation::End::Natural);
    let told: Vec<Value> = answer
        .data()
        .into_iter()
        .map(|mut chunk| chunk["usage"].take())
        .filter(|usage| !usage.is_null())
        .collect();
    assert_eq!(told.last().unwrap()["completion_tokens"], 6, "{}", answer.body);
    assert!(told.iter().rev().skip(1).all(|usage| usage["completion_tokens"] == 1), "{}", answer.body);
}

#[test]
fn chat_usage_after_the_finish_in_a_chunk_with_a_choice() {
    let last = chunk(json!({"role": "assistant", "content": ""}), Value::Null)
        .replace("\"choices\"", "\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":2},\"choices\"");
    let first = chunk(
        json!({"role": "assistant", "tool_calls": [piece(Some(0), "c1", "srv__look", "{}")]}),
        Value::Null,
    ) + &chunk(json!({}), json!("tool_calls"))
        + &last
        + DONE;
    let (message, _) = then_done(Api::Chat, &first);
    assert_eq!((message.usage["prompt_tokens"].as_u64(), message.stop.as_str()), (Some(14), "stop"));
}

#[test]
fn chat_opening_chunk_without_choices_or_id_and_empty_finish_reasons() {
    let opening = unnamed(
        &json!({"id": "", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}),
    );
    let round = |text: &str, pieces: Value, finish: &str| {
        let delta = json!({"role": "assistant", "content": text, "tool_calls": pieces});
        format!("{opening}{}{}{DONE}", chunk(delta, json!("")), chunk(json!({}), json!(finish)))
    };
    let mut conversation = begin(Api::Chat, Mode::Streamed);
    conversation.feed(round("Hm.", json!([]), "x").split("\"x\"").next().unwrap().as_bytes()).unwrap();
    assert!(
        String::from_utf8_lossy(&conversation.out).contains("Hm."),
        "an empty finish reason holds text back"
    );
    let mut conversation = begin(Api::Chat, Mode::Streamed);
    let first =
        conversation.round(&round("Hm.", json!([piece(Some(0), "c1", "srv__look", "{}")]), "tool_calls"));
    conversation.go_on(&first);
    conversation.round(&round("Done.", json!([]), "stop"));
    let answer = conversation.end(crate::conversation::End::Natural);
    let ids: Vec<Value> = answer
        .data()
        .into_iter()
        .filter(|chunk| chunk["choices"] != json!([]))
        .map(|mut chunk| chunk["id"].take())
        .collect();
    assert!(ids.iter().all(|id| id == "a"), "{}", answer.body);
}

fn block(index: u64, start: Value, deltas: &[Value]) -> String {
    let mut frames = named(&json!({"type": "content_block_start", "index": index, "content_block": start}));
    for delta in deltas {
        frames += &named(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }
    frames + &named(&json!({"type": "content_block_stop", "index": index}))
}

fn message(blocks: &[String], stop: &str) -> String {
    let start = named(
        &json!({"type": "message_start", "message": {"id": "a", "type": "message", "role": "assistant", "model": "m",
        "content": [], "stop_reason": null, "usage": {"input_tokens": 4, "output_tokens": 1}}}),
    );
    let delta = named(
        &json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 2}}),
    );
    format!("{start}{}{delta}{}", blocks.concat(), named(&json!({"type": "message_stop"})))
}

#[test]
fn f24_messages_blocks_that_do_not_begin_at_0() {
    let ours = block(3, json!({"type": "tool_use", "id": "t1", "name": "srv__look", "input": {}}), &[]);
    let theirs = block(
        5,
        json!({"type": "tool_use", "id": "t2", "name": "mine", "input": {}}),
        &[json!({"type": "input_json_delta", "partial_json": "{\"a\":1}"})],
    );
    let (message, requests) = begin(Api::Messages, Mode::Streamed).play([
        message(std::slice::from_ref(&ours), "tool_use").as_str(),
        &self::message(&[ours.replace("t1", "t3"), theirs], "tool_use"),
    ]);
    assert_eq!((message.calls, message.stop.as_str()), (vec![call("t2", "mine", "{\"a\":1}")], "tool_use"));
    assert_eq!(
        requests[0]["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "t1", "name": "srv__look", "input": {}}])
    );
}

#[test]
fn messages_input_whole_in_the_start_and_blocks_and_fields_that_nobody_knows() {
    let blocks = [
        block(
            0,
            json!({"type": "thinking", "thinking": "", "signature": "", "x": 1.50}),
            &[
                json!({"type": "thinking_delta", "thinking": "Hm"}),
                json!({"type": "signature_delta", "signature": "sig=="}),
            ],
        ),
        block(1, json!({"type": "text", "text": ""}), &[]),
        block(
            2,
            json!({"type": "hologram", "depth": 3, "hue": "h"}),
            &[json!({"type": "hologram_delta", "hue": "i", "depth": 4})],
        ),
        block(
            3,
            json!({"type": "tool_use", "id": "t1", "name": "srv__look", "input": {"a": 1}, "caller": {"type": "direct"}}),
            &[],
        ),
    ];
    let mut conversation = begin(Api::Messages, Mode::Streamed);
    let round = conversation.round(&message(&blocks, "tool_use"));
    assert_eq!(injected(&round), [call("t1", "srv__look", r#"{"a":1}"#)]);
    assert_eq!(
        conversation.go_on(&round)["messages"][1]["content"],
        json!([
            {"type": "thinking", "thinking": "Hm", "signature": "sig==", "x": 1.50},
            {"type": "hologram", "depth": 4, "hue": "hi"},
            {"type": "tool_use", "id": "t1", "name": "srv__look", "input": {"a": 1}, "caller": {"type": "direct"}},
        ])
    );
}

#[test]
fn messages_arguments_that_are_no_object_go_back_as_an_empty_one() {
    let broken = block(
        0,
        json!({"type": "tool_use", "id": "t1", "name": "srv__look", "input": {}}),
        &[json!({"type": "input_json_delta", "partial_json": "{\"a\":"})],
    );
    let mut conversation = begin(Api::Messages, Mode::Streamed);
    let round = conversation.round(&message(&[broken], "tool_use"));
    assert_eq!(injected(&round), [call("t1", "srv__look", "{\"a\":")]);
    assert_eq!(conversation.go_on(&round)["messages"][1]["content"][0]["input"], json!({}));
}

/// The events of a round as the reference has them, changed one by one; `None` leaves an event out.
fn response_events(id: &str, calls: &[(&str, &str)], change: impl Fn(Value) -> Option<Value>) -> String {
    let round =
        calls.iter().fold(say(id).text("Well."), |round, (id, name)| round.call(id, name, "{\"a\":1}"));
    let events = Api::Responses.frames(&round);
    let data =
        events.iter().map(|frame| serde_json::from_str(frame.split("data: ").nth(1).unwrap()).unwrap());
    data.filter_map(change).map(|event| named(&event)).collect()
}

#[test]
fn responses_without_sequence_numbers_deltas_or_output_at_the_end() {
    let bare = |mut event: Value| {
        event.as_object_mut().unwrap().shift_remove("sequence_number");
        if event["type"] == "response.completed" {
            event["response"]["output"] = json!([]);
        }
        (!event["type"].as_str().unwrap().contains("arguments")).then_some(event)
    };
    let mut conversation = begin(Api::Responses, Mode::Streamed);
    let first = conversation.round(&response_events("a", &[("c1", "srv__look")], bare));
    assert_eq!(injected(&first), [call("c1", "srv__look", "{\"a\":1}")]);
    let history = conversation.go_on(&first);
    assert_eq!(history["input"][2]["call_id"], "c1");
    assert_eq!(
        history["input"][3],
        json!({"type": "function_call_output", "call_id": "c1", "output": "result of c1"})
    );
    conversation.round(&response_events("b", &[("c2", "mine")], bare));
    let answer = conversation.end(crate::conversation::End::Natural);
    let last = answer.data().pop().unwrap();
    let kinds: Vec<&str> = last["response"]["output"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| item["type"].as_str())
        .collect();
    assert_eq!((kinds, &last["response"]["id"]), (vec!["message", "message", "function_call"], &json!("a")));
}

#[test]
fn responses_with_a_done_after_each_round() {
    let mut conversation = begin(Api::Responses, Mode::Streamed);
    let first = conversation.round(&format!("{}{DONE}", response_events("a", &[("c1", "srv__look")], Some)));
    conversation.go_on(&first);
    conversation.round(&format!("{}{DONE}", response_events("b", &[], Some)));
    let body = conversation.end(crate::conversation::End::Natural).body;
    assert_eq!(body.matches("[DONE]").count(), 1);
    assert!(body.ends_with(DONE), "{body}");
}

#[test]
fn a_client_that_did_not_ask_for_usage_gets_none() {
    let body = Api::Chat.request(Mode::Streamed, "Hello?", &["mine"]);
    for injected in [&["srv__look"][..], &[]] {
        let mut conversation = Conversation::new(Api::Chat, Mode::Streamed, &body, injected);
        conversation.round(&Api::Chat.bytes(Mode::Streamed, &say("a").text("Well.")));
        let body = conversation.end(crate::conversation::End::Natural).body;
        assert!(
            !body.contains("usage") && !body.contains("\"choices\":[]") && body.contains("Well."),
            "{body}"
        );
    }
}

#[test]
fn after_the_first_round_a_cut_message_still_tells_its_usage() {
    for api in crate::wire::APIS {
        let mut conversation = begin(api, Mode::Streamed);
        let first = conversation
            .round(&api.bytes(Mode::Streamed, &say("a").tokens(7, 3).call("c1", "srv__look", "{}")));
        conversation.go_on(&first);
        let message = conversation.end(crate::conversation::End::CutShort).message(api, Mode::Streamed);
        let key = if api == Api::Chat { "completion_tokens" } else { "output_tokens" };
        assert_eq!(message.usage[key], 3, "{api:?}");
    }
}
