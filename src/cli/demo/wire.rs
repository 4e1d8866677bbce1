//! The three APIs as the demo model speaks them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::brain::{Reply, Turn};

/// The name of an event, where the API names them, and its data.
type Event = (Option<String>, String);

/// How one API is read and written.
#[derive(Clone, Copy)]
pub struct Api {
    /// Reads a request.
    pub read: fn(&Value) -> Turn,
    /// The answer in one piece.
    pub whole: fn(&Reply) -> Value,
    /// The answer as events.
    pub stream: fn(&Reply) -> Vec<Event>,
}

/// Anthropic's Messages.
pub const MESSAGES: Api = Api { read: read_messages, whole: message, stream: message_events };
/// `OpenAI`'s Chat Completions.
pub const CHAT: Api = Api { read: read_chat, whole: completion, stream: chunks };
/// `OpenAI`'s Responses.
pub const RESPONSES: Api = Api { read: read_responses, whole: response, stream: response_events };

fn id(prefix: &str) -> String {
    format!("{prefix}_demo_{}", Uuid::now_v7().simple())
}

/// A text, or the texts of an array of parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts = parts.iter().map(|part| {
                text_of(if part["content"].is_null() { &part["text"] } else { &part["content"] })
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

fn tools(request: &Value, at: &str, schema: &str) -> Vec<(String, String, Value)> {
    let list = request["tools"].as_array().into_iter().flatten();
    let tool = |tool: &Value| {
        let tool = if at.is_empty() { tool } else { &tool[at] };
        let text = |key: &str| tool[key].as_str().unwrap_or_default().to_owned();
        (text("name"), text("description"), tool[schema].clone())
    };
    list.map(tool).collect()
}

/// The turn of a conversation whose last item is, or is not, a tool's result.
fn turn(tools: Vec<(String, String, Value)>, content: &Value, is_result: bool) -> Turn {
    let text = text_of(content);
    if is_result {
        return Turn { tools, prompt: String::new(), result: Some(text) };
    }
    Turn { tools, prompt: text, result: None }
}

fn read_messages(request: &Value) -> Turn {
    let last =
        request["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    let is_result = last["content"]
        .as_array()
        .is_some_and(|blocks| blocks.iter().any(|block| block["type"] == "tool_result"));
    turn(tools(request, "", "input_schema"), &last["content"], is_result)
}

fn read_chat(request: &Value) -> Turn {
    let last =
        request["messages"].as_array().and_then(|messages| messages.last()).cloned().unwrap_or_default();
    turn(tools(request, "function", "parameters"), &last["content"], last["role"] == "tool")
}

fn read_responses(request: &Value) -> Turn {
    let tools = tools(request, "", "parameters");
    match &request["input"] {
        Value::Array(items) => {
            let last = items.last().cloned().unwrap_or_default();
            let is_result = last["type"] == "function_call_output";
            turn(tools, if is_result { &last["output"] } else { &last["content"] }, is_result)
        }
        text => turn(tools, text, false),
    }
}

fn usage(reply: &Reply, input: &str, output: &str) -> Value {
    let tokens = reply.text.len() / 4 + 1;
    let mut usage = json!({ input: 100, output: tokens });
    if input == "prompt_tokens" || output == "output_tokens" && input == "input_tokens" {
        usage["total_tokens"] = json!(100 + tokens);
    }
    usage
}

fn message(reply: &Reply) -> Value {
    let mut content = vec![json!({"type": "text", "text": reply.text})];
    if let Some((name, input)) = &reply.call {
        content.push(json!({"type": "tool_use", "id": id("toolu"), "name": name, "input": input}));
    }
    json!({
        "id": id("msg"), "type": "message", "role": "assistant", "model": "demo", "content": content,
        "stop_reason": if reply.call.is_some() { "tool_use" } else { "end_turn" }, "stop_sequence": null,
        "usage": {"input_tokens": 100, "output_tokens": reply.text.len() / 4 + 1},
    })
}

fn message_events(reply: &Reply) -> Vec<Event> {
    let whole = message(reply);
    let named = |data: Value| (data["type"].as_str().map(str::to_owned), data.to_string());
    let mut start = whole.clone();
    (start["content"], start["stop_reason"]) = (json!([]), Value::Null);
    start["usage"]["output_tokens"] = json!(1);
    let mut events = vec![named(json!({"type": "message_start", "message": start}))];
    for (index, block) in whole["content"].as_array().into_iter().flatten().enumerate() {
        let mut empty = block.clone();
        let deltas: Vec<Value> = if block["type"] == "text" {
            empty["text"] = json!("");
            pieces(&reply.text).map(|text| json!({"type": "text_delta", "text": text})).collect()
        } else {
            empty["input"] = json!({});
            vec![json!({"type": "input_json_delta", "partial_json": block["input"].to_string()})]
        };
        events.push(named(json!({"type": "content_block_start", "index": index, "content_block": empty})));
        events.extend(
            deltas
                .into_iter()
                .map(|delta| named(json!({"type": "content_block_delta", "index": index, "delta": delta}))),
        );
        events.push(named(json!({"type": "content_block_stop", "index": index})));
    }
    let delta = json!({"stop_reason": whole["stop_reason"], "stop_sequence": null});
    let usage = json!({"output_tokens": whole["usage"]["output_tokens"]});
    events.push(named(json!({"type": "message_delta", "delta": delta, "usage": usage})));
    events.push(named(json!({"type": "message_stop"})));
    events
}

fn tool_calls(reply: &Reply) -> Option<Value> {
    let (name, arguments) = reply.call.as_ref()?;
    Some(
        json!([{"index": 0, "id": id("call"), "type": "function", "function": {"name": name, "arguments": arguments.to_string()}}]),
    )
}

fn completion(reply: &Reply) -> Value {
    let mut message = json!({"role": "assistant", "content": reply.text});
    if let Some(mut calls) = tool_calls(reply) {
        if let Some(call) = calls[0].as_object_mut() {
            call.shift_remove("index");
        }
        message["tool_calls"] = calls;
    }
    let finish = if reply.call.is_some() { "tool_calls" } else { "stop" };
    json!({
        "id": id("chatcmpl"), "object": "chat.completion", "created": 0, "model": "demo",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
        "usage": usage(reply, "prompt_tokens", "completion_tokens"),
    })
}

fn chunks(reply: &Reply) -> Vec<Event> {
    let id = id("chatcmpl");
    let chunk = |choices: Value| json!({"id": id, "object": "chat.completion.chunk", "created": 0, "model": "demo", "choices": choices});
    let choice = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]))
    };
    let mut data = vec![choice(json!({"role": "assistant", "content": ""}), Value::Null)];
    data.extend(pieces(&reply.text).map(|text| choice(json!({"content": text}), Value::Null)));
    if let Some(calls) = tool_calls(reply) {
        data.push(choice(json!({"tool_calls": calls}), Value::Null));
    }
    data.push(choice(json!({}), json!(if reply.call.is_some() { "tool_calls" } else { "stop" })));
    let mut last = chunk(json!([]));
    last["usage"] = usage(reply, "prompt_tokens", "completion_tokens");
    data.push(last);
    let lines = data.into_iter().map(|data| data.to_string());
    lines.chain(["[DONE]".to_owned()]).map(|data| (None, data)).collect()
}

