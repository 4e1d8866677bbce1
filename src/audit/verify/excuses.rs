//! What may be missing: taken away by retention, or erased.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Finding, Verification};
use crate::audit::chain::HeadOf;
use crate::audit::erase::Erased;
use crate::audit::retention::Pruned;
use crate::store::Store;
use crate::store::links::Run;
use crate::store::prune::{day, made_at};
use crate::store::records::events::{self, Action};

/// As events tell it.
#[derive(Debug)]
pub(super) struct Excuses {
    pub pruned: Pruned,
    /// When the last event of retention was.
    pruned_at: Option<Timestamp>,
    /// Behind which links chains begin.
    heads: HashMap<Run, HeadOf>,
    /// The people whose keys were thrown away.
    erased: HashSet<String>,
}

impl Excuses {
    pub(super) async fn read(store: &Store) -> Result<Self, sqlx::Error> {
        let last = events::last(&mut *store.readers().acquire().await?, Action::Prune).await?;
        let pruned_at = last.as_ref().map(|event| event.at);
        // What cannot be read excuses nothing; that it was changed is found in its chain.
        let pruned: Pruned =
            last.and_then(|event| serde_json::from_value(event.detail).ok()).unwrap_or_default();
        let erased = events::all(store, Action::Erase).await?.into_iter();
        let erased = erased.filter_map(|event| serde_json::from_value::<Erased>(event.detail).ok());
        Ok(Self {
            heads: pruned.heads.iter().map(|head| (head.run(), head.clone())).collect(),
            erased: erased.flat_map(|erased| erased.people).collect(),
            pruned,
            pruned_at,
        })
    }

    /// Behind which link a chain begins, where it has lost others.
    pub(super) fn head(&self, run: &Run) -> Option<&HeadOf> {
        self.heads.get(run)
    }

    /// Whether a record of this id may be gone.
    pub(super) fn record(&self, id: Uuid) -> bool {
        is_before(id, self.pruned.metadata)
    }

    /// Whether a link or a checkpoint that was made at this time may be gone.
    pub(super) fn proof(&self, made_at: Timestamp) -> bool {
        self.pruned.metadata.is_some_and(|before| made_at < before)
    }

    /// Whether a record of this id need not say any more who it was.
    pub(super) fn name(&self, id: Uuid) -> bool {
        is_before(id, self.pruned.identity)
    }

    /// Whether a text of a record of this time may be gone.
    pub(super) fn text(&self, at: Timestamp) -> bool {
        self.pruned.content.is_some_and(|before| day(at) < day(before))
    }

    /// Whether this person was erased.
    pub(super) fn person(&self, id: &str) -> bool {
        self.erased.contains(id)
    }
}

fn is_before(id: Uuid, time: Option<Timestamp>) -> bool {
    let (Some(made), Some(time)) = (made_at(id), time) else { return false };
    made < time.as_millisecond()
}

impl Verification<'_> {
    /// Retention takes away what is old, not what is to come.
    pub(super) fn check_excuses(&mut self) {
        let Excuses { pruned, pruned_at, .. } = &self.excuses;
        let Some(at) = *pruned_at else { return };
        let latest = [pruned.metadata, pruned.content, pruned.identity].into_iter().flatten().max();
        if let Some(latest) = latest.filter(|latest| *latest > at) {
            let what = format!("at {at} retention says that it took away what was made before {latest}");
            self.report.find(Finding::of("audit_events", "prune", what));
        }
    }

    /// Reads again what may be missing: retention may have gone on meanwhile.
    pub(super) async fn look_again(&mut self) -> Result<(), sqlx::Error> {
        self.excuses = Excuses::read(self.store).await?;
        Ok(())
    }
}
