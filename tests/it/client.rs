//! A client as strict as the SDKs: it folds a stream into its message, and panics at the first event that an
//! SDK would not take.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::wire::{Api, Call, Mode};

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// An answer under way.
pub struct Live {
    response: reqwest::Response,
    body: Vec<u8>,
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what must come.
pub async fn patiently<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

impl Live {
    /// An answer of which nothing has been read.
    pub fn new(response: reqwest::Response) -> Self {
        Self { response, body: Vec::new() }
    }

    /// The id of the interception.
    pub fn interception(&self) -> String {
        self.response.headers()["x-toolgate-interception"].to_str().unwrap().to_owned()
    }

    /// What has come.
    pub fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Reads until this text has come `count` times.
    pub async fn until_times(&mut self, text: &str, count: usize) {
        while self.so_far().matches(text).count() < count {
            let what = format!("{text:?} after {}", self.so_far());
            let piece = patiently(&what, self.response.chunk()).await.unwrap();
            self.body.extend(piece.unwrap_or_else(|| panic!("no {text:?} in: {}", self.so_far())));
        }
    }

    /// Reads until this text has come.
    pub async fn until(&mut self, text: &str) {
        self.until_times(text, 1).await;
    }

    /// Reads what is left.
    pub async fn rest(mut self) -> Answer {
        let (status, headers) = (self.response.status().as_u16(), self.response.headers().clone());
        while let Some(piece) =
            patiently("the end of the answer", self.response.chunk()).await.unwrap_or(None)
        {
            self.body.extend(piece);
        }
        Answer { status, headers, body: self.so_far() }
    }
}

/// What a client makes of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    pub id: String,
    /// Texts of the message, one a block or item.
    pub texts: Vec<String>,
    pub thinking: Vec<String>,
    pub calls: Vec<Call>,
    pub stop: String,
    pub usage: Value,
}

/// An error body, read as the SDKs do.
#[derive(Debug, PartialEq)]
pub struct ApiError {
    /// The type in the messages API; code, else type, in the others.
    pub kind: String,
    pub message: String,
}

impl Answer {
    pub async fn read(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.text().await.unwrap_or_default() }
    }

    /// The error in this body, which must have the API's own shape and be meant for a program.
    pub fn error(&self, api: Api) -> ApiError {
        assert!(self.status >= 400, "no error: {}", self.body);
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.body);
        api_error(api, &self.json())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The events of a stream: name and data.
    pub fn events(&self) -> Vec<(Option<String>, String)> {
        let text = self.body.strip_prefix('\u{feff}').unwrap_or(&self.body);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let value = |line: &str, field: &str| {
            let value = line.strip_prefix(field)?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value).to_owned())
        };
        let of = |frame: &str, field: &str| frame.lines().find_map(|line| value(line, field));
        text.split("\n\n").filter_map(|frame| Some((of(frame, "event"), of(frame, "data")?))).collect()
    }

    /// The data of a stream's events as JSON, but for `[DONE]`.
    pub fn data(&self) -> Vec<Value> {
        self.events()
            .iter()
            .filter(|(_, data)| data != "[DONE]")
            .map(|(_, data)| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// The error that a client makes of an answer that is none or that breaks off. Panics where it would take
    /// the answer for complete.
    pub fn failure(&self, api: Api) -> ApiError {
        if self.status != 200 {
            return self.error(api);
        }
        assert!(!self.body.contains("[DONE]"), "an end after the error: {}", self.body);
        let event = self.data().pop().expect("an empty answer");
        let error = match event["type"].as_str() {
            Some("response.failed") => &event["response"]["error"],
            Some("error") if api == Api::Responses => &event,
            _ => return api_error(api, &event),
        };
        ApiError { kind: string(&error["code"]), message: string(&error["message"]) }
    }

    /// The answer in one piece, folded as strictly as the SDKs do.
    pub fn whole(&self, api: Api, mode: Mode) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        match (api, mode) {
            (_, Mode::Whole) => self.json(),
            (Api::Messages, Mode::Streamed) => fold_messages(self),
            (Api::Chat, Mode::Streamed) => fold_chat(self),
            (Api::Responses, Mode::Streamed) => fold_responses(self),
        }
    }

    /// The message, read as strictly as the SDKs do.
    pub fn message(&self, api: Api, mode: Mode) -> Message {
        read(api, &self.whole(api, mode))
    }
}

/// What a client makes of an answer in one piece.
pub fn read(api: Api, whole: &Value) -> Message {
    match api {
        Api::Messages => read_message(whole),
        Api::Chat => read_completion(whole),
        Api::Responses => read_response(whole),
    }
}

