//! One upstream call, as the records tell of it.

use http::HeaderMap;
use tokio::time::{Duration, Instant};

use super::rounds::Rounds;
use crate::audit::{TokenUsage, ToolOutcome};
use crate::dialect::{Reported, Round};
use crate::provider;

/// One upstream call under way.
#[derive(Debug)]
pub struct Exchange {
    began: Instant,
    first_byte: Option<Duration>,
    status: Option<u16>,
    request_id: Option<String>,
    /// What the provider said of an error of its own.
    error: String,
}

impl Exchange {
    /// Its request goes up now.
    pub fn begin() -> Self {
        Self { began: Instant::now(), first_byte: None, status: None, request_id: None, error: String::new() }
    }

    /// Its head has come.
    pub fn note_head(&mut self, status: http::StatusCode, headers: &HeaderMap) {
        self.status = Some(status.as_u16());
        self.request_id = provider::request_id(headers);
    }

    /// A piece of its body has come.
    pub fn note_piece(&mut self) {
        self.first_byte.get_or_insert_with(|| self.began.elapsed());
    }

    /// The provider told an error. Its text is kept and erased as the round's; gives what else the records say of it.
    pub fn note_error(&mut self, Reported { kind, text }: Reported) -> String {
        self.error = text;
        let place = match self.status {
            Some(status) if !(200..300).contains(&status) => format!("HTTP {status}"),
            _ => "the provider's answer ended in an error".to_owned(),
        };
        match kind {
            Some(kind) => format!("{place}: {kind}"),
            None => place,
        }
    }

    /// What the records say of it, but for what was answered.
    pub fn told(&self, round: u32) -> TokenUsage {
        TokenUsage {
            round,
            request_id: self.request_id.clone(),
            status: self.status,
            first_byte: self.first_byte,
            duration: Some(self.began.elapsed()),
            text: self.error.clone(),
            ..TokenUsage::default()
        }
    }
}

impl Rounds<'_> {
    /// Records a round that was answered.
    pub(super) fn record(&mut self, round: &Round) {
        let facts = round.facts.clone();
        let mut usage = TokenUsage {
            model: facts.model,
            response_id: facts.response_id,
            usage: facts.usage,
            stop_reason: round.stop_reason.clone(),
            ..self.exchange.told(self.number)
        };
        if !round.text.is_empty() && !usage.text.is_empty() {
            usage.text.insert_str(0, "\n\n");
        }
        usage.text.insert_str(0, &round.text);
        self.trail.tokens(usage);
        if !round.thoughts.is_empty() {
            self.trail.thought(self.number, round.thoughts.clone());
        }
    }

    /// Records a round that broke off, as far as the provider told it.
    pub(super) fn record_so_far(&mut self) {
        let so_far = self.line.splicer.as_ref().map(|splicer| splicer.so_far()).unwrap_or_default();
        if self.exchange.status.is_some() || !so_far.facts.response_id.is_empty() {
            self.record(&so_far);
            // The client may act on them.
            for call in so_far.client_calls() {
                self.record_call(call, ToolOutcome::Released, None, None);
            }
        }
    }
}
