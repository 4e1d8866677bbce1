//! How the audit begins: what an earlier run left is brought in order first.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::instance::{self, Closer, Keeper};
use super::leftovers;
use super::lineage::Lineage;
use super::own_chain::OwnChain;
use super::people::People;
use super::prepare::Preparer;
use super::queue::{Queue, Sent};
use super::replay::Replay;
use super::writer::Writer;
use super::{Audit, Outlets, Settings};
use crate::seal::Sealer;
use crate::store::{Store, StoreError};

/// Why the audit cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store is to blame.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file in which records may wait for the store cannot be read, or made.
    #[error("cannot use {path}, in which records wait for the store: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// Records wait in a file, and the store does not take them.
    #[error("what an earlier run left in {path} cannot be brought into the store: {source}")]
    Left {
        /// The file.
        path: PathBuf,
        /// What is in the way.
        source: StoreError,
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
        let claim = store.claim().await?;
        // What is there was written before anything that is in the spool. Both are large futures, and soon done.
        let ahead = Box::pin(leftovers::write_ahead(&store, &settings, &outlets)).await?;
        let spool = Box::pin(leftovers::spool(&store, &settings, &outlets)).await?;
        let closer = Closer { store: store.clone(), outlets, instance: settings.instance.clone() };
        closer.earlier(settings.clock.now()).await?;
        let leased = Arc::new(ArcSwap::from_pointee(Instant::now() + settings.lease));
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
                leased: Arc::clone(&leased),
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
            leased,
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
