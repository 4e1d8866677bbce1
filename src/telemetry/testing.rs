//! What the tests of this room share: the records of one interception, in the order in which they are committed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::body::to_bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use reqwest::Url;
use serde_json::json;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::audit::Published;
use crate::domain::{Caller, EventId, InterceptionId, ToolSettings, ToolUseId};
use crate::store::checkpoints::Checkpoint;
use crate::store::records::events::Action;
use crate::store::records::prompts::Role;
use crate::store::records::{Body, End, Event, Kept, Outcome, Prompt, Row, Start, Thought, Tokens, ToolUse};
use crate::store::sample;

pub(super) fn caller() -> Arc<Caller> {
    Arc::new(Caller {
        key: "alice-laptop".into(),
        user: "alice".into(),
        groups: vec!["engineering".into()],
        settings: ToolSettings::default(),
    })
}

/// So many milliseconds after noon.
pub(super) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_262_400_000 + ms).unwrap()
}

fn body(text: &str) -> Body {
    Body { id: Some("d1".into()), bytes: text.len() as u64, kept: Kept::Full }
}

fn published(row: Row, text: Option<&str>) -> Published {
    Published { row, text: text.map(Arc::from), caller: Some(caller()) }
}

pub(super) fn start(id: InterceptionId) -> Start {
    Start {
        instance: "gate-1".into(),
        model: "claude-x".into(),
        client_session: Some("s-1".into()),
        agent: Some("a-1".into()),
        trace: Some("0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01-b7ad6b7169203331".into()),
        started_at: at(0),
        ..sample::start(id)
    }
}

pub(super) fn end(id: InterceptionId) -> End {
    End {
        ended_at: at(2000),
        answered_by: Some("claude-x-1".into()),
        first_byte_us: Some(300_000),
        total_us: Some(2_000_000),
        provider_us: 1_350_000,
        tools_us: 500_000,
        client_us: 50_000,
        rounds: 2,
        injected_calls: 1,
        client_calls: 1,
        ..sample::end(id)
    }
}

pub(super) fn tokens(id: InterceptionId, round: u32, text: &str) -> Tokens {
    Tokens {
        model: "claude-x-1".into(),
        input: 10,
        output: 7,
        cache_read: 50,
        cache_write_short: 3,
        cache_write_long: 1,
        reasoning: 2,
        body: body(text),
        duration_us: Some(700_000),
        recorded_at: at(800 * i64::from(round)),
        ..sample::tokens(id, round)
    }
}

pub(super) fn tool_use(id: InterceptionId, call: ToolUseId, injected: bool) -> ToolUse {
    let ours = ToolUse {
        tool: "birds__count".into(),
        server: Some("birds".into()),
        server_tool: Some("count".into()),
        server_url: Some("https://birds.example.com:8443/mcp".into()),
        body: body("{\"n\":1}"),
        rule: Some("all".into()),
        intended_at: Some(at(900)),
        recorded_at: at(900),
        ..sample::tool_use(id, call)
    };
    if injected {
        return ours;
    }
    ToolUse {
        tool: "Read".into(),
        server: None,
        server_tool: None,
        server_url: None,
        definition: None,
        injected: false,
        via: None,
        rule: None,
        policy: None,
        intended_at: None,
        ..ours
    }
}

pub(super) fn outcome(id: InterceptionId, call: ToolUseId, outcome: &str) -> Outcome {
    let ran = outcome != "released";
    Outcome {
        outcome: outcome.into(),
        body: ran.then(|| body("42 birds")),
        duration_us: ran.then_some(500_000),
        ended_at: at(1400),
        ..sample::outcome(&sample::tool_use(id, call))
    }
}

/// A prompt of nobody's interception.
pub(super) fn prompt(text: &str) -> Published {
    let row = Prompt {
        interception_id: InterceptionId::new(),
        seq: 0,
        role: Role::User,
        body: body(text),
        recorded_at: at(1),
    };
    published(Row::Prompt(row), Some(text))
}

/// The event of an end that came after another gateway had ended the interception.
pub(super) fn late_end(id: InterceptionId) -> Published {
    let event = Event {
        action: Action::Late,
        detail: json!({"record_type": "interception_end", "record": {"id": id, "outcome": "completed"}}),
        ..read()
    };
    published(Row::Event(Box::new(event)), None)
}

