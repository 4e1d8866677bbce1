use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::domain::Failure;

/// How many pieces of a body may wait for a slow client.
const QUEUE: usize = 32;

/// Status and headers of an answer.
#[derive(Debug, Clone)]
pub struct AnswerHead {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those that the server itself sets.
    pub headers: HeaderMap,
}

impl AnswerHead {
    /// The head of the gateway's own error; `is_final` tells clients that sending again is of no use.
    pub fn of_failure(failure: &Failure, is_final: bool) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if is_final {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        let status = StatusCode::from_u16(failure.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, headers }
    }
}

/// The task's end of an answer to the client.
///
/// The head waits for the first bytes of the body: until then an error can still take its place.
#[derive(Debug)]
pub struct Answer {
    waiting: Option<oneshot::Sender<AnswerHead>>,
    head: Option<AnswerHead>,
    /// Headers that every head gets.
    own_headers: HeaderMap,
    /// `None` when the answer is complete.
    body: Option<mpsc::Sender<Bytes>>,
    status: Option<StatusCode>,
}

/// The server's end of an answer: dropped when the client goes away.
#[derive(Debug)]
pub struct Reply {
    /// The head, as soon as it is decided; an error if the task died before.
    pub head: oneshot::Receiver<AnswerHead>,
    /// The pieces of the body; closed at its end.
    pub body: mpsc::Receiver<Bytes>,
}

/// The client is gone.
#[derive(Debug, Clone, Copy)]
pub struct Gone;

/// An answer and what the server makes of it.
pub fn answer() -> (Answer, Reply) {
    let (waiting, head) = oneshot::channel();
    let (sender, body) = mpsc::channel(QUEUE);
    let answer = Answer {
        waiting: Some(waiting),
        head: None,
        own_headers: HeaderMap::new(),
        body: Some(sender),
        status: None,
    };
    (answer, Reply { head, body })
}

impl Answer {
    /// Adds a header of the gateway's own to whatever head is sent.
    pub fn own_header(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.own_headers.insert(name, value);
        }
    }

    /// Sets the head that goes out with the first bytes, unless one has gone already.
    pub fn set_head(&mut self, head: AnswerHead) {
        self.head = Some(head);
    }

    /// Whether the client has got a head, so that no other can take its place.
    pub fn has_started(&self) -> bool {
        self.waiting.is_none()
    }

    /// The status that the client got.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Sends bytes, and the head before the first; waits while the client is slow.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.start()?;
        match &self.body {
            Some(_) if bytes.is_empty() => Ok(()),
            Some(body) => body.send(bytes).await.map_err(|_| Gone),
            None => Err(Gone),
        }
    }

    /// Sends bytes if the client has room for them now; one that is slow to read needs no sign of life.
    pub fn send_if_room(&mut self, bytes: Bytes) -> Result<(), Gone> {
        self.start()?;
        match self.body.as_ref().map(|body| body.try_send(bytes)) {
            Some(Err(TrySendError::Closed(_))) => Err(Gone),
            _ => Ok(()),
        }
    }

    /// Ends the body: nothing more is sent.
    pub fn close(&mut self) {
        self.body = None;
    }

    /// Returns when the client has gone; never once the answer is complete.
    pub async fn gone(&self) {
        match &self.body {
            Some(body) => body.closed().await,
            None => std::future::pending().await,
        }
    }

    /// Whether the client has gone before the answer was complete.
    pub fn is_gone(&self) -> bool {
        self.body.as_ref().is_some_and(mpsc::Sender::is_closed)
    }

    fn start(&mut self) -> Result<(), Gone> {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        let mut head =
            self.head.take().unwrap_or(AnswerHead { status: StatusCode::OK, headers: HeaderMap::new() });
        head.headers.extend(self.own_headers.clone());
        self.status = Some(head.status);
        waiting.send(head).map_err(|_| Gone)
    }
}