/// An error in this API's shape, as a body or as an event of a stream.
pub fn api_error(api: Api, body: &Value) -> ApiError {
    let error = &body["error"];
    let kind = match api {
        Api::Messages => {
            assert_eq!(body["type"], "error", "{body}");
            &error["type"]
        }
        Api::Chat | Api::Responses => {
            assert!(error["type"].is_string() && error.get("param").is_some(), "{body}");
            if error["code"].is_string() { &error["code"] } else { &error["type"] }
        }
    };
    ApiError {
        kind: kind.as_str().unwrap().to_owned(),
        message: error["message"].as_str().unwrap().to_owned(),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn append(value: &mut Value, piece: &Value) {
    *value = json!(format!("{}{}", value.as_str().unwrap_or_default(), piece.as_str().unwrap()));
}

fn fold_messages(answer: &Answer) -> Value {
    let mut message = Value::Null;
    let mut open: Option<usize> = None;
    let mut stopped = false;
    for (name, data) in answer.events() {
        let event: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(name.as_deref(), event["type"].as_str(), "the event's name is not its type");
        assert!(!stopped, "an event after message_stop: {event}");
        let index = || usize::try_from(event["index"].as_u64().unwrap()).unwrap();
        match event["type"].as_str().unwrap() {
            "ping" => {}
            "message_start" => {
                assert!(message.is_null(), "a second message_start");
                message = event["message"].clone();
            }
            "content_block_start" => {
                let content = message["content"].as_array_mut().expect("a block before the message");
                assert_eq!(open, None, "a block within a block");
                assert_eq!(index(), content.len(), "block indices are not dense");
                open = Some(index());
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(open, Some(index()), "a delta of no open block");
                let block = &mut message["content"][index()];
                let delta = &event["delta"];
                match delta["type"].as_str().unwrap() {
                    "text_delta" => append(&mut block["text"], &delta["text"]),
                    "thinking_delta" => append(&mut block["thinking"], &delta["thinking"]),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => {
                        // Claude Code breaks off at pieces of any other block's input.
                        assert_eq!(block["type"], "tool_use", "pieces of a block that has to come whole");
                        append(&mut block["json"], &delta["partial_json"]);
                    }
                    other => panic!("an unknown delta {other}"),
                }
            }
            "content_block_stop" => {
                assert_eq!(open.take(), Some(index()), "a stop of no open block");
                let block = &mut message["content"][index()];
                if let Some(Value::String(json)) = block.as_object_mut().unwrap().remove("json") {
                    block["input"] =
                        serde_json::from_str(&json).unwrap_or_else(|_| json!({ "unfinished": json }));
                }
            }
            "message_delta" => {
                assert_eq!(open, None, "a message_delta within a block");
                message["stop_reason"] = event["delta"]["stop_reason"].clone();
                for (key, value) in event["usage"].as_object().unwrap() {
                    message["usage"][key] = value.clone();
                }
            }
            "message_stop" => stopped = true,
            other => panic!("an unknown event {other}: {event}"),
        }
    }
    assert!(stopped, "no message_stop: {}", answer.body);
    message
}

fn fold_chat(answer: &Answer) -> Value {
    let mut whole = Value::Null;
    let mut message = json!({"content": null, "reasoning_content": null});
    let mut calls: BTreeMap<u64, Value> = BTreeMap::new();
    let (mut roles, mut done) = (0, false);
    for (_, data) in answer.events() {
        assert!(!done, "a chunk after [DONE]");
        if data == "[DONE]" {
            done = true;
            continue;
        }
        let chunk: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk", "{chunk}");
        if whole.is_null() {
            whole = json!({"id": chunk["id"], "usage": null, "finish_reason": null});
        }
        assert_eq!(whole["id"], chunk["id"], "the id changes");
        if !chunk["usage"].is_null() {
            assert!(whole["usage"].is_null(), "usage comes twice");
            whole["usage"] = chunk["usage"].clone();
        }
        for choice in chunk["choices"].as_array().expect("a chunk without choices") {
            assert!(whole["finish_reason"].is_null(), "a choice after the finish: {chunk}");
            let delta = &choice["delta"];
            roles += usize::from(!delta["role"].is_null());
            for key in ["content", "reasoning_content"] {
                if !delta[key].is_null() {
                    append(&mut message[key], &delta[key]);
                }
            }
            for piece in delta["tool_calls"].as_array().into_iter().flatten() {
                let index = piece["index"].as_u64().expect("a piece without index");
                let next = calls.len() as u64;
                let call = calls.entry(index).or_insert_with(|| {
                    assert_eq!(index, next, "call indices are not dense");
                    json!({"id": piece["id"], "type": "function", "function": {"name": piece["function"]["name"], "arguments": ""}})
                });
                append(&mut call["function"]["arguments"], &piece["function"]["arguments"]);
            }
            whole["finish_reason"] = choice["finish_reason"].clone();
        }
    }
    assert!(done, "no [DONE]: {}", answer.body);
    assert_eq!(roles, 1, "the role comes {roles} times");
    if !calls.is_empty() {
        message["tool_calls"] = calls.into_values().collect();
    }
    whole["choices"] = json!([{"message": message, "finish_reason": whole["finish_reason"]}]);
    whole
}

fn fold_responses(answer: &Answer) -> Value {
    let mut response = Value::Null;
    let mut items: Vec<(Value, bool)> = Vec::new();
    let mut sequence = None;
    let mut closed = false;
    for (name, data) in answer.events() {
        let event: Value = serde_json::from_str(&data).unwrap();
        let kind = event["type"].as_str().unwrap();
        assert_eq!(name.as_deref(), Some(kind), "the event's name is not its type");
        assert!(!closed, "an event after the end: {event}");
        let number = event["sequence_number"].as_u64().expect("no sequence number");
        assert!(
            sequence.is_none_or(|last| number == last + 1),
            "sequence numbers do not rise by one: {event}"
        );
        sequence = Some(number);
        let at = event["output_index"].as_u64().map(|at| usize::try_from(at).unwrap());
        match kind {
            "keepalive" => assert!(!response.is_null(), "a keepalive before response.created"),
            "response.created" => {
                assert!(response.is_null(), "a second response.created");
                response = event["response"].clone();
            }
            "response.in_progress" => assert_eq!(response["id"], event["response"]["id"]),
            "response.completed" | "response.incomplete" | "response.failed" => {
                assert_eq!(response["id"], event["response"]["id"], "the id changes");
                closed = true;
                response = event["response"].clone();
            }
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len()), "output indices are not dense");
                items.push((event["item"].clone(), false));
            }
            "response.output_item.done" => {
                let (item, done) = &mut items[at.unwrap()];
                assert_eq!(
                    (&item["id"], &item["type"], *done),
                    (&event["item"]["id"], &event["item"]["type"], false)
                );
                (*item, *done) = (event["item"].clone(), true);
            }
            _ => {
                let (item, done) =
                    items.get(at.expect("an event without output_index")).expect("an event of no item");
                assert!(!done && item["id"] == event["item_id"], "an event of another item: {event}");
            }
        }
    }
    assert!(closed, "no end: {}", answer.body);
    let items: Vec<Value> = items
        .into_iter()
        .map(|(item, done)| {
            assert!(done, "an item is not done");
            item
        })
        .collect();
    assert_eq!(response["output"], json!(items), "the final output is not what was streamed");
    response
}

