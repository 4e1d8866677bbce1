//! The way from the audit's writer to an outlet's own task: bounded, and never waited for. What does not fit is lost
//! there, counted, and said in the log; the store has it all the same.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::{Outlet, Published};
use crate::store::checkpoints::Checkpoint;
use crate::store::records::Row;

/// The most records that wait.
const RECORDS: usize = 16_384;
/// Places besides, for the ends of interceptions alone: what has begun at the other side must end there.
const ENDS: usize = 4_096;
/// The most that they may hold, bytes.
const BYTES: usize = 64 << 20;
/// What a record takes besides its text, about.
const ROW: usize = 1 << 10;

/// How often the log tells of losses, at most.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What goes out.
#[derive(Debug, Clone)]
pub(super) enum Item {
    Record(Published),
    Checkpoint(Checkpoint),
}

/// How a checkpoint is called where records are called by their types.
pub(super) const CHECKPOINT: &str = "audit_checkpoint";

/// The writer's end.
pub(super) struct Feed {
    sender: mpsc::Sender<Item>,
    shared: Arc<Shared>,
    /// Which are wanted, by their types.
    wants: Box<dyn Fn(&str) -> bool + Send + Sync>,
}

/// The task's end.
#[derive(Debug)]
pub(super) struct Intake {
    receiver: mpsc::Receiver<Item>,
    shared: Arc<Shared>,
    ending: CancellationToken,
    /// How many losses the log has told of, and when it did so last.
    told: (u64, Option<Instant>),
}

/// How many records an outlet has lost.
#[derive(Debug, Clone)]
pub struct Losses(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    /// What waits, bytes.
    waiting: AtomicUsize,
    lost: AtomicU64,
}

/// A way to the outlet of this name, which ends with `ending`.
pub(super) fn feed(
    name: impl Into<String>,
    wants: impl Fn(&str) -> bool + Send + Sync + 'static,
    ending: CancellationToken,
) -> (Feed, Intake) {
    let (sender, receiver) = mpsc::channel(RECORDS + ENDS);
    let shared =
        Arc::new(Shared { name: name.into(), waiting: AtomicUsize::new(0), lost: AtomicU64::new(0) });
    let feed = Feed { sender, shared: Arc::clone(&shared), wants: Box::new(wants) };
    (feed, Intake { receiver, shared, ending, told: (0, None) })
}

impl Outlet for Feed {
    fn publish(&self, records: &[Published]) {
        for record in records.iter().filter(|record| (self.wants)(record.row.kind().record_type())) {
            self.send(Item::Record(record.clone()));
        }
    }

