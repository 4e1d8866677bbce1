//! Metrics for Prometheus, counted from the records after their commit. What callers can choose freely never becomes a
//! label (`../names.rs`); the page has two forms (`page.rs`).

mod families;
mod page;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::registry::Registry;

use self::families::{Call, Families, Interception, Round, Timed, Token};
use super::Losses;
use super::names::{self, Labels};
use super::open::Open;
use crate::audit::{Outlet, Published};
use crate::domain::{InterceptionId, ToolUseId};
use crate::mcp::ServerStatus;
use crate::store::records::{End, Outcome, Row, Start, Tokens, ToolUse};

pub use page::Format;

/// What has been counted since the gateway started.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    families: Families,
    labels: Labels,
    running: Mutex<Open<Running>>,
    /// Held while a page is written, because some of its numbers are put there for it.
    page: Mutex<()>,
}

/// What is known of an interception that runs.
#[derive(Debug)]
struct Running {
    provider: String,
    dialect: String,
    client: String,
    calls: HashMap<ToolUseId, Call>,
}

/// What is not counted but looked at, when a page is asked for.
#[derive(Debug)]
pub struct Now<'a> {
    /// Whether the records can be written, and how many wait.
    pub audit: &'a crate::audit::Health,
    /// How the servers are doing.
    pub servers: &'a [ServerStatus],
    /// What did not go out.
    pub losses: &'a [Losses],
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("toolgate");
        let families = Families::register(&mut registry);
        Self {
            registry,
            families,
            labels: Labels::default(),
            running: Mutex::default(),
            page: Mutex::default(),
        }
    }
}

impl Outlet for Metrics {
    fn publish(&self, records: &[Published]) {
        let mut running = self.running();
        for record in records {
            match &record.row {
                Row::Start(row) => self.start(&mut running, row),
                Row::Tokens(row) => self.round(&running, row),
                Row::ToolUse(row) => self.call(&mut running, row),
                Row::Outcome(row) => self.outcome(&mut running, row),
                Row::End(row) => self.end(&mut running, row),
                Row::Event(row) => {
                    // Another gateway has ended it, and counted it.
                    if let Some(id) = row.late_end() {
                        running.remove(id);
                    }
                }
                Row::Prompt(_) | Row::Thought(_) => {}
            }
        }
        self.families.in_flight.set(i64::try_from(running.len()).unwrap_or(i64::MAX));
    }
}

impl Metrics {
    /// The page for Prometheus.
    pub fn page(&self, now: &Now<'_>, format: Format) -> String {
        let _alone = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        self.families.look(now);
        page::write(&self.registry, format)
    }

    fn running(&self) -> MutexGuard<'_, Open<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, running: &mut Open<Running>, row: &Start) {
        let begun = Running {
            provider: self.labels.providers.of(&row.provider),
            dialect: self.labels.dialects.of(&row.dialect),
            client: names::client(&row.client),
            calls: HashMap::new(),
        };
        running.insert(row.id, begun);
    }

    fn round(&self, running: &Open<Running>, row: &Tokens) {
        let provider = provider(running, row.interception_id);
        let model = self.labels.models.of(&row.model);
        let round = Round { provider: provider.clone(), model: model.clone() };
        self.families.rounds.get_or_create(&round).inc();
        for (class, count) in [
            ("input", row.input),
            ("output", row.output),
            ("cache_read", row.cache_read),
            ("cache_write_short", row.cache_write_short),
            ("cache_write_long", row.cache_write_long),
            ("reasoning", row.reasoning),
        ] {
            let token = Token { provider: provider.clone(), model: model.clone(), class };
            self.families.tokens.get_or_create(&token).inc_by(count);
        }
    }

    fn call(&self, running: &mut Open<Running>, row: &ToolUse) {
        let call = match (&row.server, &row.server_tool) {
            (Some(server), Some(tool)) if row.injected => {
                let (server, tool) = self.labels.tool(server, tool);
                Call { kind: "injected", server, tool, outcome: String::new() }
            }
            _ => Call { kind: "client", server: String::new(), tool: String::new(), outcome: String::new() },
        };
        if let Some(running) = running.get_mut(row.interception_id) {
            running.calls.insert(row.id, call);
        }
    }

    fn outcome(&self, running: &mut Open<Running>, row: &Outcome) {
        let call = running.get_mut(row.interception_id).and_then(|running| running.calls.remove(&row.id));
        let unknown = || {
            let other = || names::OTHER.to_owned();
            Call { kind: "injected", server: other(), tool: other(), outcome: String::new() }
        };
        let call = call.unwrap_or_else(unknown);
        if let Some(duration) = row.duration_us {
            self.families.call_duration.get_or_create(&call.server()).observe(seconds(duration));
        }
        let outcome = self.labels.outcomes.of(&row.outcome);
        self.families.calls.get_or_create(&Call { outcome, ..call }).inc();
    }

    fn end(&self, running: &mut Open<Running>, row: &End) {
        let outcome = self.labels.outcomes.of(&row.outcome);
        let Some(Running { provider, dialect, client, .. }) = running.remove(row.id) else {
            // What another run of a gateway left open and this one closed: nobody here saw it begin.
            let (provider, dialect, client) = (names::other(), names::other(), names::other());
            let ended = Interception { provider, dialect, client, outcome };
            self.families.interceptions.get_or_create(&ended).inc();
            return;
        };
        let timed = Timed { provider: provider.clone(), dialect: dialect.clone() };
        let observe = |family: &families::Durations, time: Option<u64>| {
            if let Some(time) = time {
                family.get_or_create(&timed).observe(seconds(time));
            }
        };
        observe(&self.families.duration, row.total_us);
        observe(&self.families.first_byte, row.first_byte_us);
        observe(&self.families.provider_time, (row.rounds > 0).then_some(row.provider_us));
        observe(&self.families.tool_time, (row.injected_calls > 0).then_some(row.tools_us));
        observe(&self.families.client_time, row.total_us.map(|_| row.client_us));
        observe(&self.families.overhead, row.own_us());
        let ended = Interception { provider, dialect, client, outcome };
        self.families.interceptions.get_or_create(&ended).inc();
    }
}

fn provider(running: &Open<Running>, id: InterceptionId) -> String {
    running.get(id).map_or_else(names::other, |running| running.provider.clone())
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}

#[cfg(test)]
mod tests;
