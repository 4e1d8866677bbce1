//! What a provider did wrong: its own errors, passed on, and answers that cannot be used.

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use tokio::time::timeout;

use super::answer::AnswerHead;
use super::ending::Stop;
use super::rounds::Rounds;
use super::stopwatch::On;
use crate::dialect::Reported;
use crate::domain::{Failure, FailureKind};
use crate::provider;

/// How much of a provider's error body is passed on, bytes.
const MAX_ERROR_BODY: usize = 1024 * 1024;

impl Rounds<'_> {
    /// Passes on the provider's own error: as the answer, where none has begun, else in the stream.
    pub(super) async fn pass_error(&mut self, response: reqwest::Response) -> Stop {
        let (status, mut headers) = (response.status(), provider::response_headers(response.headers()));
        let silence = self.gateway.limits.provider_silence;
        let body = match self.line.attend(On::Provider, timeout(silence, read_error(response))).await {
            Ok(Ok(body)) => self.provider.redact_bytes(body),
            Ok(Err(_)) => return self.too_slow(),
            Err(interruption) => return interruption.into(),
        };
        let told = self.exchange.note_error(Reported::of_body(&String::from_utf8_lossy(&body)));
        if self.line.answer.has_started() {
            let message = format!(
                "the provider {} answered with status {} in round {}",
                self.provider.name,
                status.as_u16(),
                self.number
            );
            return Stop::Failed(Failure::new(FailureKind::Upstream, message).with_detail(told));
        }
        let curable = status.is_server_error() || matches!(status.as_u16(), 408 | 409 | 429);
        let told_already = headers.contains_key("x-should-retry");
        if self.calls_run > 0 || (!curable && !told_already) {
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        self.line.answer.set_head(AnswerHead { status, headers });
        self.note_leaving();
        match self.line.send_last(BytesMut::from(body)).await {
            Ok(()) => Stop::Told(told),
            Err(interruption) => interruption.into(),
        }
    }

    pub(super) fn too_large(&self) -> Stop {
        let (name, limit) = (&self.provider.name, self.settings.max_answer);
        let message =
            format!("the answer of the provider {name} is larger than {limit} bytes (limits.max_answer)");
        Stop::Failed(Failure::new(FailureKind::Upstream, message))
    }

    pub(super) fn too_slow(&self) -> Stop {
        let seconds = self.gateway.limits.provider_silence.as_secs();
        let message = format!("the provider {} was silent for {seconds} s", self.provider.name);
        Stop::Failed(Failure::new(FailureKind::UpstreamTimeout, message))
    }
}

async fn read_error(mut response: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(piece)) = response.chunk().await {
        body.extend_from_slice(&piece);
        if body.len() >= MAX_ERROR_BODY {
            break;
        }
    }
    body.freeze()
}
