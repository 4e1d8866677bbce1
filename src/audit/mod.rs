//! What happened: the records of every interception, and the clearances that calls need.
//!
//! One [`Audit`] per gateway, one [`Trail`] per interception. Records go through one bounded queue (`queue.rs`) to one
//! writer, which makes rows of what is there (`prepare.rs`), links them to the chain (`own_chain.rs`) and commits them
//! together; only an intent waits until it is durable, in the store or in a file of the gateway's (`write_ahead.rs`).
//! While the store is away they may go into a file, too (`spool.rs`, `replay.rs`). `leftovers.rs` brings in what gateways
//! that are gone left in files, `instance.rs` closes what they left open.

mod bounds;
pub mod chain;
pub mod checkpoint;
mod clearance;
mod clock;
pub mod content_key;
mod entry;
pub mod export;
pub mod erase;
pub mod event;
mod instance;
mod leftovers;
mod line;
mod lineage;
mod lost_texts;
mod opening;
mod outlet;
mod own_chain;
mod people;
mod prepare;
mod queue;
pub mod read;
mod record;
pub mod retention;
mod recording;
mod replay;
mod settings;
mod spool;
mod trail;
pub mod verify;
pub mod write_ahead;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

pub use crate::store::records::events::Action;
pub use crate::store::records::prompts::Role;
pub use clearance::Clearance;
pub use clock::Clock;
pub use opening::OpenError;
pub use outlet::{Outlet, Outlets, Published};
pub use read::Reader;
pub use record::{
    CallReport, Follows, Intent, InterceptionEnd, InterceptionStart, Outcome, Times, TokenUsage, ToolOutcome,
    ToolUse,
};
pub use recording::Recording;
pub use settings::Settings;
pub use trail::Trail;

use crate::domain::{Caller, EventId};
use crate::store::records::{Event, Row};
use entry::{Entry, Record, Waiting};
use queue::{Queue, stopped};
use trail::Beginning;

/// The word for a call whose outcome nobody saw: the gateway stopped, or lost it, while the call ran.
pub const OUTCOME_UNKNOWN: &str = "unknown";

/// The records cannot be written now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit cannot record now: {0}")]
pub struct AuditUnavailable(pub String);

/// The gateway's end of the records; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: Arc<Queue>,
    /// What is kept of texts, in interceptions that begin from now on.
    recording: Arc<ArcSwap<Recording>>,
    spooled: Arc<AtomicU64>,
    tasks: TaskTracker,
}

/// How the audit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// Places of the queue that are taken.
    pub waiting: u32,
    /// Places of the queue.
    pub capacity: u32,
    /// Texts that were not kept for want of room.
    pub dropped_texts: u64,
    /// Batches that wait in the spool.
    pub spooled: u64,
    /// Records that could not be written, and never will be.
    pub lost: u64,
    /// Why nothing can be recorded now.
    pub unavailable: Option<String>,
}

impl Audit {
    /// Admits an interception: queues its start and reserves the place of its end. Waits while the queue is
    /// full; that is the back-pressure.
    pub async fn begin(&self, start: InterceptionStart) -> Result<Trail, AuditUnavailable> {
        let end_place = self.queue.place_for_end().await?;
        let place = self.queue.small_place().await?;
        let beginning = Beginning {
            id: start.id,
            caller: Arc::clone(&start.caller),
            provider: start.provider.clone(),
            began: start.began,
            recording: self.recording.load_full(),
            end_place,
        };
        let (row, follows) = start.into_row(self.queue.clock.now());
        let record = Record { follows: Some(follows), ..Record::of(Row::Start(Box::new(row))) };
        let caller = Some(Arc::clone(&beginning.caller));
        self.queue.send(Entry::new(caller, vec![record], place));
        Ok(Trail::new(Arc::clone(&self.queue), beginning))
    }

    /// Records something that is done with the records themselves; returns when that is durable.
    pub async fn event(
        &self,
        caller: &Arc<Caller>,
        action: Action,
        detail: Value,
    ) -> Result<(), AuditUnavailable> {
        let place = self.queue.small_place().await?;
        let event = Event {
            id: EventId::new(),
            instance: String::new(),
            epoch: 0,
            who: None,
            action,
            detail,
            at: self.queue.clock.now(),
        };
        let (durable, done) = oneshot::channel();
        let record = Record::of(Row::Event(Box::new(event)));
        let waiting = Some(Waiting { interception: None, durable });
        self.queue.send(Entry { waiting, ..Entry::new(Some(Arc::clone(caller)), vec![record], place) });
        done.await.unwrap_or_else(|_lost| Err(stopped()))
    }

    /// What is kept of texts, in interceptions that begin from now on.
    pub fn record(&self, recording: Recording) {
        self.recording.store(Arc::new(recording));
    }

    /// Refuses what would be refused anyway, before anything is done for it.
    pub fn ready(&self) -> Result<(), AuditUnavailable> {
        self.queue.trouble().map_or(Ok(()), Err)
    }

    /// How it is.
    pub fn health(&self) -> Health {
        Health {
            waiting: self.queue.waiting(),
            capacity: self.queue.capacity,
            dropped_texts: self.queue.dropped_texts(),
            spooled: self.spooled.load(Ordering::Relaxed),
            lost: self.queue.lost.count(),
            unavailable: self.queue.trouble().map(|why| why.0),
        }
    }

    /// Returns when everything recorded so far is committed, but for ends, or nothing can be written now.
    #[doc(hidden)]
    pub async fn settled(&self) {
        self.queue.settled().await;
    }

    /// Refuses everything new, commits everything queued, and ends the writer. Interceptions that have no end
    /// by then become `interrupted`. While the store is away it goes on trying for a while; tells how many records were
    /// lost in this life of the gateway.
    pub async fn close(&self) -> u64 {
        self.queue.close();
        self.tasks.wait().await;
        self.queue.lost.count()
    }
}

#[cfg(test)]
mod tests;
