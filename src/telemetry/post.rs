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
    pub body: Bytes,
    retry_after: Option<Duration>,
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
        Ok(Posted { status, body: body.freeze(), retry_after })
    }
}

impl Posted {
    /// Why what was posted was not taken, in words.
    pub(super) fn refusal(&self) -> String {
        let hint = if self.status.is_redirection() {
            ", which is not followed: the configuration must name the place itself"
        } else {
            ""
        };
        format!("it answered {}{hint}", self.status)
    }

    /// How long to wait before the next try: never shorter than `pause`, nor longer than `longest`.
    pub(super) fn wait(&self, pause: Duration, longest: Duration) -> Duration {
        self.retry_after.map_or(pause, |wanted| wanted.max(pause)).min(longest)
    }
}

/// An error with its cause.
fn describe(error: &reqwest::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posted(status: u16, retry_after: Option<u64>) -> Posted {
        let status = StatusCode::from_u16(status).unwrap();
        Posted { status, body: Bytes::new(), retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn who_asks_to_be_left_alone_is_and_nobody_is_asked_in_a_tight_loop() {
        let [pause, longest] = [4, 30].map(Duration::from_secs);
        for (wanted, waited) in [(None, 4), (Some(0), 4), (Some(9), 9), (Some(3_600), 30)] {
            assert_eq!(posted(503, wanted).wait(pause, longest).as_secs(), waited, "{wanted:?}");
        }
        assert_eq!(posted(503, None).refusal(), "it answered 503 Service Unavailable");
        assert!(posted(302, None).refusal().ends_with("the configuration must name the place itself"));
    }
}