fn output(reply: &Reply) -> Vec<Value> {
    let part = json!({"type": "output_text", "text": reply.text, "annotations": []});
    let mut items = vec![
        json!({"id": id("msg"), "type": "message", "role": "assistant", "status": "completed", "content": [part]}),
    ];
    if let Some((name, arguments)) = &reply.call {
        items.push(json!({"id": id("fc"), "type": "function_call", "status": "completed", "call_id": id("call"), "name": name, "arguments": arguments.to_string()}));
    }
    items
}

fn response(reply: &Reply) -> Value {
    json!({
        "id": id("resp"), "object": "response", "created_at": 0, "status": "completed", "model": "demo",
        "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
        "previous_response_id": null, "store": true, "temperature": 1.0, "top_p": 1.0, "tool_choice": "auto", "tools": [],
        "output": output(reply), "usage": usage(reply, "input_tokens", "output_tokens"),
    })
}

fn response_events(reply: &Reply) -> Vec<Event> {
    let complete = response(reply);
    let mut opening = complete.clone();
    (opening["output"], opening["usage"], opening["status"]) = (json!([]), Value::Null, json!("in_progress"));
    let mut events = vec![
        json!({"type": "response.created", "response": opening}),
        json!({"type": "response.in_progress", "response": opening}),
    ];
    for (index, item) in complete["output"].as_array().into_iter().flatten().enumerate() {
        events.extend(item_events(index, item));
    }
    events.push(json!({"type": "response.completed", "response": complete}));
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = json!(number);
        (event["type"].as_str().map(str::to_owned), event.to_string())
    });
    numbered.collect()
}

fn item_events(index: usize, item: &Value) -> Vec<Value> {
    let mut opening = item.clone();
    opening["status"] = json!("in_progress");
    let at = |kind: &str, fields: Value| {
        let mut event = json!({"type": kind, "output_index": index, "item_id": item["id"]});
        for (key, value) in fields.as_object().into_iter().flatten() {
            event[key] = value.clone();
        }
        event
    };
    let mut events = Vec::new();
    if item["type"] == "message" {
        let part = &item["content"][0];
        let text = part["text"].as_str().unwrap_or_default();
        opening["content"] = json!([]);
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
        events.push(at(
            "response.content_part.added",
            json!({"content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}}),
        ));
        events.extend(pieces(text).map(|delta| {
            at("response.output_text.delta", json!({"content_index": 0, "delta": delta, "logprobs": []}))
        }));
        events
            .push(at("response.output_text.done", json!({"content_index": 0, "text": text, "logprobs": []})));
        events.push(at("response.content_part.done", json!({"content_index": 0, "part": part})));
    } else {
        opening["arguments"] = json!("");
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
        events.push(at("response.function_call_arguments.delta", json!({"delta": item["arguments"]})));
        events.push(at(
            "response.function_call_arguments.done",
            json!({"name": item["name"], "arguments": item["arguments"]}),
        ));
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    events
}

/// A text word by word.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(' ')
}
