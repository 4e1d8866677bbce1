//! What an end says of all rounds.

use jiff::Timestamp;
use tokio::time::Duration;

use super::{capped, micros};
use crate::audit::bounds::{self, count, cut};
use crate::audit::{InterceptionEnd, Times};
use crate::domain::{InterceptionId, Usage};
use crate::store::records::End;

/// The sums so far.
#[derive(Debug, Default)]
pub(super) struct Sums {
    rounds: u32,
    answered_by: Option<String>,
    usage: Usage,
    pub injected_calls: u32,
    pub client_calls: u32,
}

impl Sums {
    /// Adds a round.
    pub(super) fn add(&mut self, round: u32, model: &str, tokens: Usage) {
        self.rounds = self.rounds.max(round);
        if !model.is_empty() {
            self.answered_by = Some(model.to_owned());
        }
        self.usage += tokens;
    }

    /// The row of the end of an interception that took so long.
    pub(super) fn end(
        self,
        id: InterceptionId,
        end: InterceptionEnd,
        ended_at: Timestamp,
        total: Duration,
    ) -> End {
        let Times { first_byte, provider, tools, client } = end.times;
        let usage = capped(self.usage);
        End {
            id,
            ended_at,
            outcome: end.outcome.as_str().to_owned(),
            status: end.status,
            error: end.error.map(|error| cut(error, bounds::REASON)),
            stop_reason: end.stop_reason.map(|reason| cut(reason, bounds::NAME)),
            answered_by: self.answered_by.map(|model| cut(model, bounds::NAME)),
            first_byte_us: first_byte.map(micros),
            total_us: Some(micros(total)),
            provider_us: micros(provider),
            tools_us: micros(tools),
            client_us: micros(client),
            rounds: self.rounds,
            injected_calls: self.injected_calls,
            client_calls: self.client_calls,
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read,
            cache_write: count(usage.cache_write_short.saturating_add(usage.cache_write_long)),
            reasoning: usage.reasoning,
        }
    }
}
