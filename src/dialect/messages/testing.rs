//! Conversations for this room's tests.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::Messages;
use crate::dialect::{
    Delivery, Dialect, Form, History, KeptRound, Request, Round, SpliceSettings, Splicer, UsageStyle,
};
use crate::domain::ToolResult;

/// A request of these messages, with the client's tool `read`; `more` holds further fields, or others.
pub fn request(messages: &Value, more: &Value) -> Request {
    let mut body = json!({"model": "m", "max_tokens": 9, "tools": [{"name": "read", "input_schema": {}}]});
    body["messages"] = messages.clone();
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    Messages.read(Bytes::from(body.to_string())).unwrap()
}

/// What these messages tell.
pub fn history(messages: &Value) -> History {
    Messages.history(&request(messages, &json!({})))
}

/// The body that goes up.
pub fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body()).unwrap()
}

/// A request with the injected tools `gh` and `db`.
pub fn injected() -> Request {
    let mut request = request(&json!([]), &json!({}));
    request.injected = Arc::new(["gh", "db"].map(String::from).into());
    request
}

/// A splicer for answers to [`injected`].
pub fn splicer(delivery: Delivery, form: Form) -> Box<dyn Splicer> {
    let content_type = match delivery {
        Delivery::Streamed => "text/event-stream",
        Delivery::Whole => "application/json",
    };
    let settings = SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 24, usage: UsageStyle::Sum, form };
    Messages.splicer(&injected(), content_type, settings)
}

/// A round whose answer had these blocks.
pub fn round(blocks: &Value) -> Round {
    let calls = blocks.as_array().unwrap().iter().any(|block| block["type"] == "tool_use");
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": blocks,
        "stop_reason": if calls { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": {"input_tokens": 10, "output_tokens": 5},
    });
    let mut splicer = splicer(Delivery::Whole, Form::Hidden);
    let mut out = BytesMut::new();
    splicer.feed(answer.to_string().as_bytes(), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap()
}

/// A round of these blocks as it is kept, each injected call with a result that names it.
pub fn kept(blocks: &Value) -> KeptRound {
    let round = round(blocks);
    let results: Vec<_> =
        round.injected_calls().map(|call| ToolResult::text(format!("of {}", call.id))).collect();
    Messages.keep(&round, &results)
}

/// A call.
pub fn call(id: &str, name: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": name, "input": {"of": id}})
}

/// The result of a call as [`kept`] has it, or as the client gives it.
pub fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": format!("of {id}")}]})
}

/// A text.
pub fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

/// Thinking.
pub fn thinking(text: &str) -> Value {
    json!({"type": "thinking", "thinking": text, "signature": format!("signed {text}")})
}

/// A call and its result in the form for server-run tools.
pub fn shown(id: &str, result: &str) -> [Value; 2] {
    [
        json!({"type": "mcp_tool_use", "id": id, "name": "find", "server_name": "s", "input": {"q": 1}}),
        json!({"type": "mcp_tool_result", "tool_use_id": id, "is_error": false, "content": [text(result)]}),
    ]
}

/// What the assistant or the user says.
pub fn says(role: &str, content: impl Into<Value>) -> Value {
    json!({"role": role, "content": content.into()})
}