    fn checkpoint(&self, checkpoint: &Checkpoint) {
        if (self.wants)(CHECKPOINT) {
            self.send(Item::Checkpoint(checkpoint.clone()));
        }
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Feed {
    fn send(&self, item: Item) {
        let size = size(&item);
        let waiting = self.shared.waiting.fetch_add(size, Ordering::Relaxed) + size;
        let has_room = ends(&item) || (waiting <= BYTES && self.sender.capacity() > ENDS);
        if !has_room || self.sender.try_send(item).is_err() {
            self.shared.waiting.fetch_sub(size, Ordering::Relaxed);
            self.shared.lose(1);
        }
    }

    pub(super) fn losses(&self) -> Losses {
        Losses(Arc::clone(&self.shared))
    }

    /// Returns when everything has been taken.
    #[cfg(test)]
    pub(super) async fn taken(&self) {
        while self.sender.capacity() < self.sender.max_capacity() {
            tokio::task::yield_now().await;
        }
    }
}

impl Intake {
    /// Takes what is there, at most so many records; waits until there is something. False when all has been taken and
    /// no more will come.
    pub(super) async fn take(&mut self, into: &mut Vec<Item>, most: usize) -> bool {
        let before = into.len();
        tokio::select! {
            biased;
            () = self.ending.cancelled() => {
                self.receiver.close();
                self.receiver.recv_many(into, most).await;
            }
            _ = self.receiver.recv_many(into, most) => {}
        }
        let taken = into[before..].iter().map(size).sum();
        self.shared.waiting.fetch_sub(taken, Ordering::Relaxed);
        let is_open = into.len() > before;
        self.tell_losses(!is_open);
        is_open
    }

    /// Whether the gateway ends: what cannot be sent now never will be.
    pub(super) fn is_ending(&self) -> bool {
        self.ending.is_cancelled()
    }

    /// Cancelled when the gateway ends.
    pub(super) fn ending(&self) -> &CancellationToken {
        &self.ending
    }

    /// Counts records that were taken and could not be sent.
    pub(super) fn lose(&mut self, records: usize) {
        self.shared.lose(records);
        self.tell_losses(false);
    }

    /// The count of what is lost, for who sends apart from this task.
    pub(super) fn losses(&self) -> Losses {
        Losses(Arc::clone(&self.shared))
    }

    /// Says in the log what was lost since it did last; not more often than now and then, unless it is the last time.
    pub(super) fn tell_losses(&mut self, is_last: bool) {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        let (told, at) = self.told;
        let is_time = is_last || at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if lost > told && is_time {
            self.told = (lost, Some(Instant::now()));
            let outlet = &self.shared.name;
            tracing::warn!(outlet, lost = lost - told, "records did not go out here; the store has them");
        }
    }
}

impl Losses {
    /// The outlet's name.
    pub fn outlet(&self) -> &str {
        &self.0.name
    }

    /// Records lost so far.
    pub fn count(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    /// Counts records that could not be sent.
    pub(super) fn lose(&self, records: usize) {
        self.0.lose(records);
    }
}

impl Shared {
    fn lose(&self, records: usize) {
        self.lost.fetch_add(records as u64, Ordering::Relaxed);
    }
}

fn ends(item: &Item) -> bool {
    matches!(item, Item::Record(Published { row: Row::End(_), .. }))
}

fn size(item: &Item) -> usize {
    match item {
        Item::Record(record) => ROW + record.text.as_ref().map_or(0, |text| text.len()),
        Item::Checkpoint(checkpoint) => ROW + checkpoint.body.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[tokio::test]
    async fn what_is_wanted_arrives_in_order_and_the_rest_does_not() {
        let ending = CancellationToken::new();
        let (feed, mut intake) = feed("test", |kind| kind.starts_with("interception"), ending.clone());
        feed.publish(&testing::interception());
        ending.cancel();
        let mut taken = Vec::new();
        assert!(intake.take(&mut taken, 100).await);
        let [Item::Record(first), Item::Record(last)] = taken.as_slice() else { panic!("{taken:?}") };
        assert!(matches!((&first.row, &last.row), (Row::Start(_), Row::End(_))));
        assert!(!intake.take(&mut taken, 100).await, "the gateway ends");
        assert_eq!(feed.losses().count(), 0);
    }

    #[tokio::test]
    async fn f44_a_queue_that_is_full_is_not_waited_for_and_what_it_loses_is_counted() {
        let (feed, mut intake) = feed("test", |_| true, CancellationToken::new());
        let records = vec![testing::interception().remove(0); RECORDS + 7];
        feed.publish(&records);
        assert_eq!(feed.losses().count(), 7);
        feed.publish(&testing::interception()[9..]);
        assert_eq!(feed.losses().count(), 8, "the end of what has begun has a place");
        let mut large = testing::interception().remove(1);
        large.text = Some("x".repeat(BYTES).into());
        let mut taken = Vec::new();
        while taken.len() <= RECORDS {
            assert!(intake.take(&mut taken, RECORDS).await);
        }
        feed.publish(&[large]);
        assert_eq!(feed.losses().count(), 9, "one text must not take the place of thousands");
        feed.publish(&records[..1]);
        assert!(intake.take(&mut taken, 1).await);
    }
}
