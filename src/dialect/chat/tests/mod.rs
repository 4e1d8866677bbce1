//! Conversations as clients of this API tell them, and what becomes of them.

mod brought;
mod history;
mod replay;
mod restore;
mod show;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::Chat;
use crate::dialect::{
    Delivery, Dialect, Ending, History, NextRound, Request, Restoration, Round, SpliceSettings, Splicer,
    UsageStyle,
};
use crate::domain::{Content, Digest, Form, Repeat, ToolDefinition, ToolRef, ToolResult};

const SETTINGS: SpliceSettings =
    SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 20, usage: UsageStyle::Sum, form: Form::Hidden };

/// The injected tool; every other is the client's.
const INJECTED: &str = "birds__look";

fn read(messages: &Value) -> Request {
    Chat.read(Bytes::from(json!({"model": "m", "messages": messages}).to_string())).unwrap()
}

fn history(messages: &Value) -> History {
    Chat.history(&read(messages))
}

/// The messages that go up once these changes are made.
fn restored(messages: &Value, changes: &[(usize, Restoration<'_>)]) -> Value {
    let mut request = read(messages);
    let history = Chat.history(&request);
    Chat.restore(&mut request, &history, changes);
    messages_of(&request)
}

fn messages_of(request: &Request) -> Value {
    let body: Value = serde_json::from_slice(&request.body()).unwrap();
    body["messages"].clone()
}

fn injected_request(delivery: Delivery) -> Request {
    let body = json!({"model": "m", "stream": delivery == Delivery::Streamed, "messages": [],
        "stream_options": {"include_usage": true}});
    let mut request = Chat.read(Bytes::from(body.to_string())).unwrap();
    let tool = ToolDefinition {
        name: INJECTED.to_owned(),
        source: ToolRef { server: "birds".to_owned(), tool: "look".to_owned() },
        server_url: "https://mcp.example.com".to_owned(),
        description: String::new(),
        input_schema: "{}".to_owned(),
        read_only: true,
        timeout: Duration::from_secs(30),
        digest: Digest::default(),
        repeat: Repeat::default(),
    };
    Chat.inject(&mut request, &[Arc::new(tool)]);
    request
}

fn splicer(delivery: Delivery) -> Box<dyn Splicer> {
    let content_type = match delivery {
        Delivery::Streamed => "text/event-stream",
        Delivery::Whole => "application/json",
    };
    Chat.splicer(&injected_request(delivery), content_type, SETTINGS)
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// A round whose model answered with this message, in one piece.
fn round(message: &Value) -> Round {
    let finish = if message.get("tool_calls").is_some() { "tool_calls" } else { "stop" };
    let answer = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}});
    let (mut splicer, mut out) = (splicer(Delivery::Whole), BytesMut::new());
    splicer.feed(answer.to_string().as_bytes(), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap()
}

/// An answer as a client sees it.
#[derive(Debug, Default)]
struct Answer {
    content: String,
    refusal: String,
    calls: Vec<Value>,
    finish: String,
    usage: Value,
}

impl Answer {
    fn text(&self) -> String {
        format!("{}{}", self.content, self.refusal)
    }
}

fn whole_answer(bytes: &[u8]) -> Answer {
    let answer: Value = serde_json::from_slice(bytes).unwrap();
    let choice = &answer["choices"][0];
    let string = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Answer {
        content: string(&choice["message"]["content"]),
        refusal: string(&choice["message"]["refusal"]),
        calls: choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default(),
        finish: string(&choice["finish_reason"]),
        usage: answer["usage"].clone(),
    }
}

/// Folds a stream as strictly as clients do.
fn fold(bytes: &[u8]) -> Answer {
    let text = std::str::from_utf8(bytes).unwrap();
    let (mut answer, mut id, mut role, mut done) = (Answer::default(), None, false, false);
    for frame in text.split_terminator("\n\n") {
        assert!(!done, "a frame after the end: {frame}");
        let data = frame.strip_prefix("data: ").unwrap();
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(data).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(id.get_or_insert_with(|| chunk["id"].clone()), &chunk["id"]);
        if !chunk["usage"].is_null() {
            assert_eq!(
                std::mem::replace(&mut answer.usage, chunk["usage"].clone()),
                json!(null),
                "usage told twice"
            );
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        assert!(answer.finish.is_empty(), "a choice after its finish: {frame}");
        fold_delta(&choice["delta"], &mut answer, &mut role);
        answer.finish = choice["finish_reason"].as_str().unwrap_or_default().to_owned();
    }
    assert!(done && !answer.finish.is_empty(), "{text}");
    answer
}

fn fold_delta(delta: &Value, answer: &mut Answer, role: &mut bool) {
    assert!(!(*role && delta.get("role").is_some()), "the role twice: {delta}");
    *role |= delta.get("role").is_some();
    answer.content += delta["content"].as_str().unwrap_or_default();
    answer.refusal += delta["refusal"].as_str().unwrap_or_default();
    for piece in delta["tool_calls"].as_array().into_iter().flatten() {
        let index = usize::try_from(piece["index"].as_u64().unwrap()).unwrap();
        assert!(index <= answer.calls.len(), "a gap in the indices: {piece}");
        if index == answer.calls.len() {
            answer.calls.push(piece.clone());
        } else {
            let arguments = answer.calls[index]["function"]["arguments"].as_str().unwrap().to_owned();
            let more = piece["function"]["arguments"].as_str().unwrap_or_default();
            answer.calls[index]["function"]["arguments"] = Value::from(arguments + more);
        }
    }
}
