//! Brings what was spooled into the store, in order, while more is spooled.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::own_chain::{LOST, Loss};
use super::spool::{Lines, Spool, set_aside};
use crate::store::Store;
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::links::{self, Run};
use crate::store::patience::{in_time, is_refusal};

/// The longest pause between two tries: so long may nothing be recorded although the store is there again.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How much may be left for the writer to bring over while everybody waits, bytes.
const SMALL: u64 = 1 << 20;
/// After so many passes everybody waits all the same: more comes than the store takes.
const PASSES: u32 = 20;

/// Why a run cannot go on.
const REFUSED: &str = "the database refused a batch, which is set aside in a file";

/// How far the lines of a spool have come into the store.
#[derive(Debug)]
pub(super) struct Progress {
    /// Everything before this is there.
    pub offset: u64,
    /// Why not more.
    pub stopped: Option<CommitError>,
    /// What the store lacks that came before: what is left cannot go on from there.
    pub loss: Option<Loss>,
}

/// A spool, and its way into the store.
#[derive(Debug)]
pub(super) struct Replay {
    pub spool: Spool,
    store: Store,
    /// Everything before this is in the store.
    pub from: u64,
    /// Batches that are not.
    left: Arc<AtomicU64>,
    passes: u32,
    task: Option<JoinHandle<Progress>>,
    tasks: TaskTracker,
    closing: CancellationToken,
    retry_after: Duration,
}

impl Replay {
    pub(super) fn new(
        spool: Spool,
        store: Store,
        left: Arc<AtomicU64>,
        tasks: TaskTracker,
        closing: CancellationToken,
        retry_after: Duration,
    ) -> Self {
        Self { spool, store, from: 0, left, passes: 0, task: None, tasks, closing, retry_after }
    }

    /// Whether there is anything in the spool that is not in the store.
    pub(super) fn is_active(&self) -> bool {
        self.spool.length() > 0
    }

    /// Spools a batch.
    pub(super) async fn append(&mut self, batch: &Batch) -> std::io::Result<()> {
        self.spool.append(batch).await?;
        self.left.fetch_add(1, Ordering::Relaxed);
        if self.task.is_none() {
            self.begin();
        }
        Ok(())
    }

    /// Brings over what is there by now, in the background.
    pub(super) fn begin(&mut self) {
        self.begin_after(Duration::ZERO);
    }

    /// The same from an offset on, in a while.
    pub(super) fn begin_later<E>(&mut self, from: u64, because: E) -> Result<(), E> {
        self.from = from;
        self.begin_after(MAX_PAUSE);
        Err(because)
    }

    fn begin_after(&mut self, delay: Duration) {
        self.passes += 1;
        let (from, end) = (self.from, self.spool.length());
        let (store, path, left) = (self.store.clone(), self.spool.path().to_owned(), Arc::clone(&self.left));
        let (closing, pause) = (self.closing.clone(), self.retry_after);
        self.task = Some(self.tasks.spawn(async move {
            wait(delay, &closing).await;
            persist(&store, &path, from, end, &left, &closing, pause).await
        }));
    }

    /// Leaves out what is before an offset, changes what is left, and begins with it anew.
    pub(super) async fn respool(&mut self, from: u64, change: impl FnMut(&mut Batch)) -> std::io::Result<()> {
        self.spool.rewrite(from, change).await?;
        self.from = 0;
        self.begin();
        Ok(())
    }

    /// Waits for the end of a pass; for ever, where there is none.
    pub(super) async fn passed(&mut self) -> Progress {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let progress = task.await;
        self.task = None;
        let lost =
            |_| Progress { offset: self.from, stopped: Some(sqlx::Error::WorkerCrashed.into()), loss: None };
        progress.unwrap_or_else(lost)
    }

    /// Goes on after a pass that was not fenced; true when everything is in the store and the spool is empty.
    pub(super) async fn go_on(&mut self, progress: Progress) -> bool {
        let mut progress = progress;
        loop {
            self.from = progress.offset;
            let behind = self.spool.length().saturating_sub(self.from);
            if progress.stopped.is_some() || (behind > SMALL && self.passes < PASSES) {
                self.begin();
                return false;
            }
            if behind == 0 {
                return self.empty().await;
            }
            let (from, end) = (self.from, self.spool.length());
            progress = replay(&self.store, self.spool.path(), from, end, &self.left).await;
        }
    }

