//! How the audit begins: what an earlier run left is brought in order first.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use tokio_util::task::TaskTracker;

use super::instance::{self, Closer, Keeper};
use super::lineage::Lineage;
use super::own_chain::OwnChain;
use super::people::People;
use super::prepare::Preparer;
use super::queue::{Queue, Sent};
use super::replay::{Replay, lost_texts_of, replay};
use super::spool::{Lines, Spool};
use super::write_ahead::WriteAhead;
use super::writer::Writer;
use super::{Audit, Outlets, Settings};
use crate::config::{Durability, OnUnavailable};
use crate::seal::Sealer;
use crate::store::batch::{Batch, CommitError};
use crate::store::links::{Link, Run};
use crate::store::records::{self, Row};
use crate::store::{Store, StoreError, instances};

/// Why the audit cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store is to blame.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Records wait in a file for the store, and cannot be had; or the file cannot be made.
    #[error("cannot use {path} as the audit's spool: {source}")]
    Spool {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// The file beside the database in which records may wait for it.
    #[error("cannot use {path}, the write-ahead file of the store: {source}")]
    WriteAhead {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
}

impl Audit {
    /// Takes the store, brings in what waited for it in files, closes what earlier runs of this gateway left open, and starts the
    /// writer. The outlets are told of every record that is durable.
    ///
    /// Interceptions without an end become `interrupted`, calls without an outcome `unknown`.
    pub async fn open(
        store: Store,
        sealer: Arc<Sealer>,
        outlets: Outlets,
        settings: Settings,
    ) -> Result<Self, OpenError> {
        let claim = store.claim()?;
        // What is there was written before anything that is in the spool.
        let ahead = Box::pin(open_write_ahead(&store, &settings, &outlets)).await?;
        let spool = Box::pin(open_spool(&store, &settings)).await?;
        let closer = Closer { store: store.clone(), outlets, instance: settings.instance.clone() };
        closer.earlier(settings.clock.now()).await?;
        let run = instance::begin(&store, &settings).await.map_err(StoreError::from)?;
        let (queue, sent) = Queue::new(&settings);
        let (tasks, spooled) = (TaskTracker::new(), Arc::new(AtomicU64::new(0)));
        let current = Arc::new(ArcSwap::from_pointee(run.clone()));
        if store.is_shared() {
            let keeper = Keeper {
                closer: closer.clone(),
                lease: settings.lease,
                clock: settings.clock.clone(),
                run: Arc::clone(&current),
                closing: sent.closing.clone(),
            };
            tasks.spawn(keeper.keep());
        }
        let recording = Arc::new(ArcSwap::from_pointee(settings.recording.clone()));
        let new_replay = |spool| {
            let closing = sent.closing.clone();
            Replay::new(
                spool,
                store.clone(),
                Arc::clone(&spooled),
                tasks.clone(),
                closing,
                settings.retry_after,
            )
        };
        let writer = Writer {
            people: People::new(store.clone(), sealer),
            lineage: Lineage::new(store.clone()),
            preparer: Some(Preparer::new(!closer.outlets.is_empty())),
            chain: OwnChain::new(run),
            run: current,
            ahead,
            replay: spool.map(new_replay),
            spooling: false,
            doubts: false,
            closer,
            tasks: tasks.clone(),
            _claim: claim,
            store,
            sent,
            settings,
        };
        tasks.spawn(writer.run());
        tasks.close();
        Ok(Self { queue: Arc::new(queue), recording, spooled, tasks })
    }

    /// An audit that takes everything and keeps nothing, to measure what the real one costs.
    #[doc(hidden)]
    pub fn discarding() -> Self {
        let (queue, sent) = Queue::new(&Settings::default());
        let tasks = TaskTracker::new();
        tasks.spawn(discard(sent));
        tasks.close();
        Self { queue: Arc::new(queue), recording: Arc::default(), spooled: Arc::default(), tasks }
    }
}

async fn discard(mut sent: Sent) {
    loop {
        tokio::select! {
            biased;
            () = sent.closing.cancelled() => return,
            entry = sent.entries.recv() => match entry {
                Some(entry) => {
                    if let Some(waiting) = entry.waiting {
                        waiting.answer(Ok(()));
                    }
                }
                None => return,
            }
        }
    }
}

/// The write-ahead file, where there is to be one; what an earlier run left in it is in the store then, and told of.
async fn open_write_ahead(
    store: &Store,
    settings: &Settings,
    outlets: &Outlets,
) -> Result<Option<WriteAhead>, OpenError> {
    let Some(database) = store.path() else { return Ok(None) };
    let path = &WriteAhead::path(database);
    let failed = |source| OpenError::WriteAhead { path: path.clone(), source };
    if let Some(mut batch) = WriteAhead::left_in(path).map_err(failed)? {
        let mut left = Spool::open_own(path, false).await.map_err(failed)?;
        // Where the database refused it as a whole, parts of it are there.
        let keys: Vec<_> = batch.rows.iter().map(Row::key).collect();
        let there = records::fetch(store, &keys).await.map_err(StoreError::from)?;
        let retain_missing = |batch: &mut Batch| batch.rows.retain(|row| !there.contains_key(&row.key()));
        if !there.is_empty() {
            left.rewrite(0, retain_missing).await.map_err(failed)?;
        }
        bring_in(store, settings, &mut left, &failed).await?;
        retain_missing(&mut batch);
        outlets.publish_rows(batch.rows);
    }
    let mut ahead = WriteAhead::open(path).map_err(failed)?;
    ahead.clear().map_err(failed)?;
    // Where a disk has to be waited for, it is waited for once.
    Ok((settings.durability == Durability::Process).then_some(ahead))
}

/// The spool, empty, where there is to be one; what an earlier run left in it is in the store then.
async fn open_spool(store: &Store, settings: &Settings) -> Result<Option<Spool>, OpenError> {
    let path = &settings.spool;
    let wanted = settings.on_unavailable == OnUnavailable::Spool;
    if !wanted && !path.exists() {
        return Ok(None);
    }
    let failed = |source| OpenError::Spool { path: path.clone(), source };
    let sync = settings.durability == Durability::Power;
    let mut spool = Spool::open(path, sync).await.map_err(failed)?;
    if spool.length() > 0 {
        bring_in(store, settings, &mut spool, &failed).await?;
        spool.empty().await.map_err(failed)?;
    }
    Ok(wanted.then_some(spool))
}

/// Commits what an earlier run left in a file.
async fn bring_in(
    store: &Store,
    settings: &Settings,
    left: &mut Spool,
    failed: &impl Fn(io::Error) -> OpenError,
) -> Result<(), OpenError> {
    let path = left.path().to_owned();
    tracing::warn!(target: "toolgate::audit", file = %path.display(), bytes = left.length(), "records of an earlier run wait in a file");
    let mut lines = Lines::open(&path, 0, left.length()).await.map_err(failed)?;
    if let Some(Batch { link: Link { instance, epoch, .. }, .. }) = lines.next().await.map_err(failed)? {
        // A database that is older than the file may lack the run, and nobody would ever close it.
        let run = Run { instance, epoch };
        instances::know(store, &run, settings.clock.now()).await.map_err(StoreError::from)?;
    }
    let (mut from, count) = (0, AtomicU64::new(u64::MAX));
    loop {
        let progress = replay(store, &path, from, left.length(), &count).await;
        match progress.stopped {
            None => break,
            Some(CommitError::Database(error)) => return Err(StoreError::from(error).into()),
            // Somebody has closed that run: what is left goes under a run of its own.
            Some(CommitError::Fenced(_)) => {
                let lost = match &progress.loss {
                    Some(_) => lost_texts_of(store, left, progress.offset).await.map_err(failed)?,
                    None => HashSet::new(),
                };
                let run = instance::begin(store, settings).await.map_err(StoreError::from)?;
                let mut chain = match progress.loss {
                    Some(loss) => OwnChain::after_loss(run, loss),
                    None => OwnChain::anew(run),
                };
                let relink = |batch: &mut Batch| chain.relink_without(batch, &lost);
                left.rewrite(progress.offset, relink).await.map_err(failed)?;
                from = 0;
                // Behind a line that was refused there may be none that could tell of it.
                if left.length() == 0
                    && let Some(batch) = chain.tell_of_loss(settings.clock.now())
                {
                    left.append(&batch).await.map_err(failed)?;
                }
            }
        }
    }
    tracing::info!(target: "toolgate::audit", file = %path.display(), "everything that waited there is in the store");
    Ok(())
}
