use moka::future::Cache;

use crate::domain::{Digest, IssuedId};
use crate::store::patience::in_time;
use crate::store::{Store, issued};

/// Which response ids were given to whom, and what they stand for upstream: a cache over the store.
#[derive(Debug)]
pub struct IssuedIds {
    store: Store,
    recent: Cache<(String, String), IssuedId>,
    /// The places of the answers that they were given with. A restart forgets them: they are for the records alone.
    places: Cache<(String, String), Digest>,
}

/// How many ids are kept in memory.
const RECENT_IDS: u64 = 10_000;

impl IssuedIds {
    /// An empty cache over this store.
    pub fn new(store: Store) -> Self {
        Self { store, recent: Cache::new(RECENT_IDS), places: Cache::new(RECENT_IDS) }
    }

    /// Remembers ids for this key, given with the answer in this place; durable on return.
    pub async fn remember(&self, key: &str, ids: &[IssuedId], place: Digest) -> Result<(), sqlx::Error> {
        in_time(issued::remember(&self.store, key, ids)).await?;
        for issued in ids {
            let entry = (key.to_owned(), issued.id.clone());
            self.places.insert(entry.clone(), place).await;
            self.recent.insert(entry, issued.clone()).await;
        }
        Ok(())
    }

    /// The place of the answer that an id was given with, as far as it is known.
    pub async fn place(&self, key: &str, id: &str) -> Option<Digest> {
        self.places.get(&(key.to_owned(), id.to_owned())).await
    }

    /// What an id stands for; `None` if it was not given to this key.
    pub async fn find(&self, key: &str, id: &str) -> Result<Option<IssuedId>, sqlx::Error> {
        let entry = (key.to_owned(), id.to_owned());
        if let Some(issued) = self.recent.get(&entry).await {
            return Ok(Some(issued));
        }
        let found = in_time(issued::find(&self.store, key, id)).await?;
        if let Some(issued) = &found {
            self.recent.insert(entry, issued.clone()).await;
        }
        Ok(found)
    }
}
