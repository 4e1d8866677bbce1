//! How an interception ends: as the model did, at a cap, or because something went wrong.

use bytes::BytesMut;

use super::answer::AnswerHead;
use super::line::Interruption;
use super::rounds::Rounds;
use crate::audit::{InterceptionEnd, Outcome};
use crate::dialect::{Ending, Round};
use crate::domain::{Failure, FailureKind};

/// Why the rounds end before the model's message does.
#[derive(Debug)]
pub enum Stop {
    /// Nothing more can be done for the client.
    Interrupted(Interruption),
    /// The gateway has to say that it failed.
    Failed(Failure),
    /// The client has been told already, in the provider's own words; this is what the records say of it.
    Told(String),
}

impl From<Interruption> for Stop {
    fn from(interruption: Interruption) -> Self {
        Self::Interrupted(interruption)
    }
}

impl Rounds<'_> {
    /// Ends the message as the model did.
    pub(super) async fn finish(&mut self, round: &Round, capped: bool) -> InterceptionEnd {
        self.keep_answer().await;
        self.trail.answered(self.past.answer.echo());
        let mut out = BytesMut::new();
        if let Some(splicer) = &mut self.line.splicer {
            splicer.finish(Ending::Natural, &mut out);
        }
        let sent = self.line.send(out).await;
        self.line.answer.close();
        if sent.is_ok() {
            self.note_complete();
        }
        let outcome = match (sent, capped) {
            (Err(_), _) => Outcome::Cancelled,
            (Ok(()), true) => Outcome::Capped,
            (Ok(()), false) => Outcome::Completed,
        };
        self.end(outcome, None, round.stop_reason.clone())
    }

    /// Ends the interception early, telling the client what it can still be told.
    pub(super) async fn stop(&mut self, stop: Stop) -> InterceptionEnd {
        if let Some(end) = self.told.take() {
            return end;
        }
        match stop {
            Stop::Interrupted(gone @ Interruption::ClientGone) => {
                self.end(Outcome::Cancelled, Some(&gone.to_string()), None)
            }
            Stop::Interrupted(Interruption::OutOfTime) => self.cut_short().await,
            Stop::Interrupted(closing @ Interruption::Closing) => {
                self.fail(&Failure::new(FailureKind::Unavailable, closing.to_string())).await
            }
            Stop::Failed(failure) => self.fail(&failure).await,
            Stop::Told(error) => self.end(Outcome::Failed, Some(&error), None),
        }
    }

    /// Ends the message where it stands, in the API's idiom for a length limit.
    pub(super) async fn cut_short(&mut self) -> InterceptionEnd {
        let reason = Interruption::OutOfTime.to_string();
        if !self.line.splicer.as_ref().is_some_and(|splicer| splicer.has_begun()) {
            return self.fail(&Failure::new(FailureKind::UpstreamTimeout, reason)).await;
        }
        self.note_leaving();
        self.remember_ids().await;
        self.keep_broken().await;
        self.trail.answered(self.past.answer.echo());
        let mut out = BytesMut::new();
        if let Some(splicer) = &mut self.line.splicer {
            splicer.finish(Ending::CutShort, &mut out);
        }
        let _ = self.line.send_last(out).await;
        self.end(Outcome::Capped, Some(&reason), None)
    }

    async fn fail(&mut self, failure: &Failure) -> InterceptionEnd {
        let detail = failure.detail.as_ref().map(|detail| self.provider.redact(detail));
        tracing::warn!(interception = %self.trail.id(), reason = %failure, detail, "failed");
        // The client may ask again as soon as it knows.
        self.note_leaving();
        let mut out = BytesMut::new();
        if self.line.answer.has_started() {
            if let Some(splicer) = &mut self.line.splicer {
                splicer.fail(failure, &mut out);
            }
        } else {
            let is_final = self.calls_run > 0 || !failure.kind.is_retryable();
            self.line.answer.set_head(AnswerHead::of_failure(failure, is_final));
            out.extend_from_slice(self.incoming.operation.dialect.error(failure).as_bytes());
        }
        let _ = self.line.send_last(out).await;
        let failure = failure.recorded();
        let error = detail.map_or_else(|| failure.clone(), |detail| format!("{failure}: {detail}"));
        self.end(Outcome::Failed, Some(&error), None)
    }

    fn end(&self, outcome: Outcome, error: Option<&str>, stop_reason: Option<String>) -> InterceptionEnd {
        let status = self.line.answer.status().map(|status| status.as_u16());
        InterceptionEnd {
            outcome,
            status,
            error: error.map(str::to_owned),
            stop_reason,
            times: self.line.watch.times(),
        }
    }
}
