//! The chain of this run: who begins a new one, after somebody else has closed the run before, goes on in it.

use std::collections::HashSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chain::{Head, leaf};
use super::lost_texts;
use crate::domain::{EventId, InterceptionId};
use crate::store::batch::Batch;
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
    /// Whether rows that were written before may be gone.
    has_lost: bool,
    /// What the next batch that is put under this run is to tell of.
    untold: Option<Loss>,
}

/// Why commits are missing.
pub(super) const LOST: &str = "the database lost commits that it had taken";

/// Commits that are missing at the end of a chain.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    pub of: Run,
    pub commits: u64,
    /// The last link before them.
    pub behind: u64,
    pub why: &'static str,
}

impl OwnChain {
    /// Of a run that has just begun.
    pub(super) fn new(run: Run) -> Self {
        Self { run, head: Head::genesis(), since: None, has_lost: false, untold: None }
    }

    /// Of a run that has begun because the one before was closed by somebody else.
    pub(super) fn anew(run: Run) -> Self {
        Self { since: Some(HashSet::new()), ..Self::new(run) }
    }

    /// Of a run that has begun because the store has lost the end of the one before.
    pub(super) fn after_loss(run: Run, loss: Loss) -> Self {
        Self { has_lost: true, untold: Some(loss), ..Self::anew(run) }
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    /// Whether somebody else has closed this interception.
    pub(super) fn is_closed(&self, id: InterceptionId) -> bool {
        self.since.as_ref().is_some_and(|since| !since.contains(&id.as_uuid()))
    }

    /// Puts a batch of an earlier run under this one. The first of them tells what was lost before it.
    pub(super) fn relink(&mut self, batch: &mut Batch) {
        let made_at = batch.link.made_at;
        batch.rows.extend(self.loss(made_at));
        batch.link = self.link(&mut batch.rows, made_at);
    }

    /// The same of a batch whose rows speak of texts that are lost.
    pub(super) fn relink_without(&mut self, batch: &mut Batch, lost: &HashSet<String>) {
        lost_texts::drop_from(batch, lost);
        self.relink(batch);
    }

    /// A batch that tells what was lost, where there was none to tell it.
    pub(super) fn tell_of_loss(&mut self, now: Timestamp) -> Option<Batch> {
        let mut rows = vec![self.loss(now)?];
        Some(Batch::of_rows(self.link(&mut rows, now), rows))
    }

    /// What was lost, as long as nothing tells it.
    fn loss(&mut self, now: Timestamp) -> Option<Row> {
        let Loss { of: Run { instance, epoch }, commits, behind, why } = self.untold.take()?;
        let detail = json!({ "instance": instance, "epoch": epoch, "commits": commits, "behind_link": behind, "why": why });
        Some(self.event(Action::Lost, detail, now))
    }

    /// Puts rows under this run and makes the next link of them. An end that comes too late for its own row becomes an
    /// event.
    pub(super) fn link(&mut self, rows: &mut [Row], now: Timestamp) -> Link {
        for row in &mut *rows {
            self.adopt(row, now);
        }
        self.link_adopted(rows, now)
    }

    /// Makes the next link of rows that are under this run already.
    pub(super) fn link_adopted(&mut self, rows: &[Row], now: Timestamp) -> Link {
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
            Row::ToolUse(call) if !self.is_lost(call.interception_id) => self.note(call.id.as_uuid()),
            Row::ToolUse(_) => *row = self.late(row, now),
            Row::Prompt(prompt) if self.is_lost(prompt.interception_id) => *row = self.late(row, now),
            Row::Tokens(tokens) if self.is_lost(tokens.interception_id) => *row = self.late(row, now),
            Row::Thought(thought) if self.is_lost(thought.interception_id) => *row = self.late(row, now),
            Row::End(end) if self.is_late(end.id.as_uuid()) => *row = self.late(row, now),
            Row::Outcome(outcome) if self.is_late(outcome.id.as_uuid()) => *row = self.late(row, now),
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

    /// Whether the start of this interception may be gone.
    fn is_lost(&self, id: InterceptionId) -> bool {
        self.has_lost && self.is_closed(id)
    }

    /// A row that has no place any more, as an event.
    pub(super) fn late(&self, row: &Row, now: Timestamp) -> Row {
        let (record_type, key) = (row.kind().record_type(), row.key());
        tracing::warn!(target: "toolgate::audit", record_type, id = %key.id, "a record has no place any more");
        self.event(Action::Late, json!({ "record_type": record_type, "record": json_of(row) }), now)
    }

    fn event(&self, action: Action, detail: Value, at: Timestamp) -> Row {
        let Run { instance, epoch } = self.run.clone();
        Row::Event(Box::new(Event { id: EventId::new(), instance, epoch, who: None, action, detail, at }))
    }
}

fn json_of(row: &Row) -> Value {
    row.to_json().and_then(|json| serde_json::from_slice(&json)).unwrap_or_default()
}
