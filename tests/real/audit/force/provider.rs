//! The scripted provider: speaks the three APIs, takes its time, and notes which answers went out whole.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures::stream;

use crate::chance::Chance;
use crate::play::Play;
use crate::wire::Api;

/// How long the provider takes.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Until the first byte.
    pub head: Duration,
    /// Between two frames.
    pub frame: Duration,
    /// Both are what they say, not the longest that chance may give.
    pub steady: bool,
}

/// What was said.
#[derive(Debug)]
pub struct Provider {
    pace: Pace,
    chance: Mutex<Chance>,
    /// Ids of the answers that went out whole.
    answered: Mutex<BTreeSet<String>>,
}

impl Provider {
    /// Starts on loopback; gives where.
    pub async fn start(pace: Pace, chance: Chance) -> (Arc<Self>, SocketAddr) {
        let provider = Arc::new(Self { pace, chance: Mutex::new(chance), answered: Mutex::default() });
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&provider));
        (provider, crate::serve(routes).await)
    }

    /// The ids of the answers that went out whole since the last time that this was asked.
    pub fn take_answered(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.answered.lock().unwrap())
    }

    fn pause(&self, longest: Duration) -> Duration {
        if self.pace.steady { longest } else { self.chance.lock().unwrap().up_to(longest) }
    }
}

async fn answer(State(provider): State<Arc<Provider>>, uri: Uri, body: Bytes) -> Response {
    let api = match uri.path() {
        "/v1/messages" => Api::Messages,
        "/v1/chat/completions" => Api::Chat,
        "/v1/responses" => Api::Responses,
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    let body = std::str::from_utf8(&body).unwrap();
    let Some((play, round)) = Play::read(body) else {
        return (StatusCode::BAD_REQUEST, r#"{"error":{"message":"no play in this prompt"}}"#)
            .into_response();
    };
    let said = play.say(round);
    tokio::time::sleep(provider.pause(provider.pace.head)).await;
    if !body.contains(r#""stream":true"#) {
        provider.answered.lock().unwrap().insert(said.id.clone());
        return ([(header::CONTENT_TYPE, "application/json")], api.whole(&said).to_string()).into_response();
    }
    let frames = api.frames(&said).into_iter();
    let body = stream::unfold((frames, provider, said.id), |(mut frames, provider, id)| async move {
        let Some(frame) = frames.next() else {
            provider.answered.lock().unwrap().insert(id);
            return None;
        };
        let pause = provider.pause(provider.pace.frame);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((Ok::<_, std::io::Error>(frame), (frames, provider, id)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}
