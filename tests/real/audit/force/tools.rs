//! The scripted MCP server: one tool over streamable HTTP, on raw JSON, which notes every call before it answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::chance::Chance;

/// What was called.
#[derive(Debug)]
pub struct Tools {
    calls: Mutex<Vec<String>>,
    came: watch::Sender<()>,
    chance: Mutex<Chance>,
    /// The longest that a call takes; with `steady`, how long each takes.
    longest: Duration,
    steady: bool,
}

impl Tools {
    /// Starts on loopback; gives where.
    pub async fn start(longest: Duration, steady: bool, chance: Chance) -> (Arc<Self>, SocketAddr) {
        let tools = Arc::new(Self {
            calls: Mutex::default(),
            came: watch::Sender::new(()),
            chance: Mutex::new(chance),
            longest,
            steady,
        });
        let routes = Router::new().route("/mcp", post(receive)).with_state(Arc::clone(&tools));
        (tools, crate::serve(routes).await)
    }

    /// The ids of the calls that came since the last time that this was asked, in order, repeated ones too.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// Waits until there is one more call than now, but not for ever.
    pub async fn called(&self, longest: Duration) {
        let mut came = self.came.subscribe();
        // A gateway that nobody calls a tool on is killed all the same.
        let _late = tokio::time::timeout(longest, came.changed()).await;
    }

    async fn call(&self, arguments: &Value) -> Value {
        let id = arguments["call"].as_str().unwrap_or_default().to_owned();
        self.calls.lock().unwrap().push(id);
        self.came.send_replace(());
        let pause = if self.steady { self.longest } else { self.chance.lock().unwrap().up_to(self.longest) };
        tokio::time::sleep(pause).await;
        json!({"content": [{"type": "text", "text": "It is written, between the lines that were there before."}],
            "isError": false})
    }
}

async fn receive(State(tools): State<Arc<Tools>>, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    let Some(id) = message.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "force", "version": "1"}}),
        "ping" => json!({}),
        "tools/list" => json!({"tools": [{"name": "write", "description": "Writes something down.",
            "inputSchema": {"type": "object", "properties": {"call": {"type": "string"}, "text": {"type": "string"}},
                "required": ["call"]}}]}),
        "tools/call" => tools.call(&params["arguments"]).await,
        other => {
            let error = json!({"code": -32601, "message": format!("no method {other}")});
            return json_body(&json!({"jsonrpc": "2.0", "id": id, "error": error}));
        }
    };
    json_body(&json!({"jsonrpc": "2.0", "id": id, "result": result}))
}

fn json_body(message: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], message.to_string()).into_response()
}
