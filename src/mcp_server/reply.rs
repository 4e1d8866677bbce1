//! One HTTP answer: JSON where the first thing to say is the last, a stream of events where more comes before it.

use std::convert::Infallible;
use std::ops::DerefMut;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{StatusCode, header};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How many messages may wait for a client that reads slowly.
const WAITING: usize = 256;

/// How long a client waits for the head of an answer; then a stream begins that keeps the connection alive.
const HEAD: Duration = Duration::from_secs(5);

/// After how much silence a stream gets a comment.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The end at which an answer is made.
#[derive(Debug, Clone)]
pub(super) struct Reply(mpsc::Sender<Frame>);

/// The end at which it goes out.
#[derive(Debug)]
pub(super) struct Answer(mpsc::Receiver<Frame>);

#[derive(Debug)]
enum Frame {
    Aside(Value),
    End(StatusCode, Value),
}

pub(super) fn channel() -> (Reply, Answer) {
    let (sender, receiver) = mpsc::channel(WAITING);
    (Reply(sender), Answer(receiver))
}

impl Reply {
    /// Says something before the end; `false` where the client has gone or does not keep up.
    pub(super) fn aside(&self, message: Value) -> bool {
        self.0.try_send(Frame::Aside(message)).is_ok()
    }

    /// Says the last word.
    pub(super) async fn end(&self, status: StatusCode, message: Value) {
        // A client that has gone needs no answer.
        let _ = self.0.send(Frame::End(status, message)).await;
    }

    /// Returns when nobody waits for the answer any more.
    pub(super) async fn gone(&self) {
        self.0.closed().await;
    }
}

impl Answer {
    /// Waits for the first word, and answers with it or with the stream that it begins.
    pub(super) async fn into_response(mut self) -> Response {
        match timeout(HEAD, self.0.recv()).await {
            Ok(Some(Frame::End(status, message))) => json(status, &message),
            Ok(Some(Frame::Aside(message))) => self.stream(Some(event(&message))),
            Ok(None) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Err(_) => self.stream(None),
        }
    }

    fn stream(self, first: Option<Bytes>) -> Response {
        let rest = events(Box::new(self.0), CancellationToken::new(), |frame| match frame {
            Frame::Aside(message) | Frame::End(_, message) => event(&message),
        });
        event_stream(stream::iter(first).chain(rest))
    }
}

/// The events of a channel until it closes or `until` is cancelled, with comments between them while it is silent.
pub(super) fn events<T: Send + 'static>(
    from: impl DerefMut<Target = mpsc::Receiver<T>> + Send + 'static,
    until: CancellationToken,
    write: fn(T) -> Bytes,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold((from, until), move |(mut from, until)| async move {
        let piece = tokio::select! {
            biased;
            () = until.cancelled() => return None,
            next = timeout(KEEP_ALIVE, from.recv()) => match next {
                Ok(next) => write(next?),
                Err(_) => Bytes::from_static(b": keep-alive\n\n"),
            },
        };
        Some((piece, (from, until)))
    })
}

pub(super) fn event_stream(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would hold events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(pieces.map(Ok::<_, Infallible>))).into_response()
}

pub(super) fn event(message: &Value) -> Bytes {
    format!("event: message\ndata: {message}\n\n").into()
}

pub(super) fn json(status: StatusCode, message: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], message.to_string()).into_response()
}
