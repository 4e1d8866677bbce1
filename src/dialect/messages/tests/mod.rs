//! Conversations as clients of this API tell them, and what becomes of them.

mod brought;
mod history;
mod rebuild;
mod replay;
mod restore;
mod show;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::Messages;
use crate::dialect::{
    Delivery, Dialect, Ending, History, KeptRound, Request, Round, Showing, ShownCall, SpliceSettings,
    Splicer, UsageStyle,
};
use crate::domain::{Form, ToolResult};

/// A request of these messages, with the client's tool `read`; `more` holds further fields, or others.
fn request(messages: &Value, more: &Value) -> Request {
    let mut body = json!({"model": "m", "max_tokens": 9, "tools": [{"name": "read", "input_schema": {}}]});
    body["messages"] = messages.clone();
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    Messages.read(Bytes::from(body.to_string())).unwrap()
}

/// What these messages tell.
fn history(messages: &Value) -> History {
    Messages.history(&request(messages, &json!({})))
}

/// The body that goes up.
fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body()).unwrap()
}

/// A request with the injected tools `gh` and `db`.
fn injected() -> Request {
    let mut request = request(&json!([]), &json!({}));
    request.injected = Arc::new(["gh", "db"].map(String::from).into());
    request
}

/// A splicer for answers to [`injected`].
fn splicer(delivery: Delivery, form: Form) -> Box<dyn Splicer> {
    let content_type = match delivery {
        Delivery::Streamed => "text/event-stream",
        Delivery::Whole => "application/json",
    };
    let settings = SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 24, usage: UsageStyle::Sum, form };
    Messages.splicer(&injected(), content_type, settings)
}

/// What a provider answers with these blocks.
fn answer(blocks: &Value, delivery: Delivery) -> String {
    let calls = blocks.as_array().unwrap().iter().any(|block| block["type"] == "tool_use");
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks,
        "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 3, "output_tokens": 5},
    });
    if delivery == Delivery::Whole {
        return message.to_string();
    }
    let delta = json!({"stop_reason": message["stop_reason"], "stop_sequence": null});
    let mut events = Vec::new();
    message["content"] = json!([]);
    message["stop_reason"] = Value::Null;
    message["usage"]["output_tokens"] = json!(1);
    events.push(json!({"type": "message_start", "message": message}));
    for (index, block) in blocks.as_array().unwrap().iter().enumerate() {
        stream_block(index, block, &mut events);
    }
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}));
    events.push(json!({"type": "message_stop"}));
    let frame = |event: Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.into_iter().map(frame).collect()
}

fn stream_block(index: usize, block: &Value, events: &mut Vec<Value>) {
    let (mut start, mut deltas) = (block.clone(), Vec::new());
    for (key, kind, to) in [
        ("text", "text_delta", "text"),
        ("thinking", "thinking_delta", "thinking"),
        ("signature", "signature_delta", "signature"),
        ("input", "input_json_delta", "partial_json"),
    ] {
        let Some(value) = block.get(key) else { continue };
        start[key] = if key == "input" { json!({}) } else { json!("") };
        let whole = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let half = whole.floor_char_boundary(whole.len() / 2);
        let pieces = if key == "signature" { vec![&*whole] } else { vec![&whole[..half], &whole[half..]] };
        deltas.extend(pieces.into_iter().map(|piece| json!({"type": kind, to: piece})));
    }
    events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
    for delta in deltas {
        events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
    }
    events.push(json!({"type": "content_block_stop", "index": index}));
}

/// A round whose answer had these blocks.
fn round(blocks: &Value) -> Round {
    let mut splicer = splicer(Delivery::Whole, Form::Hidden);
    splice(&mut *splicer, answer(blocks, Delivery::Whole).as_bytes(), &mut BytesMut::new())
}

/// A round that a splicer is given.
fn splice(splicer: &mut dyn Splicer, answer: &[u8], out: &mut BytesMut) -> Round {
    splicer.feed(answer, out).unwrap();
    splicer.end_round(out).unwrap()
}

