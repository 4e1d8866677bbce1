//! SQLite's log comes into its database in the background.
//!
//! By itself SQLite does it within the transaction that made the log long: everything else that writes waits for all
//! that is copied, and for two flushes of the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sqlx::AnyPool;
use tokio_util::task::TaskTracker;

/// So much may be written before the log is brought over, bytes.
const OFTEN: u64 = 1 << 20;

/// What a transaction writes besides what it was given, bytes, about: pages of indexes.
const OVERHEAD: u64 = 32 << 10;

/// A connection of its own, and what there is for it to do.
#[derive(Debug, Clone)]
pub(super) struct Wal {
    pool: AnyPool,
    /// Since the last time, bytes.
    written: Arc<AtomicU64>,
    is_busy: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl Wal {
    pub(super) fn new(pool: AnyPool) -> Self {
        Self { pool, written: Arc::default(), is_busy: Arc::default(), tasks: TaskTracker::new() }
    }

    /// A transaction of so many bytes is in the log.
    pub(super) fn note(&self, bytes: u64) {
        let more = bytes.saturating_add(OVERHEAD);
        let written = self.written.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        if written < OFTEN || self.tasks.is_closed() || self.is_busy.swap(true, Ordering::AcqRel) {
            return;
        }
        self.written.store(0, Ordering::Relaxed);
        let wal = self.clone();
        self.tasks.spawn(async move {
            // Passive: it waits for nobody, and nobody for it.
            if let Err(error) = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&wal.pool).await {
                tracing::debug!(%error, "SQLite's log stays as long as it is for now");
            }
            wal.is_busy.store(false, Ordering::Release);
        });
    }

    /// Waits for what is under way.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.pool.close().await;
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::config::{self, Durability};
    use crate::store::Store;
    use crate::store::batch::Prepared;
    use crate::store::testing::batch;

    #[tokio::test]
    async fn the_log_comes_into_the_database_while_it_is_open() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.db");
        let store = Store::open(&config::Store::sqlite(path.clone(), Durability::Process)).await.unwrap();
        let length = || std::fs::metadata(&path).unwrap().len();
        let before = length();
        let text = "text".repeat(100 << 10);
        for seq in 1..=4 {
            store.commit(&Prepared::new(&batch(seq, &text, Vec::new())).unwrap()).await.unwrap();
        }
        let wal = store.wal.as_ref().unwrap();
        while wal.is_busy.load(Ordering::Acquire) {
            tokio::task::yield_now().await;
        }
        assert!(length() > before + OFTEN, "{} of {before} bytes", length());
        store.close().await;
    }
}
