//! Conversations as clients of this API tell them, and what becomes of them.

mod brought;
mod history;
mod rebuild;
mod replay;
mod restore;
mod show;
mod stored;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::Responses;
use crate::dialect::{
    Delivery, Dialect, Ending, KeptRound, NextRound, Request, Round, Showing, ShownCall, SpliceSettings,
    Splicer, UsageStyle,
};
use crate::domain::{Digest, Form, Repeat, ToolCall, ToolDefinition, ToolRef, ToolResult};

const SETTINGS: SpliceSettings =
    SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 20, usage: UsageStyle::Sum, form: Form::Hidden };

/// A request with this input, and with what else is asked.
fn request(input: &Value, more: &Value) -> Request {
    let mut body = json!({
        "model": "m",
        "store": false,
        "include": ["reasoning.encrypted_content"],
        "tools": [{"type": "function", "name": "read"}, {"type": "custom", "name": "patch"}],
        "input": input,
    });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    Responses.read(Bytes::from(body.to_string())).unwrap()
}

fn with_tools(mut request: Request) -> Request {
    let tool = |name: &str| {
        Arc::new(ToolDefinition {
            name: name.to_owned(),
            source: ToolRef { server: "srv".to_owned(), tool: name.to_owned() },
            server_url: String::new(),
            description: "A tool.".to_owned(),
            input_schema: r#"{"type":"object"}"#.to_owned(),
            read_only: true,
            repeat: Repeat::default(),
            timeout: Duration::ZERO,
            digest: Digest::default(),
        })
    };
    Responses.inject(&mut request, &[tool("srv__look"), tool("srv__count")]);
    request
}

fn sent(request: &Request) -> Value {
    serde_json::from_slice(&request.body()).unwrap()
}

/// What a request's input looks like in the bytes that go up.
fn input_text(request: &Request) -> String {
    let body = request.body();
    let text = std::str::from_utf8(&body).unwrap();
    crate::dialect::raw::Object::parse(text).unwrap().get("input").unwrap().to_owned()
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn said(id: &str, text: &str) -> Value {
    json!({"type": "message", "id": id, "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]})
}

fn thought(id: &str, summary: &str) -> Value {
    json!({"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": summary}],
        "encrypted_content": format!("gAAA{id}")})
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": name,
        "arguments": arguments, "status": "completed"})
}

fn output(id: &str, text: &str) -> Value {
    json!({"type": "function_call_output", "call_id": id, "output": text})
}

/// The provider's answer in one piece.
fn answer(id: &str, items: &[Value]) -> Value {
    json!({"id": id, "object": "response", "created_at": 1, "status": "completed", "model": "m-1",
        "output": items, "parallel_tool_calls": true, "tools": [], "tool_choice": "auto",
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 3,
            "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 13}, "store": false})
}

fn splicer(request: &Request, delivery: Delivery, form: Form) -> Box<dyn Splicer> {
    let kind = if delivery == Delivery::Streamed { "text/event-stream" } else { "application/json" };
    Responses.splicer(request, kind, SpliceSettings { form, ..SETTINGS })
}

/// The round of an answer in one piece.
fn round(request: &Request, answer: &Value) -> Round {
    let mut splicer = splicer(request, Delivery::Whole, Form::Hidden);
    let mut out = BytesMut::new();
    splicer.feed(answer.to_string().as_bytes(), &mut out).unwrap();
    splicer.end_round(&mut out).unwrap()
}

/// The round with one text for each of its injected calls.
fn kept(round: &Round) -> KeptRound {
    let results: Vec<_> =
        round.injected_calls().map(|call| ToolResult::text(format!("result of {}", call.id))).collect();
    Responses.keep(round, &results)
}

/// A round of this answer, as it is kept.
fn kept_answer(id: &str, items: &[Value]) -> KeptRound {
    kept(&round(&with_tools(request(&json!("x"), &json!({}))), &answer(id, items)))
}

/// The elements as they went up when this round was appended.
fn appended(rounds: &[KeptRound]) -> String {
    let mut request = with_tools(request(&json!([]), &json!({})));
    for round in rounds {
        Responses.append(&mut request, round, NextRound::MayCall);
    }
    input_text(&request).trim_start_matches('[').trim_end_matches(']').to_owned()
}

/// The events of a stream, judged as the strictest clients do; and the response that they amount to.
fn folded(stream: &[u8]) -> (Vec<String>, Value) {
    let (mut kinds, mut items, mut response) = (Vec::new(), Vec::<(Value, bool)>::new(), Value::Null);
    let mut ids = std::collections::HashSet::new();
    let text = std::str::from_utf8(stream).unwrap();
    for (number, frame) in text.split("\n\n").filter(|frame| !frame.is_empty()).enumerate() {
        let (name, data) = frame.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        let kind = name.strip_prefix("event: ").unwrap().to_owned();
        assert_eq!(
            (event["type"].as_str(), event["sequence_number"].as_u64()),
            (Some(&*kind), Some(number as u64))
        );
        let at = event["output_index"].as_u64().map(|at| usize::try_from(at).unwrap());
        match &*kind {
            "response.created" | "response.in_progress" => response = event["response"].clone(),
            "response.completed" | "response.incomplete" => {
                assert_eq!(event["response"]["id"], response["id"]);
                response = event["response"].clone();
            }
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len()), "indices are not dense");
                assert!(ids.insert(event["item"]["id"].to_string()), "an id comes twice");
                items.push((event["item"].clone(), false));
            }
            "response.output_item.done" => {
                let (item, done) = &mut items[at.unwrap()];
                assert!(!std::mem::replace(done, true));
                for (key, value) in item.as_object().unwrap() {
                    // These have no events of their own.
                    if !matches!(&**key, "status" | "output" | "error" | "tools") {
                        assert_eq!(*value, event["item"][key], "{key} is not what the events told");
                    }
                }
                *item = event["item"].clone();
            }
            _ => {
                let (item, done) = &mut items[at.unwrap()];
                assert!(!*done && item["id"] == event["item_id"]);
                fold(item, &kind, &event);
            }
        }
        kinds.push(kind);
    }
    let items: Vec<Value> = items
        .into_iter()
        .map(|(item, done)| {
            assert!(done);
            item
        })
        .collect();
    assert_eq!(response["output"], json!(items), "the final output is not what was streamed");
    (kinds, response)
}

