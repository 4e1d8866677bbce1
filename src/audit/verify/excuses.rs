//! What may be missing: taken away by retention, or erased.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::{Finding, Verification};
use crate::audit::chain::HeadOf;
use crate::audit::erase::Erased;
use crate::audit::retention::Pruned;
use crate::store::Store;
use crate::store::links::Run;
use crate::store::prune::{day, made_at};
use crate::store::records::events::{self, Action};

/// By how much a clock may be wrong.
const LATE: SignedDuration = SignedDuration::from_hours(1);

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
    /// Retention takes away what is old, as far as it was told to, and not what is to come: whoever can write to the
    /// store can also write such an event.
    pub(super) fn check_excuses(&mut self) {
        let Excuses { pruned, pruned_at, .. } = &self.excuses;
        let Some(at) = *pruned_at else { return };
        let told = self.evidence.retention;
        let mut findings = Vec::new();
        for (what, before, kept) in [
            ("records", pruned.metadata, told.map(|told| told.metadata)),
            ("texts", pruned.content, told.map(|told| told.content)),
            ("names", pruned.identity, told.map(|told| told.identity)),
        ] {
            let Some(before) = before else { continue };
            let latest = match kept {
                None => Some(at),
                Some(None) => None,
                Some(Some(kept)) => {
                    at.checked_sub(kept).ok().and_then(|latest| latest.checked_add(LATE).ok())
                }
            };
            if latest.is_none_or(|latest| before > latest) {
                let what =
                    format!("at {at} it took away {what} from before {before}, which it was not told to");
                findings.push(Finding::of("audit_events", "prune", what));
            }
        }
        for finding in findings {
            self.report.find(finding);
        }
    }

    /// Reads again what may be missing: retention may have gone on meanwhile.
    pub(super) async fn look_again(&mut self) -> Result<(), sqlx::Error> {
        self.excuses = Excuses::read(self.store).await?;
        Ok(())
    }
}
