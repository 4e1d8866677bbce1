//! `toolgate audit tail`: what is recorded from now on, as it comes.
//!
//! The store tells nobody that it has grown, so it is asked again and again. A row may become visible after one that
//! began later, and ends after it was listed: each look goes back a little, and what ran is looked up again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::time::Duration;

use anyhow::bail;
use jiff::{SignedDuration, Timestamp};

use super::list::Listed as _;
use crate::domain::InterceptionId;
use crate::store::queries::{self, Cursor, Filter, Interception, PageRequest, RUNNING, Turn};
use crate::store::{Store, StoreError};

/// How long a row may take until it can be seen.
const LATE: SignedDuration = SignedDuration::from_secs(30);
/// Rows of one question.
const PAGE: u32 = 200;
/// Interceptions that run and are watched, and those that are remembered so as not to be told twice.
const REMEMBERED: usize = 10_000;

/// Between two looks.
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// What has been told.
pub(super) struct Tail {
    filter: Filter,
    /// How what is told has to have ended; known only later, so that it is no filter of what is looked at.
    outcome: Option<String>,
    /// When those began that may still be missing.
    from: Timestamp,
    running: BTreeSet<InterceptionId>,
    /// What was told with an end, and in which order.
    told: BTreeSet<InterceptionId>,
    order: VecDeque<InterceptionId>,
}

impl Tail {
    /// Tells what begins from now on.
    pub(super) fn new(mut filter: Filter, now: Timestamp) -> anyhow::Result<Self> {
        // Calls and texts come after the beginning, and would have to be looked for in all that runs.
        if filter.server.is_some()
            || filter.tool.is_some()
            || filter.injected.is_some()
            || filter.text.is_some()
        {
            bail!("`tail` cannot filter by calls or texts: see `toolgate audit list` and `audit calls`");
        }
        let outcome = filter.outcome.take();
        let (running, told, order) = Default::default();
        Ok(Self { filter, outcome, from: now, running, told, order })
    }

    /// What began or ended since the last look, in the order of the beginnings.
    pub(super) async fn look(
        &mut self,
        store: &Store,
        now: Timestamp,
    ) -> Result<Vec<Interception>, StoreError> {
        let mut found = BTreeMap::new();
        let mut turn = Turn::Newer(Cursor::before(self.from));
        loop {
            let request = PageRequest { turn, limit: PAGE };
            let page = queries::interceptions(store, &self.filter, &request).await?;
            let is_last = page.items.len() < PAGE as usize;
            found.extend(page.items.into_iter().map(|row| ((row.started_at, row.id), row)));
            match page.newer {
                Some(newer) if !is_last => turn = Turn::Newer(newer),
                _ => break,
            }
        }
        let running: Vec<_> = self.running.iter().copied().collect();
        for ids in running.chunks(PAGE as usize) {
            let rows = queries::of_ids(store, ids).await?;
            found.extend(rows.into_iter().map(|row| ((row.started_at, row.id), row)));
        }
        self.from = self.from.max(now - LATE);
        let outcome = self.outcome.clone();
        let fits = |row: &Interception| outcome.as_ref().is_none_or(|outcome| row.outcome == *outcome);
        Ok(found.into_values().filter(|row| self.is_news(row) && fits(row)).collect())
    }

    fn is_news(&mut self, row: &Interception) -> bool {
        if self.told.contains(&row.id) {
            return false;
        }
        if row.outcome == RUNNING {
            return self.running.len() < REMEMBERED && self.running.insert(row.id);
        }
        self.running.remove(&row.id);
        self.told.insert(row.id);
        self.order.push_back(row.id);
        if self.order.len() > REMEMBERED {
            self.order.pop_front().map(|oldest| self.told.remove(&oldest));
        }
        true
    }
}

/// One line of JSON each.
pub(super) fn write_json(out: &mut impl Write, rows: &[Interception]) -> anyhow::Result<()> {
    for row in rows {
        writeln!(out, "{}", super::plain::json(&serde_json::to_string(row)?))?;
    }
    Ok(())
}

/// One line of text each.
pub(super) fn write_lines(out: &mut impl Write, rows: &[Interception]) -> anyhow::Result<()> {
    for row in rows {
        let cells: Vec<String> = row.cells().into_iter().filter(|cell| !cell.is_empty()).collect();
        writeln!(out, "{}", cells.join("  "))?;
    }
    Ok(())
}
