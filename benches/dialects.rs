//! What the wire APIs cost: an agent's request of about 200 kB with 50 injected tools, and streams of 1,000
//! frames that arrive in pieces of 1 KiB.

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use serde_json::{Value, json};
use toolgate::dialect::{
    Chat, Dialect, Ending, Messages, NextRound, Request, Responses, Round, SpliceSettings, Splicer,
    UsageStyle,
};
use toolgate::domain::{Digest, Form, Repeat, ToolDefinition, ToolRef, ToolResult};

const APIS: [Api; 3] = [Api::Messages, Api::Chat, Api::Responses];
const FRAMES: usize = 1000;
const SETTINGS: SpliceSettings =
    SpliceSettings { max_frame: 1 << 20, max_answer: 1 << 24, usage: UsageStyle::Sum, form: Form::Hidden };

fn main() {
    divan::main();
}

#[divan::bench(args = APIS)]
fn read_and_render(bencher: Bencher, api: Api) {
    let body = api.request_body();
    bencher.counter(BytesCount::new(body.len())).bench(|| api.dialect().read(body.clone()).unwrap().body());
}

/// What every request costs in order that its conversation be known again.
#[divan::bench(args = APIS)]
fn history(bencher: Bencher, api: Api) {
    let body = api.request_body();
    let request = api.dialect().read(body.clone()).unwrap();
    bencher.counter(BytesCount::new(body.len())).bench(|| api.dialect().history(&request));
}

#[divan::bench(args = APIS)]
fn inject_and_render(bencher: Bencher, api: Api) {
    let (body, tools) = (api.request_body(), tools());
    bencher.with_inputs(|| api.dialect().read(body.clone()).unwrap()).bench_values(|mut request| {
        api.dialect().inject(&mut request, &tools);
        request.body()
    });
}

#[divan::bench(args = APIS)]
fn append_and_render(bencher: Bencher, api: Api) {
    let (round, results) = (api.round(), vec![ToolResult::text("42 birds ".repeat(500)); 4]);
    bencher.with_inputs(|| api.injected_request()).bench_values(|mut request| {
        api.dialect().append(&mut request, &api.dialect().keep(&round, &results), NextRound::MayCall);
        request.body()
    });
}

/// The first round, whose frames go out as they came.
#[divan::bench(args = APIS)]
fn splice(bencher: Bencher, api: Api) {
    let stream = api.text_stream();
    bencher.counter(ItemsCount::new(FRAMES)).with_inputs(|| api.splicer()).bench_values(|mut splicer| {
        let mut out = BytesMut::new();
        feed(&mut *splicer, &stream, &mut out);
        splicer.end_round(&mut out).unwrap();
        splicer.finish(Ending::Natural, &mut out);
        out
    });
}

/// A round after another, whose frames get other ids, indices or sequence numbers.
#[divan::bench(args = APIS)]
fn splice_second_round(bencher: Bencher, api: Api) {
    let (calls, stream) = (api.call_stream(), api.text_stream());
    let begun = || {
        let (mut splicer, mut out) = (api.splicer(), BytesMut::new());
        feed(&mut *splicer, &calls, &mut out);
        splicer.end_round(&mut out).unwrap();
        splicer.next_round(&mut out);
        splicer
    };
    bencher.counter(ItemsCount::new(FRAMES)).with_inputs(begun).bench_values(|mut splicer| {
        let mut out = BytesMut::new();
        feed(&mut *splicer, &stream, &mut out);
        splicer.end_round(&mut out).unwrap();
        splicer.finish(Ending::Natural, &mut out);
        out
    });
}

/// Feeds a stream as a connection does: what the client would get is taken away after each piece.
fn feed(splicer: &mut dyn Splicer, stream: &str, out: &mut BytesMut) {
    for piece in stream.as_bytes().chunks(1024) {
        out.clear();
        splicer.feed(piece, out).unwrap();
    }
}