/// The message that a client gets of these rounds, with the calls that ran shown; a line for each, if so.
fn message(delivery: Delivery, form: Form, lines: bool, rounds: &[Value]) -> Value {
    let (mut splicer, mut out) = (splicer(delivery, form), BytesMut::new());
    for (at, blocks) in (1..).zip(rounds) {
        let round = splice(&mut *splicer, answer(blocks, delivery).as_bytes(), &mut out);
        let results: Vec<_> =
            round.injected_calls().map(|call| ToolResult::text(format!("of {}", call.id))).collect();
        let calls = round.injected_calls().zip(&results).map(|(call, result)| ShownCall {
            seal: format!("{at}-{}", call.id),
            call,
            server: "s",
            tool: "find",
            result,
            line: lines.then(|| format!("⚙ {}", call.id)),
        });
        let showing = Showing { calls: calls.collect(), ..Showing::default() };
        splicer.show(&showing, &mut out);
        if at < rounds.len() {
            splicer.next_round(&mut out);
        }
    }
    splicer.finish(Ending::Natural, &mut out);
    match delivery {
        Delivery::Whole => serde_json::from_slice(&out).unwrap(),
        Delivery::Streamed => fold(&out),
    }
}

/// Folds a stream of events into its message, as strictly as SDKs do.
fn fold(stream: &[u8]) -> Value {
    let (mut message, mut open, mut stopped) = (Value::Null, None, false);
    for frame in str::from_utf8(stream).unwrap().split_terminator("\n\n") {
        let (name, data) = frame.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: "), event["type"].as_str());
        assert!(!stopped, "{event}");
        match event["type"].as_str().unwrap() {
            "message_start" => {
                assert!(message.is_null());
                message = event["message"].clone();
                assert_eq!(message["content"], json!([]));
            }
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!((open, event["index"].as_u64().unwrap()), (None, content.len() as u64));
                open = Some((content.len(), String::new()));
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let (index, input) = open.as_mut().unwrap();
                assert_eq!(event["index"], json!(*index));
                grow(&mut message["content"][*index], input, &event["delta"]);
            }
            "content_block_stop" => {
                let (index, input) = open.take().unwrap();
                assert_eq!(event["index"], json!(index));
                if !input.is_empty() {
                    message["content"][index]["input"] = serde_json::from_str(&input).unwrap();
                }
            }
            "message_delta" => {
                assert_eq!(open, None);
                for (key, value) in event["delta"].as_object().unwrap() {
                    message[key] = value.clone();
                }
                for (key, value) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" => stopped = true,
            other => panic!("{other}"),
        }
    }
    assert!(stopped);
    message
}

fn grow(block: &mut Value, input: &mut String, delta: &Value) {
    let text = |key: &str| delta[key].as_str().unwrap();
    match (delta["type"].as_str().unwrap(), block["type"].as_str().unwrap()) {
        ("text_delta", "text") => {
            block["text"] = (block["text"].as_str().unwrap().to_owned() + text("text")).into();
        }
        ("thinking_delta", "thinking") => {
            block["thinking"] = (block["thinking"].as_str().unwrap().to_owned() + text("thinking")).into();
        }
        ("signature_delta", "thinking") => block["signature"] = text("signature").into(),
        ("citations_delta", "text") => {
            block["citations"].as_array_mut().unwrap().push(delta["citation"].clone());
        }
        ("input_json_delta", "tool_use" | "server_tool_use") => input.push_str(text("partial_json")),
        other => panic!("{other:?}"),
    }
}

/// A round of these blocks as it is kept, each injected call with a result that names it.
fn kept(blocks: &Value) -> KeptRound {
    let round = round(blocks);
    let results: Vec<_> =
        round.injected_calls().map(|call| ToolResult::text(format!("of {}", call.id))).collect();
    Messages.keep(&round, &results)
}

/// A call.
fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {"of": id}})
}

/// The result of a call as [`kept`] has it, or as the client gives it.
fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": format!("of {id}")}]})
}

/// A text.
fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Thinking.
fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": format!("signed {text}")})
}

/// A call and its result in the form for server-run tools.
fn shown(id: &str, result: &str) -> [Value; 2] {
    [
        json!({"type": "mcp_tool_use", "id": id, "name": "find", "server_name": "s", "input": {"q": 1}}),
        json!({"type": "mcp_tool_result", "tool_use_id": id, "is_error": false, "content": [text(result)]}),
    ]
}

/// What the assistant or the user says.
fn says(role: &str, content: impl Into<Value>) -> Value {
    json!({"role": role, "content": content.into()})
}
