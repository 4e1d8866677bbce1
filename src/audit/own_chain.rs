//! The chain of this run: who begins a new one, after somebody else has closed the run before, goes on in it.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chain::{Head, leaf};
use crate::domain::{EventId, InterceptionId};
use crate::store::links::{Link, Run};
use crate::store::records::events::Action;
use crate::store::records::{Event, Row};

/// The run that this gateway writes under, and the end of its chain.
#[derive(Debug)]
pub(super) struct OwnChain {
    run: Run,
    pub head: Head,
    /// What has begun since this gateway was taken for gone, and has not ended; all that had begun before was closed
    /// then. `None` where that never happened.
    since: Option<HashSet<Uuid>>,
}

impl OwnChain {
    /// Of a run that has just begun.
    pub(super) fn new(run: Run) -> Self {
        Self { run, head: Head::genesis(), since: None }
    }

    /// Of a run that has begun because the one before was closed by somebody else.
    pub(super) fn anew(run: Run) -> Self {
        Self { since: Some(HashSet::new()), ..Self::new(run) }
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Whether somebody else has closed this interception.
    pub(super) fn is_closed(&self, id: InterceptionId) -> bool {
        self.since.as_ref().is_some_and(|since| !since.contains(&id.as_uuid()))
    }

    /// Puts rows under this run and makes the next link of them. An end that comes too late for its own row becomes an
    /// event.
    pub(super) fn link(&mut self, rows: &mut [Row], now: Timestamp) -> Link {
        for row in &mut *rows {
            self.adopt(row, now);
        }
        let leaves: Vec<_> = rows.iter().map(leaf).collect();
        self.head.link(&self.run, now, &leaves)
    }

    fn adopt(&mut self, row: &mut Row, now: Timestamp) {
        match row {
            Row::Start(start) => {
                start.instance.clone_from(&self.run.instance);
                start.epoch = self.run.epoch;
                self.note(start.id.as_uuid());
            }
            Row::Event(event) => {
                event.instance.clone_from(&self.run.instance);
                event.epoch = self.run.epoch;
            }
            Row::ToolUse(call) => self.note(call.id.as_uuid()),
            Row::End(end) if self.is_late(end.id.as_uuid()) => {
                *row = self.late("interception_end", json!(end), now);
            }
            Row::Outcome(outcome) if self.is_late(outcome.id.as_uuid()) => {
                *row = self.late("tool_usage", json!(outcome), now);
            }
            Row::End(_) | Row::Outcome(_) | Row::Prompt(_) | Row::Tokens(_) | Row::Thought(_) => {}
        }
    }

    fn note(&mut self, id: Uuid) {
        if let Some(since) = &mut self.since {
            since.insert(id);
        }
    }

    fn is_late(&mut self, id: Uuid) -> bool {
        self.since.as_mut().is_some_and(|since| !since.remove(&id))
    }

    fn late(&self, record_type: &str, row: Value, now: Timestamp) -> Row {
        tracing::warn!(target: "toolgate::audit", record_type, row = %row["id"], "a record came too late for its row");
        Row::Event(Box::new(Event {
            id: EventId::new(),
            instance: self.run.instance.clone(),
            epoch: self.run.epoch,
            who: None,
            action: Action::Late,
            detail: json!({ "record_type": record_type, "record": row }),
            at: now,
        }))
    }
}
