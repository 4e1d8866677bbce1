//! What happened: the records of every interception, and the clearances that calls need.
//!
//! One [`Audit`] per gateway, one [`Trail`] per interception. Records go through one bounded queue to one
//! writer, which commits what is there in one transaction; only an intent waits until it is durable.

mod bounds;
pub mod chain;
mod clearance;
mod clock;
#[allow(dead_code)]
pub mod content_key;
mod entry;
pub mod export;
mod log;
mod outlet;
mod queue;
pub mod read;
mod record;
mod trail;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::task::TaskTracker;

pub use crate::store::records::prompts::Role;
pub use clearance::Clearance;
pub use clock::Clock;
pub use read::Reader;
pub use outlet::{Outlet, Published};
pub use record::{
    CallReport, Follows, Intent, InterceptionEnd, InterceptionStart, Outcome, Times, TokenUsage, ToolOutcome,
    ToolUse,
};
pub use trail::Trail;

use crate::store::{Store, StoreError, interceptions, tool_usage};
use entry::Entry;
use queue::Queue;
use writer::Writer;

/// The word for a call whose outcome nobody saw: the gateway stopped, or lost it, while the call ran.
pub const OUTCOME_UNKNOWN: &str = "unknown";

/// The records cannot be written now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit cannot record now: {0}")]
pub struct AuditUnavailable(pub String);

/// How the audit works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where times come from.
    pub clock: Clock,
    /// Places in the queue, and as many again for the ends of interceptions that run.
    pub capacity: u32,
    /// After how many failed tries in a row intents, and new interceptions, are refused.
    pub write_attempts: u32,
    /// The pause after the first failed try; it doubles with each.
    pub retry_after: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            capacity: 4096,
            write_attempts: 3,
            retry_after: Duration::from_millis(50),
        }
    }
}

/// The gateway's end of the records; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: Arc<Queue>,
    writer: TaskTracker,
}

impl Audit {
    /// Takes the store, closes what an earlier gateway left open, and starts the writer.
    ///
    /// Interceptions without an end become `interrupted`, calls without an outcome `unknown`.
    pub async fn open(store: Store, settings: Settings) -> Result<Self, StoreError> {
        let claim = store.claim()?;
        close_open(
            &store,
            settings.clock.now(),
            "the gateway stopped before this ended; closed at its next start",
        )
        .await?;
        let (queue, entries, trouble) = Queue::new(&settings);
        let writer =
            Writer { store, entries, trouble, closing: queue.closing.clone(), settings, _claim: claim };
        let tasks = TaskTracker::new();
        tasks.spawn(writer.run());
        tasks.close();
        Ok(Self { queue: Arc::new(queue), writer: tasks })
    }

    /// Admits an interception: queues its start and reserves the place of its end. Waits while the queue is
    /// full; that is the back-pressure.
    pub async fn begin(&self, start: InterceptionStart) -> Result<Trail, AuditUnavailable> {
        let end_place = self.queue.place_for_end().await?;
        let place = self.queue.place(0).await?;
        let start = start.into_row(self.queue.clock.now());
        let trail = Trail::new(Arc::clone(&self.queue), start.id, end_place);
        log::start(&start);
        self.queue.send(Entry { start: Some(start), ..Entry::new(place) });
        Ok(trail)
    }

    /// Refuses everything new, commits everything queued, and ends the writer. Interceptions that have no end
    /// by then become `interrupted`.
    pub async fn close(&self) {
        self.queue.close();
        self.writer.wait().await;
    }
}

/// Ends every interception without an end, and every call without an outcome.
async fn close_open(store: &Store, now: Timestamp, reason: &str) -> Result<(), StoreError> {
    let mut transaction = store.begin().await?;
    let calls = tool_usage::settle_open(&mut transaction, now, OUTCOME_UNKNOWN).await?;
    let interrupted = Outcome::Interrupted.as_str();
    let interceptions = interceptions::end_open(&mut transaction, now, interrupted, reason).await?;
    transaction.commit().await?;
    if interceptions > 0 || calls > 0 {
        tracing::warn!(target: "toolgate::audit", interceptions, calls, "closed what was left open");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
