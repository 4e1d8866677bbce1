//! A raw HTTP server whose answers a test writes by hand.

use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) session: Option<String>,
    pub(super) body: Value,
}

/// An answer: a status, a body, and a session where the server starts one.
pub(super) struct Answer {
    status: StatusCode,
    body: Value,
    session: Option<&'static str>,
    media_type: &'static str,
    comes: bool,
}

impl Answer {
    /// None at all.
    pub(super) fn never() -> Self {
        Self { comes: false, ..Self::raw(200, Value::Null) }
    }

    /// A web page, as a server answers that knows nothing of MCP.
    pub(super) fn page() -> Self {
        Self { media_type: "text/html", ..Self::raw(200, json!("<html>")) }
    }

    /// A JSON-RPC result for the request.
    pub(super) fn result(seen: &Seen, result: Value) -> Self {
        Self::raw(200, json!({"jsonrpc": "2.0", "id": seen.body["id"], "result": result}))
    }

    /// A JSON-RPC error for the request.
    pub(super) fn error(status: u16, seen: &Seen, code: i64, message: &str, data: Value) -> Self {
        let error = json!({"code": code, "message": message, "data": data});
        Self::raw(status, json!({"jsonrpc": "2.0", "id": seen.body["id"], "error": error}))
    }

    pub(super) fn raw(status: u16, body: Value) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap(),
            body,
            session: None,
            media_type: "application/json",
            comes: true,
        }
    }

    pub(super) fn with_session(self, session: &'static str) -> Self {
        Self { session: Some(session), ..self }
    }

    /// What a legacy server answers to the handshake, and `202` to notifications.
    pub(super) fn legacy(seen: &Seen) -> Self {
        match seen.method.as_str() {
            "initialize" => Self::result(
                seen,
                json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "s", "version": "1"}}),
            ),
            method if method.starts_with("notifications/") => Self::raw(202, Value::Null),
            _ => Self::error(200, seen, -32601, "Method not found", Value::Null),
        }
    }
}

/// The server; it ends when it is dropped.
pub(super) struct Scripted {
    pub(super) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
}

impl Scripted {
    pub(super) async fn start(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        let handle = move |request: Request| {
            let (answer, log) = (answer.clone(), log.clone());
            async move { respond(request, &answer, &log).await }
        };
        let router = axum::Router::new().fallback(handle);
        let tracker = tokio_util::task::TaskTracker::new();
        let task = tracker.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, seen, _task: AbortOnDropHandle::new(task) }
    }

    /// How often this method was asked for.
    pub(super) fn count(&self, method: &str) -> usize {
        self.methods().iter().filter(|asked| *asked == method).count()
    }

    /// The methods that were asked for, in order.
    pub(super) fn methods(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.method).collect()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn respond(request: Request, answer: &impl Fn(&Seen) -> Answer, log: &Mutex<Vec<Seen>>) -> Response {
    let session = request.headers().get("mcp-session-id").map(|session| session.to_str().unwrap().to_owned());
    if request.method() != "POST" {
        return Response::builder().status(405).body(Body::empty()).unwrap();
    }
    let body: Value = serde_json::from_slice(&to_bytes(request.into_body(), 1 << 20).await.unwrap()).unwrap();
    let seen = Seen { method: body["method"].as_str().unwrap_or_default().into(), session, body };
    log.lock().unwrap().push(seen.clone());
    let Answer { status, body, session, media_type, comes } = answer(&seen);
    if !comes {
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(status);
    if let Some(session) = session {
        response = response.header("mcp-session-id", session);
    }
    if body.is_null() {
        return response.body(Body::empty()).unwrap();
    }
    response.header("content-type", media_type).body(Body::from(body.to_string())).unwrap()
}
