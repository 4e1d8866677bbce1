use moka::future::Cache;

use crate::domain::IssuedId;
use crate::store::{Store, issued};

/// Which response ids were given to whom, and what they stand for upstream: a cache over the store.
#[derive(Debug)]
pub struct IssuedIds {
    store: Store,
    recent: Cache<(String, String), IssuedId>,
}

/// How many ids are kept in memory.
const RECENT_IDS: u64 = 10_000;

impl IssuedIds {
    /// An empty cache over this store.
    pub fn new(store: Store) -> Self {
        Self { store, recent: Cache::new(RECENT_IDS) }
    }

    /// Remembers ids for this key; durable on return.
    pub async fn remember(&self, key: &str, ids: &[IssuedId]) -> Result<(), sqlx::Error> {
        issued::remember(&self.store, key, ids).await?;
        for issued in ids {
            self.recent.insert((key.to_owned(), issued.id.clone()), issued.clone()).await;
        }
        Ok(())
    }

    /// What an id stands for; `None` if it was not given to this key.
    pub async fn find(&self, key: &str, id: &str) -> Result<Option<IssuedId>, sqlx::Error> {
        let entry = (key.to_owned(), id.to_owned());
        if let Some(issued) = self.recent.get(&entry).await {
            return Ok(Some(issued));
        }
        let found = issued::find(&self.store, key, id).await?;
        if let Some(issued) = &found {
            self.recent.insert(entry, issued.clone()).await;
        }
        Ok(found)
    }
}
