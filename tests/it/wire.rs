//! The three APIs as their providers speak them: what a model says, as frames and as a whole.

use serde_json::{Value, json};

/// One of the three APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Api {
    Messages,
    Chat,
    Responses,
}

/// How an answer is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Streamed,
    Whole,
}

pub const APIS: [Api; 3] = [Api::Messages, Api::Chat, Api::Responses];
pub const MODES: [Mode; 2] = [Mode::Streamed, Mode::Whole];

/// Each API, streamed and whole.
pub fn all_forms() -> impl Iterator<Item = (Api, Mode)> {
    APIS.into_iter().flat_map(|api| MODES.into_iter().map(move |mode| (api, mode)))
}

/// What the model says in one round.
#[derive(Clone, Debug, Default)]
pub struct Say {
    pub id: String,
    /// Thinking (messages), reasoning (responses), `reasoning_content` (chat).
    pub thinking: Option<String>,
    /// Pieces of one text.
    pub text: Vec<String>,
    pub calls: Vec<Call>,
    pub input: u64,
    pub output: u64,
    /// Reasoning goes out without its seal: the provider stores the response, or was not asked for it.
    pub unsealed: bool,
    /// Another stop reason than the one that follows from the calls, in the API's words.
    pub stop: Option<String>,
}

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

pub fn say(id: &str) -> Say {
    Say { id: id.to_owned(), input: 10, output: 5, ..Say::default() }
}

impl Say {
    /// Adds a text, streamed word by word.
    pub fn text(mut self, text: &str) -> Self {
        self.text = text.split_inclusive(' ').map(str::to_owned).collect();
        self
    }

    pub fn thinking(mut self, thought: &str) -> Self {
        self.thinking = Some(thought.to_owned());
        self
    }

    pub fn call(mut self, id: &str, name: &str, arguments: &str) -> Self {
        self.calls.push(Call { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() });
        self
    }

    pub fn tokens(mut self, input: u64, output: u64) -> Self {
        (self.input, self.output) = (input, output);
        self
    }

    pub fn stop(mut self, stop: &str) -> Self {
        self.stop = Some(stop.to_owned());
        self
    }
}

impl Api {
    pub fn path(self) -> &'static str {
        match self {
            Self::Messages => "/v1/messages",
            Self::Chat => "/v1/chat/completions",
            Self::Responses => "/v1/responses",
        }
    }

    /// A request with this prompt and function tools of the client's with these names.
    pub fn request(self, mode: Mode, prompt: &str, tools: &[&str]) -> Value {
        let schema = json!({"type": "object", "properties": {}});
        let mut request = match self {
            Self::Messages => {
                json!({"model": "m-1", "max_tokens": 100, "messages": [{"role": "user", "content": prompt}]})
            }
            Self::Chat => json!({"model": "m-1", "messages": [{"role": "user", "content": prompt}]}),
            Self::Responses => {
                json!({"model": "m-1", "input": [{"role": "user", "content": prompt}], "store": false})
            }
        };
        let tool = |name: &&str| match self {
            Self::Messages => json!({"name": name, "description": "the client's", "input_schema": schema}),
            Self::Chat => json!({"type": "function", "function": {"name": name, "parameters": schema}}),
            Self::Responses => json!({"type": "function", "name": name, "parameters": schema}),
        };
        if !tools.is_empty() {
            request["tools"] = tools.iter().map(tool).collect();
        }
        if mode == Mode::Streamed {
            request["stream"] = json!(true);
        }
        request
    }

    /// The answer in one piece.
    pub fn whole(self, say: &Say) -> Value {
        match self {
            Self::Messages => message(say),
            Self::Chat => completion(say),
            Self::Responses => response(say, say.stop.as_deref().unwrap_or("completed")),
        }
    }

    /// The answer as frames.
    pub fn frames(self, say: &Say) -> Vec<String> {
        match self {
            Self::Messages => message_frames(say),
            Self::Chat => chat_frames(say),
            Self::Responses => response_frames(say),
        }
    }
}

/// A frame with the name that its data's `type` gives.
pub fn named(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

/// A frame of data alone.
pub fn unnamed(data: &Value) -> String {
    format!("data: {data}\n\n")
}

fn text(say: &Say) -> String {
    say.text.concat()
}

fn arguments(call: &Call) -> Value {
    serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}))
}

/// Pieces of a text of at most three characters.
fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(3).map(|piece| piece.iter().collect()).collect()
}