fn tools() -> Vec<Arc<ToolDefinition>> {
    let schema = json!({"type": "object", "properties": {
        "query": {"type": "string", "description": "What to look for, in the words of the search language."},
        "limit": {"type": "integer", "minimum": 1, "maximum": 100, "description": "How many results at most."},
        "order": {"type": "string", "enum": ["newest", "oldest", "relevance"]},
    }, "required": ["query"]});
    let tool = |number: usize| ToolDefinition {
        name: format!("server{}__look_{number}", number % 5),
        source: ToolRef { server: format!("server{}", number % 5), tool: format!("look_{number}") },
        server_url: "https://mcp.example.com".to_owned(),
        description:
            "Looks for things that fit a query, and tells where they are and who changed them last. "
                .repeat(3),
        input_schema: schema.to_string(),
        read_only: true,
        repeat: Repeat::default(),
        timeout: Duration::from_secs(30),
        digest: Digest::default(),
    };
    (0..50).map(|number| Arc::new(tool(number))).collect()
}

#[derive(Clone, Copy, Debug)]
enum Api {
    Messages,
    Chat,
    Responses,
}

impl Api {
    fn dialect(self) -> &'static dyn Dialect {
        match self {
            Self::Messages => &Messages,
            Self::Chat => &Chat,
            Self::Responses => &Responses,
        }
    }

    fn injected_request(self) -> Request {
        let mut request = self.dialect().read(self.request_body()).unwrap();
        self.dialect().inject(&mut request, &tools());
        request
    }

    fn splicer(self) -> Box<dyn Splicer> {
        self.dialect().splicer(&self.injected_request(), "text/event-stream", SETTINGS)
    }

    /// A round of four injected calls.
    fn round(self) -> Round {
        let (mut splicer, mut out) = (self.splicer(), BytesMut::new());
        feed(&mut *splicer, &self.call_stream(), &mut out);
        splicer.end_round(&mut out).unwrap()
    }

    /// An agent's request: 20 tools, and 50 turns that each read a file.
    fn request_body(self) -> Bytes {
        let schema = json!({"type": "object", "properties": {"path": {"type": "string", "description": "A path. ".repeat(40)}}});
        let mut history = Vec::new();
        for turn in 0..50 {
            history.extend(self.turn(&format!("call_{turn}"), &"let \"x\" = 1;\n\tdo_it();\n".repeat(150)));
        }
        let tool = |number: usize| match self {
            Self::Messages => {
                json!({"name": format!("tool_{number}"), "description": "A tool.", "input_schema": schema})
            }
            Self::Chat => {
                json!({"type": "function", "function": {"name": format!("tool_{number}"), "parameters": schema}})
            }
            Self::Responses => {
                json!({"type": "function", "name": format!("tool_{number}"), "parameters": schema})
            }
        };
        let history_key = if let Self::Responses = self { "input" } else { "messages" };
        let mut request = json!({"model": "m-1", "stream": true, "temperature": 0.7});
        if let Self::Responses = self {
            (request["store"], request["include"]) = (json!(false), json!(["reasoning.encrypted_content"]));
        }
        request["tools"] = (0..20).map(tool).collect();
        request[history_key] = Value::Array(history);
        Bytes::from(request.to_string())
    }

    /// A user's message, a call of the model's, and its result.
    fn turn(self, call: &str, result: &str) -> Vec<Value> {
        let arguments = json!({"path": "src/main.rs"});
        let user = json!({"role": "user", "content": "Go on, please."});
        match self {
            Self::Messages => vec![
                user,
                json!({"role": "assistant", "content": [{"type": "tool_use", "id": call, "name": "tool_1", "input": arguments}]}),
                json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": call, "content": result}]}),
            ],
            Self::Chat => vec![
                user,
                json!({"role": "assistant", "tool_calls": [{"id": call, "type": "function",
                    "function": {"name": "tool_1", "arguments": arguments.to_string()}}]}),
                json!({"role": "tool", "tool_call_id": call, "content": result}),
            ],
            Self::Responses => vec![
                user,
                json!({"type": "function_call", "call_id": call, "name": "tool_1", "arguments": arguments.to_string()}),
                json!({"type": "function_call_output", "call_id": call, "output": result}),
            ],
        }
    }

    /// A stream of one text in 1,000 pieces.
    fn text_stream(self) -> String {
        match self {
            Self::Messages => {
                let delta = json!({"type": "text_delta", "text": " a word"});
                message_stream(&[(json!({"type": "text", "text": ""}), vec![delta; FRAMES])], "end_turn")
            }
            Self::Chat => chat_stream(&vec![json!({"content": " a word"}); FRAMES], "stop"),
            Self::Responses => {
                let item = json!({"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                    "content": [{"type": "output_text", "text": " a word".repeat(FRAMES), "annotations": []}]});
                let delta = json!({"type": "response.output_text.delta", "item_id": "msg_1", "content_index": 0, "delta": " a word", "logprobs": []});
                response_stream(&[(item, vec![delta; FRAMES])])
            }
        }
    }

    /// A stream of four calls of injected tools.
    fn call_stream(self) -> String {
        let name = |at: usize| format!("server{at}__look_{at}");
        match self {
            Self::Messages => {
                let delta = json!({"type": "input_json_delta", "partial_json": r#"{"query":"birds"}"#});
                let call = |at| {
                    (
                        json!({"type": "tool_use", "id": format!("c{at}"), "name": name(at), "input": {}}),
                        vec![delta.clone()],
                    )
                };
                message_stream(&(0..4).map(call).collect::<Vec<_>>(), "tool_use")
            }
            Self::Chat => {
                let call = |at: usize| {
                    json!({"tool_calls": [{"index": at, "id": format!("c{at}"), "type": "function",
                    "function": {"name": name(at), "arguments": r#"{"query":"birds"}"#}}]})
                };
                chat_stream(&(0..4).map(call).collect::<Vec<_>>(), "tool_calls")
            }
            Self::Responses => {
                let call = |at: usize| {
                    let item = json!({"type": "function_call", "id": format!("fc_{at}"), "call_id": format!("c{at}"),
                        "name": name(at), "arguments": r#"{"query":"birds"}"#, "status": "completed"});
                    (item, Vec::new())
                };
                response_stream(&(0..4).map(call).collect::<Vec<_>>())
            }
        }
    }
}

fn named(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn message_stream(blocks: &[(Value, Vec<Value>)], stop: &str) -> String {
    let mut stream = named(
        &json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
        "model": "m-1", "content": [], "usage": {"input_tokens": 10, "output_tokens": 1}}}),
    );
    for (index, (start, deltas)) in blocks.iter().enumerate() {
        stream += &named(&json!({"type": "content_block_start", "index": index, "content_block": start}));
        for delta in deltas {
            stream += &named(&json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        stream += &named(&json!({"type": "content_block_stop", "index": index}));
    }
    stream += &named(
        &json!({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 5}}),
    );
    stream + &named(&json!({"type": "message_stop"}))
}

fn chat_stream(deltas: &[Value], finish: &str) -> String {
    let chunk = |delta: &Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
        let chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m-1",
            "service_tier": "default", "system_fingerprint": "fp_1", "choices": [choice], "usage": null});
        format!("data: {chunk}\n\n")
    };
    let mut stream = chunk(&json!({"role": "assistant", "content": ""}), Value::Null);
    stream.extend(deltas.iter().map(|delta| chunk(delta, Value::Null)));
    stream + &chunk(&json!({}), json!(finish)) + "data: [DONE]\n\n"
}

fn response_stream(items: &[(Value, Vec<Value>)]) -> String {
    let response = |status: &str, output: &[&Value]| {
        json!({"id": "resp_1", "object": "response", "created_at": 1, "status": status,
        "model": "m-1", "output": output, "tools": [], "tool_choice": "auto", "usage": {"input_tokens": 10, "output_tokens": 5}})
    };
    let mut events = vec![json!({"type": "response.created", "response": response("in_progress", &[])})];
    for (index, (item, deltas)) in items.iter().enumerate() {
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": item}));
        for delta in deltas {
            let mut delta = delta.clone();
            delta["output_index"] = json!(index);
            events.push(delta);
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let output: Vec<&Value> = items.iter().map(|(item, _)| item).collect();
    events.push(json!({"type": "response.completed", "response": response("completed", &output)}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(named).collect()
}
