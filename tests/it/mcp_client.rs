//! An MCP client that shows every byte: both eras, JSON and streams, sessions.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::client::patiently;
use crate::world::World;

pub const MODERN: &str = "2026-07-28";
pub const LEGACY: &str = "2025-11-25";

/// A client at one endpoint, with one key.
pub struct McpClient {
    http: reqwest::Client,
    url: String,
    key: Option<String>,
    /// The session of the older protocol; none in the stateless one.
    pub session: Option<String>,
    capabilities: Value,
    headers: reqwest::header::HeaderMap,
    ids: AtomicI64,
}

/// A stream of messages.
pub struct Messages {
    response: Response,
    buffer: Vec<u8>,
    ready: VecDeque<Value>,
}

impl McpClient {
    /// A stateless client.
    pub fn modern(world: &World, path: &str) -> Self {
        Self {
            http: world.http.clone(),
            url: format!("http://{}{path}", world.gateway),
            key: world.key.clone(),
            session: None,
            capabilities: json!({}),
            headers: reqwest::header::HeaderMap::new(),
            ids: AtomicI64::new(1),
        }
    }

    /// A client with a session, which can do this.
    pub async fn legacy(world: &World, path: &str, capabilities: Value) -> Self {
        let mut client = Self::modern(world, path);
        let params = json!({
            "protocolVersion": LEGACY,
            "capabilities": capabilities,
            "clientInfo": {"name": "old-client", "version": "1"}
        });
        let response =
            client.post(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})).await;
        assert_eq!(response.status(), StatusCode::OK);
        client.session = Some(response.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        client.notify("notifications/initialized", json!({})).await;
        client
    }

    /// A client of each era.
    pub async fn of_both_eras(world: &World, path: &str) -> [Self; 2] {
        [Self::modern(world, path), Self::legacy(world, path, json!({})).await]
    }

    /// The same client with another key.
    pub fn with_key(self, key: &str) -> Self {
        Self { key: Some(key.to_owned()), ..self }
    }

    /// The same client that can do this.
    pub fn that_can(self, capabilities: Value) -> Self {
        Self { capabilities, ..self }
    }

    /// The same client that sends this header with each request.
    pub fn showing(mut self, header: &'static str, value: &str) -> Self {
        self.headers.insert(header, value.parse().unwrap());
        self
    }

    pub fn is_modern(&self) -> bool {
        self.session.is_none()
    }

    /// The result of a request.
    pub async fn ask(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    /// The error of a request.
    pub async fn refused(&self, method: &str, params: Value) -> Value {
        let answer = self.answer(method, params).await;
        assert!(answer.get("error").is_some(), "{answer}");
        answer["error"].clone()
    }

    /// The answer to a request, whatever it is.
    pub async fn answer(&self, method: &str, params: Value) -> Value {
        self.open(method, params).await.1.last().await
    }

    /// Calls a tool without a doubt that it is there.
    pub async fn call(&self, tool: &str, arguments: Value) -> Value {
        self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    /// The names of the tools.
    pub async fn tools(&self) -> Vec<String> {
        let listed = self.ask("tools/list", json!({})).await;
        listed["tools"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tool| tool["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Sends a request: its id, and the messages that come back.
    pub async fn open(&self, method: &str, params: Value) -> (i64, Messages) {
        let (id, message) = self.request(method, params);
        (id, Messages::of(self.post(&message).await))
    }

    fn request(&self, method: &str, mut params: Value) -> (i64, Value) {
        if self.is_modern() {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = self.capabilities.clone();
            params["_meta"]["io.modelcontextprotocol/clientInfo"] =
                json!({"name": "new-client", "version": "1"});
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        (id, json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}))
    }

    pub async fn notify(&self, method: &str, params: Value) {
        let message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        assert_eq!(self.post(&message).await.status(), StatusCode::ACCEPTED);
    }

    /// Answers a question of the server's.
    pub async fn reply(&self, question: &Value, result: Value) {
        let message = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
        assert_eq!(self.post(&message).await.status(), StatusCode::ACCEPTED);
    }

    /// Sends a message as the client's protocol sends it.
    pub async fn post(&self, message: &Value) -> Response {
        self.build(reqwest::Method::POST)
            .headers(self.standard_headers(message))
            .header("content-type", "application/json")
            .body(message.to_string())
            .send()
            .await
            .unwrap()
    }

    /// What the client is told that belongs to no request.
    pub async fn listen(&self) -> Messages {
        let response = self.build(reqwest::Method::GET).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Messages::of(response)
    }

    /// A request of any method with what each of this client's has.
    pub fn build(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, &self.url);
        request = request.header("accept", "application/json, text/event-stream");
        request = request.headers(self.headers.clone());
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", LEGACY);
        }
        request
    }

    fn standard_headers(&self, message: &Value) -> reqwest::header::HeaderMap {
        let mut headers = reqwest::header::HeaderMap::new();
        let method = message["method"].as_str().unwrap_or_default();
        if self.is_modern() && message["params"]["_meta"].is_object() {
            headers.insert("mcp-protocol-version", MODERN.parse().unwrap());
            headers.insert("mcp-method", method.parse().unwrap());
            let name = &message["params"][if method == "resources/read" { "uri" } else { "name" }];
            if let Some(name) = name.as_str() {
                headers.insert("mcp-name", name.parse().unwrap());
            }
        }
        headers
    }
}

impl Messages {
    fn of(response: Response) -> Self {
        Self { response, buffer: Vec::new(), ready: VecDeque::new() }
    }

    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The next message.
    pub async fn next(&mut self) -> Option<Value> {
        patiently("a message", self.read()).await
    }

    /// The next message of this method.
    pub async fn next_of(&mut self, method: &str) -> Value {
        loop {
            let message = self.next().await.unwrap_or_else(|| panic!("no {method}"));
            if message["method"] == method {
                return message;
            }
        }
    }

    /// The last message.
    pub async fn last(mut self) -> Value {
        let mut last = Value::Null;
        while let Some(message) = self.next().await {
            last = message;
        }
        last
    }

    async fn read(&mut self) -> Option<Value> {
        let is_stream =
            self.response.headers().get("content-type").is_some_and(|kind| kind == "text/event-stream");
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Some(message);
            }
            let Some(piece) = self.response.chunk().await.unwrap() else {
                let rest = std::mem::take(&mut self.buffer);
                return (!rest.is_empty() && !is_stream).then(|| serde_json::from_slice(&rest).unwrap());
            };
            self.buffer.extend_from_slice(&piece);
            while let Some(end) = self.buffer.windows(2).position(|two| is_stream && two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(event).unwrap();
                let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
                self.ready.extend(data.map(|data| serde_json::from_str::<Value>(data).unwrap()));
            }
        }
    }
}