fn message(say: &Say) -> Value {
    let mut content = Vec::new();
    if let Some(thinking) = &say.thinking {
        content
            .push(json!({"type": "thinking", "thinking": thinking, "signature": format!("sig-{}", say.id)}));
    }
    if !say.text.is_empty() {
        content.push(json!({"type": "text", "text": text(say)}));
    }
    for call in &say.calls {
        content.push(json!({"type": "tool_use", "id": call.id, "name": call.name, "input": arguments(call)}));
    }
    let stop =
        say.stop.clone().unwrap_or_else(|| if say.calls.is_empty() { "end_turn" } else { "tool_use" }.into());
    json!({"id": say.id, "type": "message", "role": "assistant", "model": "m-1-2026", "content": content,
        "stop_reason": stop, "stop_sequence": null,
        "usage": {"input_tokens": say.input, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 7,
            "output_tokens": say.output, "service_tier": "standard"}})
}

fn message_frames(say: &Say) -> Vec<String> {
    let whole = message(say);
    let mut start = whole.clone();
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let mut frames =
        vec![named(&json!({"type": "message_start", "message": start})), named(&json!({"type": "ping"}))];
    let mut index = 0;
    let mut block = |start: Value, deltas: Vec<Value>| {
        frames.push(named(&json!({"type": "content_block_start", "index": index, "content_block": start})));
        for delta in deltas {
            frames.push(named(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
        }
        frames.push(named(&json!({"type": "content_block_stop", "index": index})));
        index += 1;
    };
    if let Some(thinking) = &say.thinking {
        let mut deltas: Vec<Value> = pieces(thinking)
            .iter()
            .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
            .collect();
        deltas.push(json!({"type": "signature_delta", "signature": format!("sig-{}", say.id)}));
        block(json!({"type": "thinking", "thinking": "", "signature": ""}), deltas);
    }
    if !say.text.is_empty() {
        block(
            json!({"type": "text", "text": ""}),
            say.text.iter().map(|piece| json!({"type": "text_delta", "text": piece})).collect(),
        );
    }
    for call in &say.calls {
        let start = json!({"type": "tool_use", "id": call.id, "name": call.name, "input": {}});
        block(
            start,
            pieces(&call.arguments)
                .iter()
                .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                .collect(),
        );
    }
    frames.push(named(&json!({"type": "message_delta", "delta": {"stop_reason": whole["stop_reason"], "stop_sequence": null},
        "usage": {"output_tokens": say.output}})));
    frames.push(named(&json!({"type": "message_stop"})));
    frames
}

fn finish(say: &Say) -> String {
    say.stop.clone().unwrap_or_else(|| if say.calls.is_empty() { "stop" } else { "tool_calls" }.into())
}

fn chat_usage(say: &Say) -> Value {
    json!({"prompt_tokens": say.input, "completion_tokens": say.output, "total_tokens": say.input + say.output,
        "prompt_tokens_details": {"cached_tokens": 2}, "completion_tokens_details": {"reasoning_tokens": 1}})
}

fn completion(say: &Say) -> Value {
    let mut message = json!({"role": "assistant", "content": if say.text.is_empty() { Value::Null } else { json!(text(say)) }, "refusal": null});
    if let Some(thinking) = &say.thinking {
        message["reasoning_content"] = json!(thinking);
    }
    if !say.calls.is_empty() {
        message["tool_calls"] = say
            .calls
            .iter()
            .map(|call| {
                json!({"id": call.id, "type": "function",
            "function": {"name": call.name, "arguments": call.arguments}})
            })
            .collect();
    }
    json!({"id": say.id, "object": "chat.completion", "created": 1, "model": "m-1-2026", "system_fingerprint": "fp",
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(say)}], "usage": chat_usage(say)})
}

/// Chat chunks with usage at the end, as a provider sends them when asked for it: `usage: null` in the others.
fn chat_frames(say: &Say) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        unnamed(
            &json!({"id": say.id, "object": "chat.completion.chunk", "created": 1, "model": "m-1-2026", "choices": choices, "usage": usage}),
        )
    };
    let choice = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };
    let mut frames = vec![choice(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)];
    for piece in say.thinking.iter().flat_map(|thinking| pieces(thinking)) {
        frames.push(choice(json!({"reasoning_content": piece}), Value::Null));
    }
    for piece in &say.text {
        frames.push(choice(json!({"content": piece}), Value::Null));
    }
    for (index, call) in say.calls.iter().enumerate() {
        let first = json!({"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}});
        frames.push(choice(json!({"tool_calls": [first]}), Value::Null));
        for piece in pieces(&call.arguments) {
            frames.push(choice(
                json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}),
                Value::Null,
            ));
        }
    }
    frames.push(choice(json!({}), json!(finish(say))));
    frames.push(chunk(json!([]), chat_usage(say)));
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

