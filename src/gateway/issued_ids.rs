use moka::future::Cache;

use super::continuity::OpenAnswer;
use crate::audit::Follows;
use crate::domain::{Digest, IssuedId};
use crate::store::patience::in_time;
use crate::store::{Store, issued};

/// Which response ids were given to whom, and what they stand for upstream: a cache over the store.
#[derive(Debug)]
pub struct IssuedIds {
    store: Store,
    recent: Cache<(String, String), IssuedId>,
    /// The answers that they were given with: place and echo. A restart forgets them: they are for the records alone.
    answers: Cache<(String, String), (Digest, Option<Digest>)>,
}

/// How many ids are kept in memory.
const RECENT_IDS: u64 = 10_000;

impl IssuedIds {
    /// An empty cache over this store.
    pub fn new(store: Store) -> Self {
        Self { store, recent: Cache::new(RECENT_IDS), answers: Cache::new(RECENT_IDS) }
    }

    /// Remembers ids for this key, given with this answer; durable on return.
    pub async fn remember(&self, key: &str, ids: &[IssuedId], with: &OpenAnswer) -> Result<(), sqlx::Error> {
        in_time(issued::remember(&self.store, key, ids)).await?;
        for issued in ids {
            let entry = (key.to_owned(), issued.id.clone());
            self.answers.insert(entry.clone(), (with.place(), with.echo())).await;
            self.recent.insert(entry, issued.clone()).await;
        }
        Ok(())
    }

    /// What a request follows that goes on from an id, as far as it is known.
    pub async fn follows(&self, key: &str, id: &str) -> Follows {
        let (place, echo) = self.answers.get(&(key.to_owned(), id.to_owned())).await.unzip();
        Follows { place, echo: echo.flatten(), ..Follows::default() }
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
