//! Posts to a URL that the administrator wrote: no redirects, bounded in time and in what is read back.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use reqwest::{Url, redirect};

/// How long one post may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The most of an answer that is read, bytes.
const ANSWER: usize = 64 << 10;

/// Posts to one place.
#[derive(Debug, Clone)]
pub(super) struct Poster(reqwest::Client);

/// An answer: its status, how long it asks to be left alone, and its body as far as it was read.
#[derive(Debug)]
pub(super) struct Posted {
    pub status: StatusCode,
    pub retry_after: Option<Duration>,
    pub body: Bytes,
}

impl Poster {
    pub(super) fn new(url: &Url) -> Result<Self, reqwest::Error> {
        let mut client = reqwest::Client::builder();
        if matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]")) {
            // A proxy of the environment's cannot reach this machine's own addresses.
            client = client.no_proxy();
        }
        let client =
            client.redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT).timeout(TIMEOUT);
        client.build().map(Self)
    }

    /// One post; an error says nothing of the URL, which may hold a secret.
    pub(super) async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Posted, String> {
        let sent = self.0.post(url.clone()).headers(headers).body(body).send().await;
        let mut answer = sent.map_err(|error| describe(&error.without_url()))?;
        let retry_after = answer.headers().get(http::header::RETRY_AFTER);
        let retry_after =
            retry_after.and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let (status, mut body) = (answer.status(), BytesMut::new());
        while body.len() < ANSWER {
            // What cannot be read of an answer does not matter: the status is known.
            let Ok(Some(piece)) = answer.chunk().await else { break };
            body.extend_from_slice(&piece[..piece.len().min(ANSWER - body.len())]);
        }
        Ok(Posted { status, retry_after, body: body.freeze() })
    }
}

/// An error with its cause.
fn describe(error: &reqwest::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
