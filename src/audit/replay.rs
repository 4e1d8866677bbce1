//! Brings what was spooled into the store, in order, while more is spooled.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lost_texts;
use super::own_chain::{LOST, Loss};
use super::spool::{Lines, Spool, set_aside};
use crate::store::Store;
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::links::{self, Run};
use crate::store::patience::{in_time, is_refusal};

/// The longest pause between two tries: so long may nothing be recorded although the store is there again.
pub(super) const MAX_PAUSE: Duration = Duration::from_millis(500);

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

impl Progress {
    /// Behind a batch that was set aside nothing can go on in its chain.
    fn refused(offset: u64, batch: &Batch) -> Self {
        let (of, behind) = (run_of(batch), batch.link.seq.saturating_sub(1));
        let loss = Loss { of: of.clone(), commits: 1, behind, why: REFUSED };
        Self { offset, stopped: Some(CommitError::Fenced(of)), loss: Some(loss) }
    }
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
        let batch = match lines.next().await {
            Ok(Some(batch)) => batch,
            Ok(None) => return Progress { offset: lines.offset, stopped: None, loss: None },
            Err(error) => return stopped(offset, sqlx::Error::Io(error).into()),
        };
        let loss = if std::mem::take(&mut is_first) { lost_before(store, &batch).await } else { Ok(None) };
        let (fenced, loss) = match loss {
            Ok(None) => match commit(store, &batch).await {
                Ok(()) => {
                    // Those that are committed once more were counted before.
                    let fewer = |left: u64| left.checked_sub(1);
                    let _none_left = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
                    continue;
                }
                Err(CommitError::Database(error)) if is_refusal(&error) => {
                    return match set_aside(path, &batch, &error).await {
                        Ok(()) => Progress::refused(lines.offset, &batch),
                        Err(error) => stopped(offset, sqlx::Error::Io(error).into()),
                    };
                }
                Err(CommitError::Fenced(run)) => (run, lost_before(store, &batch).await),
                Err(error) => return stopped(offset, error),
            },
            loss => (run_of(&batch), loss),
        };
        return match loss {
            // The store lost what it had taken of the spool, where it still is.
            Ok(Some(_)) if offset > 0 => Box::pin(replay(store, path, 0, end, left)).await,
            Ok(loss) => Progress { offset, stopped: Some(CommitError::Fenced(fenced)), loss },
            Err(error) => stopped(offset, error.into()),
        };
    }
}

/// The texts that are lost to the lines behind an offset.
pub(super) async fn lost_texts_of(store: &Store, spool: &Spool, from: u64) -> io::Result<HashSet<String>> {
    let mut lines = Lines::open(spool.path(), from, spool.length()).await?;
    let mut lost = HashSet::new();
    while let Some(batch) = lines.next().await? {
        lost.extend(lost_texts::of_batch(store, &batch).await.map_err(io::Error::other)?);
    }
    Ok(lost)
}

/// What the store lacks of what a batch goes on from.
async fn lost_before(store: &Store, batch: &Batch) -> Result<Option<Loss>, sqlx::Error> {
    let of = run_of(batch);
    let behind = in_time(links::head(store, &of)).await?.map_or(0, |(seq, _)| seq);
    let commits = batch.link.seq.saturating_sub(behind + 1);
    Ok((commits > 0).then_some(Loss { of, commits, behind, why: LOST }))
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
