//! The one task that writes: takes what is there, makes it durable as one link of the chain, tells who waits, then who
//! listens.

mod ahead;
mod closing;
mod lot;
mod refused;
mod spooling;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::entry::Entry;
use super::instance::Closer;
use super::lineage::Lineage;
use super::own_chain::OwnChain;
use super::people::People;
use super::prepare::{Aside, Preparer};
use super::queue::Sent;
use super::replay::{MAX_PAUSE, Replay};
use super::write_ahead::WriteAhead;
use super::{AuditUnavailable, Published, Settings};
use crate::store::batch::{CommitError, Prepared};
use crate::store::links::Run;
use crate::store::patience::{is_refusal, is_silence};
use crate::store::{Claim, Store};
use lot::Lot;

/// How long entries wait for others, so that one commit serves them all; not where somebody waits for them.
const GATHERING: Duration = Duration::from_millis(10);

/// The most entries of one commit.
const ENTRIES: usize = 256;

pub(super) struct Writer {
    pub store: Store,
    pub sent: Sent,
    pub settings: Settings,
    pub people: People,
    pub lineage: Lineage,
    pub preparer: Option<Preparer>,
    pub chain: OwnChain,
    /// Under which run this gateway writes, for who keeps its lease.
    pub run: Arc<ArcSwap<Run>>,
    /// Until when nobody else takes it for gone.
    pub leased: Arc<ArcSwap<Instant>>,
    /// What calls wait for instead of the store.
    pub ahead: Option<WriteAhead>,
    /// Where batches wait for the store, if they are to.
    pub replay: Option<Replay>,
    /// Whether they do.
    pub spooling: bool,
    /// Whether the store may have lost what it took: a server that was killed does.
    pub doubts: bool,
    pub closer: Closer,
    pub tasks: TaskTracker,
    pub _claim: Claim,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error(transparent)]
    Store(#[from] CommitError),
    #[error("the spool cannot be written: {0}")]
    Spool(#[from] std::io::Error),
    /// The thread that prepares was lost, and what it prepared with it.
    #[error("the audit lost {0} records while it prepared them")]
    Lost(usize),
}

impl WriteError {
    fn is_silence(&self) -> bool {
        matches!(self, Self::Store(CommitError::Database(error)) if is_silence(error))
    }
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(CommitError::Database(error))
    }
}

impl Writer {
    /// Runs until the queue is closed and empty, or has long been closed and still nothing can be written.
    pub(super) async fn run(mut self) {
        let mut pending = VecDeque::new();
        let mut lot = None;
        let (mut failures, mut last_tries) = (0, None);
        loop {
            if lot.is_none() && pending.is_empty() && !self.gather(&mut pending).await {
                break;
            }
            let Err(error) = self.write(&mut pending, &mut lot).await else {
                failures = 0;
                self.recovered();
                continue;
            };
            if matches!(error, WriteError::Lost(_)) {
                // It is told and counted, and nothing of it is left to be tried again.
                continue;
            }
            failures += 1;
            let is_last_try = failures >= self.settings.write_attempts || error.is_silence();
            if is_last_try && self.takes_to_spool(&error) {
                continue;
            }
            if is_last_try {
                self.refuse(&mut pending, lot.as_mut(), &error);
                if self.gives_up(&mut last_tries) {
                    return self.lose(pending, lot.as_ref());
                }
            }
            self.pause(failures).await;
            self.take_what_is_there(&mut pending);
        }
        self.finish().await;
    }

    /// Waits for entries, and for what comes soon after them; false when there will never be any again.
    async fn gather(&mut self, pending: &mut VecDeque<Entry>) -> bool {
        if !self.wait_for_entries(pending).await {
            return false;
        }
        let _ = timeout(GATHERING, self.sent.hurried()).await;
        self.take_what_is_there(pending);
        true
    }