/// The response object of a round.
pub fn response(say: &Say, status: &str) -> Value {
    let mut output = Vec::new();
    if let Some(thinking) = &say.thinking {
        let mut item = json!({"id": format!("rs_{}", say.id), "type": "reasoning", "summary": [{"type": "summary_text", "text": thinking}]});
        if !say.unsealed {
            item["encrypted_content"] = json!(format!("sealed-{}", say.id));
        }
        output.push(item);
    }
    if !say.text.is_empty() {
        output.push(json!({"id": format!("msg_{}", say.id), "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": text(say), "annotations": [], "logprobs": []}]}));
    }
    for call in &say.calls {
        output.push(json!({"id": format!("fc_{}", call.id), "type": "function_call", "status": "completed",
            "call_id": call.id, "name": call.name, "arguments": call.arguments}));
    }
    json!({"id": say.id, "object": "response", "created_at": 1, "status": status, "model": "m-1-2026", "output": output,
        "error": null, "incomplete_details": null, "instructions": null, "metadata": {}, "parallel_tool_calls": true,
        "previous_response_id": null, "tool_choice": "auto", "tools": [], "temperature": 1.0, "top_p": 1.0,
        "usage": {"input_tokens": say.input, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": say.output,
            "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": say.input + say.output}})
}

fn response_frames(say: &Say) -> Vec<String> {
    let complete = response(say, say.stop.as_deref().unwrap_or("completed"));
    let mut opening = complete.clone();
    (opening["output"], opening["usage"], opening["status"]) = (json!([]), Value::Null, json!("in_progress"));
    let mut events = vec![
        json!({"type": "response.created", "response": opening}),
        json!({"type": "response.in_progress", "response": opening}),
    ];
    for (index, item) in complete["output"].as_array().unwrap().iter().enumerate() {
        item_events(index, item, say, &mut events);
    }
    let status = complete["status"].as_str().unwrap();
    events.push(json!({"type": format!("response.{status}"), "response": complete}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(named).collect()
}

fn item_events(index: usize, item: &Value, say: &Say, events: &mut Vec<Value>) {
    let id = &item["id"];
    let mut opening = item.clone();
    opening["status"] = json!("in_progress");
    match item["type"].as_str().unwrap() {
        "reasoning" => {
            opening["summary"] = json!([]);
            let text = &item["summary"][0]["text"];
            events
                .push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
            events.push(json!({"type": "response.reasoning_summary_part.added", "output_index": index, "item_id": id, "summary_index": 0, "part": {"type": "summary_text", "text": ""}}));
            events.push(json!({"type": "response.reasoning_summary_text.delta", "output_index": index, "item_id": id, "summary_index": 0, "delta": text}));
            events.push(json!({"type": "response.reasoning_summary_text.done", "output_index": index, "item_id": id, "summary_index": 0, "text": text}));
            events.push(json!({"type": "response.reasoning_summary_part.done", "output_index": index, "item_id": id, "summary_index": 0, "part": {"type": "summary_text", "text": text}}));
        }
        "message" => {
            opening["content"] = json!([]);
            let part = &item["content"][0];
            events
                .push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
            events.push(json!({"type": "response.content_part.added", "output_index": index, "item_id": id, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": [], "logprobs": []}}));
            for piece in &say.text {
                events.push(json!({"type": "response.output_text.delta", "output_index": index, "item_id": id, "content_index": 0, "delta": piece, "logprobs": []}));
            }
            events.push(json!({"type": "response.output_text.done", "output_index": index, "item_id": id, "content_index": 0, "text": part["text"], "logprobs": []}));
            events.push(json!({"type": "response.content_part.done", "output_index": index, "item_id": id, "content_index": 0, "part": part}));
        }
        _ => {
            opening["arguments"] = json!("");
            events
                .push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
            for piece in pieces(item["arguments"].as_str().unwrap()) {
                events.push(json!({"type": "response.function_call_arguments.delta", "output_index": index, "item_id": id, "delta": piece}));
            }
            events.push(json!({"type": "response.function_call_arguments.done", "output_index": index, "item_id": id, "name": item["name"], "arguments": item["arguments"]}));
        }
    }
    events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
}