/// Takes an event into the item that it tells of.
fn fold(item: &mut Value, kind: &str, event: &Value) {
    let place = |key: &str| usize::try_from(event[key].as_u64().unwrap()).unwrap();
    let grow = |text: &mut Value| {
        *text = json!(format!("{}{}", text.as_str().unwrap(), event["delta"].as_str().unwrap()));
    };
    match kind {
        "response.content_part.added" => item["content"].as_array_mut().unwrap().push(event["part"].clone()),
        "response.output_text.delta" => grow(&mut item["content"][place("content_index")]["text"]),
        "response.refusal.delta" => grow(&mut item["content"][place("content_index")]["refusal"]),
        "response.content_part.done" => {
            let part = &mut item["content"][place("content_index")];
            for key in ["text", "refusal"] {
                assert_eq!(part[key], event["part"][key]);
            }
            *part = event["part"].clone();
        }
        "response.reasoning_summary_part.added" => {
            item["summary"].as_array_mut().unwrap().push(event["part"].clone());
        }
        "response.reasoning_summary_text.delta" => grow(&mut item["summary"][place("summary_index")]["text"]),
        "response.reasoning_summary_part.done" => {
            assert_eq!(item["summary"][place("summary_index")], event["part"]);
        }
        "response.function_call_arguments.delta" | "response.mcp_call_arguments.delta" => {
            grow(&mut item["arguments"]);
        }
        "response.function_call_arguments.done" | "response.mcp_call_arguments.done" => {
            assert_eq!(item["arguments"], event["arguments"]);
        }
        "response.custom_tool_call_input.delta" => grow(&mut item["input"]),
        _ => {}
    }
}

/// How the calls of a round are shown.
fn showing<'a>(calls: &'a [(&'a ToolCall, ToolResult)]) -> Showing<'a> {
    let shown = |(call, result): &'a (&'a ToolCall, ToolResult)| ShownCall {
        seal: format!("seal-{}", call.id),
        call,
        server: "srv",
        tool: call.name.strip_prefix("srv__").unwrap(),
        result,
        line: None,
    };
    Showing { calls: calls.iter().map(shown).collect(), seal: None, listings: Vec::new() }
}

/// Ends the message, which the client gets in this form.
fn finished(mut splicer: Box<dyn Splicer>, mut out: BytesMut, delivery: Delivery) -> Value {
    splicer.finish(Ending::Natural, &mut out);
    match delivery {
        Delivery::Streamed => folded(&out).1,
        Delivery::Whole => serde_json::from_slice(&out).unwrap(),
    }
}