    /// Takes entries as soon as there are any; false when there will never be any again.
    async fn wait_for_entries(&mut self, pending: &mut VecDeque<Entry>) -> bool {
        loop {
            let mut taken = Vec::new();
            let passed = async {
                match &mut self.replay {
                    Some(replay) => replay.passed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.sent.closing.cancelled() => {
                    self.sent.entries.close();
                    self.sent.entries.recv_many(&mut taken, ENTRIES).await;
                    pending.extend(taken);
                    return !pending.is_empty();
                }
                // Before the entries, or under load its turn would never come.
                progress = passed => self.replayed(progress).await,
                count = self.sent.entries.recv_many(&mut taken, ENTRIES) => {
                    pending.extend(taken);
                    return count > 0;
                }
            }
        }
    }

    fn take_what_is_there(&mut self, pending: &mut VecDeque<Entry>) {
        while let Ok(entry) = self.sent.entries.try_recv() {
            pending.push_back(entry);
        }
    }

    /// Makes the next batch, if there is none under way, and makes it durable.
    async fn write(
        &mut self,
        pending: &mut VecDeque<Entry>,
        lot: &mut Option<Lot>,
    ) -> Result<(), WriteError> {
        let mut next = match lot.take() {
            Some(lot) => lot,
            None => self.prepare(pending).await?,
        };
        let written = self.commit(&mut next).await;
        if written.is_err() {
            *lot = Some(next);
        } else {
            self.settle(next);
        }
        written
    }

    /// Makes a batch durable: in the store, or in the spool where there is something in it already.
    async fn commit(&mut self, lot: &mut Lot) -> Result<(), WriteError> {
        if lot.parts.is_empty() {
            self.commit_whole(lot).await?;
        }
        self.commit_parts(lot).await?;
        if let Some(ahead) = &mut self.ahead {
            ahead.clear();
        }
        // What is in the spool alone may yet have to be told to the store once more.
        if !self.spooling {
            self.people.note_written(&lot.batch.people, &lot.batch.callers);
            if let Some(preparer) = &self.preparer {
                preparer.note_stored(&lot.batch.content, lot.batch.link.made_at);
            }
        }
        Ok(())
    }

    /// The same, unless it is found that the batch has to be taken apart.
    async fn commit_whole(&mut self, lot: &mut Lot) -> Result<(), WriteError> {
        if lot.batch.link.epoch != self.chain.run().epoch {
            self.link_again(lot);
        }
        if let Some(replay) = self.replay.as_mut().filter(|_| self.spooling) {
            return Ok(replay.append(&lot.batch).await?);
        }
        loop {
            if self.doubts
                && let Some(loss) = self.lost_before(lot.before, &mut lot.batch).await?
            {
                self.go_on_anew(lot, Some(loss)).await?;
            }
            self.write_ahead(lot).await;
            match self.store.commit(&Prepared::new(&lot.batch)?).await {
                Ok(()) => return Ok(()),
                // The link before this one is gone, or another stands in its place.
                Err(CommitError::Fenced(_)) => {
                    self.doubt(lot);
                    let loss = self.lost_before(lot.before, &mut lot.batch).await?;
                    self.go_on_anew(lot, loss).await?;
                }
                Err(CommitError::Database(error)) if is_refusal(&error) => {
                    self.take_apart(lot, &error);
                    return Ok(());
                }
                Err(error) => {
                    self.doubt(lot);
                    return Err(error.into());
                }
            }
        }
    }

    /// Tells who waits that a batch is durable, then who listens.
    fn settle(&self, mut lot: Lot) {
        lot.answer(&self.chain);
        let records = lot.batch.rows.into_iter().zip(lot.asides);
        let records: Vec<_> =
            records.map(|(row, Aside { text, caller })| Published { row, text, caller }).collect();
        self.closer.outlets.publish(&records);
    }

    fn recovered(&self) {
        if self.sent.trouble.borrow().is_some() {
            tracing::info!(target: "toolgate::audit", "the audit records again");
            self.sent.trouble.send_replace(None);
        }
    }

    /// After too many failures: no call may wait any longer, and nothing new is admitted.
    fn refuse(&self, pending: &mut VecDeque<Entry>, lot: Option<&mut Lot>, error: &WriteError) {
        let why = AuditUnavailable(error.to_string());
        let was_well = self.sent.trouble.send_replace(Some(why.clone())).is_none();
        let mut refused = pending.iter_mut().filter_map(|entry| entry.refuse(&why).then_some(())).count();
        let mut waiting: usize = pending.iter().map(|entry| entry.records.len()).sum();
        if let Some(lot) = lot {
            refused += lot.refuse(&why);
            waiting += lot.left().count();
        }
        if was_well || refused > 0 {
            tracing::error!(
                target: "toolgate::audit",
                %error,
                refused_intents = refused,
                waiting_records = waiting,
                "the audit cannot write: new interceptions and tool calls are refused until it can",
            );
        }
    }

    /// A pause after a failed try; what is spooled may come into the store meanwhile.
    async fn pause(&mut self, failures: u32) {
        let doubled = self.settings.retry_after.saturating_mul(2_u32.saturating_pow(failures - 1));
        let pause = sleep(doubled.min(MAX_PAUSE));
        tokio::pin!(pause);
        let passed = async {
            match &mut self.replay {
                Some(replay) => replay.passed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut pause => {}
            progress = passed => self.replayed(progress).await,
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("chain", &self.chain).finish_non_exhaustive()
    }
}