/// The event of a reading.
fn read() -> Event {
    Event {
        id: EventId::new(),
        instance: "gate-1".into(),
        epoch: 1,
        who: Some(sample::who("alice")),
        action: Action::Read,
        detail: json!({"user": "bob"}),
        at: at(1500),
    }
}

/// A checkpoint of nothing.
pub(super) fn checkpoint() -> Checkpoint {
    Checkpoint {
        id: "c-1".into(),
        made_at: at(3000),
        body: r#"{"heads":[]}"#.into(),
        signature: "c2ln".into(),
    }
}

/// Two rounds: the first calls a tool that is injected and one of the client's.
pub(super) fn interception() -> Vec<Published> {
    let id = InterceptionId::new();
    let (ours, theirs) = (ToolUseId::new(), ToolUseId::new());
    let thought =
        Thought { interception_id: id, seq: 2, round: 1, body: body("Let me count."), recorded_at: at(800) };
    let mut asked = prompt("How many birds?");
    if let Row::Prompt(row) = &mut asked.row {
        row.interception_id = id;
    }
    vec![
        published(Row::Start(Box::new(start(id))), None),
        asked,
        published(Row::Tokens(Box::new(tokens(id, 1, ""))), None),
        published(Row::Thought(thought), Some("Let me count.")),
        published(Row::ToolUse(Box::new(tool_use(id, ours, true))), Some("{\"n\":1}")),
        published(Row::Outcome(outcome(id, ours, "ok")), Some("42 birds")),
        published(Row::ToolUse(Box::new(tool_use(id, theirs, false))), Some("{\"path\":\"x\"}")),
        published(Row::Outcome(outcome(id, theirs, "released")), None),
        published(Row::Tokens(Box::new(tokens(id, 2, "There are 42."))), Some("There are 42.")),
        published(Row::Event(Box::new(read())), None),
        published(Row::End(Box::new(end(id))), None),
    ]
}

/// Something that takes posts: it keeps each, and answers as it was told, or else 200.
#[derive(Clone)]
pub(super) struct Receiver {
    pub url: Url,
    shared: Arc<Shared>,
}

struct Shared {
    answers: Mutex<VecDeque<StatusCode>>,
    posts: Mutex<Vec<Post>>,
    arrived: watch::Sender<usize>,
    is_held: watch::Sender<bool>,
}

/// A post as it came.
#[derive(Debug, Clone)]
pub(super) struct Post {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            posts: Mutex::default(),
            arrived: watch::Sender::new(0),
            is_held: watch::Sender::new(false),
        });
        let routes = axum::Router::new().fallback(take).with_state(Arc::clone(&shared));
        TaskTracker::new().spawn(std::future::IntoFuture::into_future(axum::serve(listener, routes)));
        Self { url, shared }
    }

    /// Answers the next posts with these statuses.
    pub(super) fn will(&self, statuses: &[u16]) {
        let statuses = statuses.iter().map(|status| StatusCode::from_u16(*status).unwrap());
        self.shared.answers.lock().unwrap().extend(statuses);
    }

    /// Answers nothing until it is let go on.
    pub(super) fn hold(&self) {
        self.shared.is_held.send_replace(true);
    }

    pub(super) fn let_go_on(&self) {
        self.shared.is_held.send_replace(false);
    }

    /// All posts, once there are so many.
    pub(super) async fn posts(&self, count: usize) -> Vec<Post> {
        let mut arrived = self.shared.arrived.subscribe();
        let waiting = arrived.wait_for(|arrived| *arrived >= count);
        tokio::time::timeout(std::time::Duration::from_mins(1), waiting).await.unwrap().unwrap();
        self.shared.posts.lock().unwrap().clone()
    }
}

async fn take(State(shared): State<Arc<Shared>>, request: Request<axum::body::Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let post = Post { path: parts.uri.path().to_owned(), headers: parts.headers, body };
    shared.posts.lock().unwrap().push(post);
    shared.arrived.send_modify(|arrived| *arrived += 1);
    let _ = shared.is_held.subscribe().wait_for(|is_held| !is_held).await;
    let status = shared.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK);
    // Who follows this would post to somebody else.
    let elsewhere = [(http::header::LOCATION, "/elsewhere")];
    (status, elsewhere).into_response()
}