    async fn empty(&mut self) -> bool {
        if let Err(error) = self.spool.empty().await {
            // What is in it is in the store: once more changes nothing.
            tracing::error!(target: "toolgate::audit", %error, "the spool cannot be emptied");
            self.begin();
            return false;
        }
        (self.from, self.passes) = (0, 0);
        self.left.store(0, Ordering::Relaxed);
        true
    }

    /// Waits for the pass under way, which ends soon when the gateway closes.
    pub(super) async fn last_pass(&mut self) -> Option<Progress> {
        if self.task.is_some() { Some(self.passed().await) } else { None }
    }
}

/// Commits the lines between two offsets. What was committed before is committed once more, which changes nothing.
pub(super) async fn replay(store: &Store, path: &Path, from: u64, end: u64, left: &AtomicU64) -> Progress {
    let stopped = |offset, error| Progress { offset, stopped: Some(error), loss: None };
    let mut lines = match Lines::open(path, from, end).await {
        Ok(lines) => lines,
        Err(error) => return stopped(from, sqlx::Error::Io(error).into()),
    };
    let mut is_first = true;
    loop {
        let offset = lines.offset;
        match lines.next().await {
            Ok(Some(batch)) => {
                let loss =
                    if std::mem::take(&mut is_first) { lost_before(store, &batch).await } else { None };
                if loss.is_some() && from > 0 {
                    // The store lost what it had taken of the spool, where it still is.
                    return Box::pin(replay(store, path, 0, end, left)).await;
                }
                if let Some(loss) = loss {
                    return fenced(offset, loss);
                }
                match commit(store, &batch).await {
                    Ok(()) => {}
                    Err(CommitError::Database(error)) if is_refusal(&error) => {
                        if let Err(error) = set_aside(path, &batch, &error).await {
                            return stopped(offset, sqlx::Error::Io(error).into());
                        }
                        let (commits, behind) = (1, batch.link.seq.saturating_sub(1));
                        return fenced(
                            lines.offset,
                            Loss { of: run_of(&batch), commits, behind, why: REFUSED },
                        );
                    }
                    Err(error) => return stopped(offset, error),
                }
                // Those that are committed once more were counted before.
                let _none_left =
                    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            }
            Ok(None) => return Progress { offset: lines.offset, stopped: None, loss: None },
            Err(error) => return stopped(offset, sqlx::Error::Io(error).into()),
        }
    }
}

/// What the store lacks of what a batch goes on from; where it cannot be asked, the commit will tell.
async fn lost_before(store: &Store, batch: &Batch) -> Option<Loss> {
    let of = run_of(batch);
    let behind = in_time(links::head(store, &of)).await.ok()?.map_or(0, |(seq, _)| seq);
    let commits = batch.link.seq.saturating_sub(behind + 1);
    (commits > 0).then_some(Loss { of, commits, behind, why: LOST })
}

/// What is left has to go under another run.
fn fenced(offset: u64, loss: Loss) -> Progress {
    Progress { offset, stopped: Some(CommitError::Fenced(loss.of.clone())), loss: Some(loss) }
}

fn run_of(batch: &Batch) -> Run {
    Run { instance: batch.link.instance.clone(), epoch: batch.link.epoch }
}

async fn commit(store: &Store, batch: &Batch) -> Result<(), CommitError> {
    store.commit(&Prepared::new(batch)?).await
}

/// The same, as often as it takes, but for the end of the gateway or of the run.
async fn persist(
    store: &Store,
    path: &Path,
    mut from: u64,
    end: u64,
    left: &AtomicU64,
    closing: &CancellationToken,
    mut pause: Duration,
) -> Progress {
    loop {
        let progress = replay(store, path, from, end, left).await;
        match progress.stopped {
            Some(CommitError::Database(_)) if !closing.is_cancelled() => {}
            _ => return progress,
        }
        from = progress.offset;
        wait(pause, closing).await;
        pause = pause.saturating_mul(2).min(MAX_PAUSE);
    }
}

async fn wait(pause: Duration, closing: &CancellationToken) {
    tokio::select! {
        () = closing.cancelled() => {}
        () = sleep(pause) => {}
    }
}
