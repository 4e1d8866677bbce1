//! A scripted provider: it keeps every request that it gets, and answers with what the test laid ready.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::Response;
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::client::patiently;
use crate::wire::{Api, Mode, Say};

/// The provider, as the tests see it.
#[derive(Clone)]
pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// What answers where no answer lies ready.
pub trait Model: Send + Sync {
    fn answer(&self, request: &Received) -> Reply;
}

struct Shared {
    replies: Mutex<VecDeque<Reply>>,
    model: Mutex<Option<Arc<dyn Model>>>,
    requests: Mutex<Vec<Received>>,
    /// Counts the requests that have come.
    arrived: watch::Sender<usize>,
    /// Counts the answers that were dropped before their end: the gateway closed the connection.
    dropped: watch::Sender<usize>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The names of the tools in the body, in order.
    pub fn tool_names(&self) -> Vec<String> {
        let json = self.json();
        let tools = json["tools"].as_array().cloned().unwrap_or_default();
        let name =
            |tool: &Value| tool["name"].as_str().or(tool["function"]["name"].as_str()).map(str::to_owned);
        tools.iter().filter_map(name).collect()
    }
}

/// One answer.
#[derive(Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    steps: Vec<Step>,
}

/// A step of an answer's body.
#[derive(Clone)]
pub enum Step {
    /// These bytes go out.
    Bytes(Bytes),
    /// Nothing happens until the test opens the gate.
    Wait(Gate),
    /// The connection is cut.
    Cut,
    /// Nothing happens any more.
    Hang,
}

/// Something that a test opens.
#[derive(Clone, Default)]
pub struct Gate(Arc<Notify>);

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one waiter through, the next if there is none yet.
    pub fn open(&self) {
        self.0.notify_one();
    }

    pub async fn pass(&self) {
        self.0.notified().await;
    }
}

impl Reply {
    /// An answer of this status, type and body.
    pub fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self { status, headers: Vec::new(), steps: vec![Step::Bytes(body.into())] }
            .header("content-type", content_type)
    }

    /// What the model says, in one piece or as a stream.
    pub fn say(api: Api, mode: Mode, say: &Say) -> Self {
        match mode {
            Mode::Whole => Self::new(200, "application/json", api.whole(say).to_string()),
            Mode::Streamed => Self::stream(api.frames(say)),
        }
    }

    /// A stream of these frames.
    pub fn stream(frames: Vec<String>) -> Self {
        Self::steps(frames.into_iter().map(|frame| Step::Bytes(frame.into())).collect())
    }

    /// A stream with these steps.
    pub fn steps(steps: Vec<Step>) -> Self {
        Self { status: StatusCode::OK, headers: Vec::new(), steps }
            .header("content-type", "text/event-stream")
    }

    /// A JSON error.
    pub fn error(status: u16, body: &str) -> Self {
        Self::new(status, "application/json", body.to_owned())
    }

    /// After that, nothing happens any more: the answer never ends.
    pub fn then_hang(mut self) -> Self {
        self.steps.push(Step::Hang);
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        if name == "content-type" {
            self.headers.retain(|(name, _)| name != http::header::CONTENT_TYPE);
        }
        self.headers.push((name.parse().unwrap(), value.parse().unwrap()));
        self
    }
}

impl Provider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            replies: Mutex::default(),
            model: Mutex::default(),
            requests: Mutex::default(),
            arrived: watch::Sender::new(0),
            dropped: watch::Sender::new(0),
        });
        let routes = Router::new().fallback(receive).with_state(shared.clone());
        tokio::task::spawn(std::future::IntoFuture::into_future(axum::serve(listener, routes)));
        Self { address, shared }
    }

    /// Lays an answer ready, after those that lie there.
    pub fn will(&self, reply: Reply) -> &Self {
        self.shared.replies.lock().unwrap().push_back(reply);
        self
    }

    /// Answers as this model does, once no answer lies ready any more.
    pub fn plays(&self, model: impl Model + 'static) -> &Self {
        *self.shared.model.lock().unwrap() = Some(Arc::new(model));
        self
    }

    /// Lays ready what the model says, round by round.
    pub fn will_say(&self, api: Api, mode: Mode, rounds: &[Say]) -> &Self {
        for say in rounds {
            self.will(Reply::say(api, mode, say));
        }
        self
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until this many requests have come.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        patiently("arrived", arrived.wait_for(|arrived| *arrived >= count)).await.unwrap();
    }

    /// Waits until this many answers were dropped before their end.
    pub async fn dropped(&self, count: usize) {
        let mut dropped = self.shared.dropped.subscribe();
        patiently("dropped", dropped.wait_for(|dropped| *dropped >= count)).await.unwrap();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let received = Received {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body,
    };
    shared.requests.lock().unwrap().push(received.clone());
    shared.arrived.send_modify(|arrived| *arrived += 1);
    let ready = shared.replies.lock().unwrap().pop_front();
    let model = shared.model.lock().unwrap().clone();
    let reply = ready
        .or_else(|| Some(model?.answer(&received)))
        .unwrap_or_else(|| Reply::error(599, r#"{"error":{"message":"the test laid no answer ready"}}"#));
    let watch = DropWatch(Some(shared.dropped.clone()));
    let body = stream::unfold((reply.steps.into_iter(), watch), |(mut steps, mut watch)| async move {
        loop {
            match steps.next() {
                None => {
                    watch.disarm();
                    return None;
                }
                Some(Step::Bytes(bytes)) => return Some((Ok(bytes), (steps, watch))),
                Some(Step::Wait(gate)) => gate.pass().await,
                Some(Step::Cut) => {
                    // What went before leaves first.
                    tokio::task::yield_now().await;
                    watch.disarm();
                    return Some((Err(std::io::Error::other("cut")), (steps, watch)));
                }
                Some(Step::Hang) => std::future::pending::<()>().await,
            }
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}

/// Counts an answer that is dropped before its end.
struct DropWatch(Option<watch::Sender<usize>>);

impl DropWatch {
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for DropWatch {
    fn drop(&mut self) {
        if let Some(dropped) = &self.0 {
            dropped.send_modify(|dropped| *dropped += 1);
        }
    }
}