fn read_message(message: &Value) -> Message {
    let blocks = message["content"].as_array().unwrap();
    let of = |kind: &str, key: &str| -> Vec<String> {
        blocks.iter().filter(|block| block["type"] == kind).map(|block| string(&block[key])).collect()
    };
    let ids = |kind: &str, key: &str| -> Vec<&Value> {
        blocks.iter().filter(|block| block["type"] == kind).map(|block| &block[key]).collect()
    };
    // Claude Code throws a call away that has no result in its own turn.
    assert_eq!(ids("mcp_tool_use", "id"), ids("mcp_tool_result", "tool_use_id"), "{message}");
    let calls = blocks.iter().filter(|block| block["type"] == "tool_use").map(|block| Call {
        id: string(&block["id"]),
        name: string(&block["name"]),
        arguments: block["input"].to_string(),
    });
    Message {
        id: string(&message["id"]),
        texts: of("text", "text"),
        thinking: of("thinking", "thinking"),
        calls: calls.collect(),
        stop: string(&message["stop_reason"]),
        usage: message["usage"].clone(),
    }
}

fn read_completion(completion: &Value) -> Message {
    let choice = &completion["choices"][0];
    let message = &choice["message"];
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| Call {
        id: string(&call["id"]),
        name: string(&call["function"]["name"]),
        arguments: string(&call["function"]["arguments"]),
    });
    Message {
        id: string(&completion["id"]),
        texts: message["content"]
            .as_str()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect(),
        thinking: message["reasoning_content"].as_str().map(str::to_owned).into_iter().collect(),
        calls: calls.collect(),
        stop: string(&choice["finish_reason"]),
        usage: completion["usage"].clone(),
    }
}

fn read_response(response: &Value) -> Message {
    let items = response["output"].as_array().unwrap();
    let of = |kind: &'static str| items.iter().filter(move |item| item["type"] == kind);
    let calls = of("function_call").map(|item| Call {
        id: string(&item["call_id"]),
        name: string(&item["name"]),
        arguments: string(&item["arguments"]),
    });
    let reason = response["incomplete_details"]["reason"].as_str().or(response["status"].as_str());
    Message {
        id: string(&response["id"]),
        texts: of("message").map(|item| string(&item["content"][0]["text"])).collect(),
        thinking: of("reasoning").map(|item| string(&item["summary"][0]["text"])).collect(),
        calls: calls.collect(),
        stop: reason.unwrap_or_default().to_owned(),
        usage: response["usage"].clone(),
    }
}
