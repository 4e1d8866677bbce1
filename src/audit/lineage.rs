//! Which interception a request goes on from: a conversation's interceptions are one thread.

use moka::sync::Cache;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::time::{Duration, Instant, timeout};

use super::Follows;
use super::entry::Record;
use crate::domain::{Digest, InterceptionId};
use crate::store::Store;
use crate::store::records::interceptions::{self, Place};
use crate::store::records::{Row, Start};

/// Calls, places and threads that are remembered, each.
const REMEMBERED: u64 = 50_000;

/// How many of a request's calls the store is asked for.
const ASKED: usize = 4;

/// How long it is waited for the store, while all records wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the store is not asked after it was too slow.
const REST: Duration = Duration::from_secs(30);

/// What is known of conversations; the store knows the rest.
#[derive(Debug)]
pub(super) struct Lineage {
    store: Store,
    /// By person and call, echo or place.
    places: Cache<Digest, Place>,
    threads: Cache<InterceptionId, InterceptionId>,
    /// When the store was too slow.
    slow: ArcSwapOption<Instant>,
}

impl Lineage {
    pub(super) fn new(store: Store) -> Self {
        let (places, threads) = (Cache::new(3 * REMEMBERED), Cache::new(REMEMBERED));
        Self { store, places, threads, slow: ArcSwapOption::empty() }
    }

    /// Puts a new interception into its thread.
    pub(super) async fn place(&self, person: &str, start: &mut Start, follows: &Follows, ask: bool) {
        let place = match self.remembered(person, follows) {
            None if ask => self.found(person, follows).await,
            place => place,
        };
        if let Some(place) = place.filter(|place| place.id != start.id) {
            start.parent = Some(place.id);
            start.thread = place.thread;
        }
        self.threads.insert(start.id, start.thread);
        if let Some(at) = &start.place {
            self.places.insert(by_place(person, at), Place { id: start.id, thread: start.thread });
        }
    }

    /// Remembers what the next request of a conversation brings: results of the client's calls, or the answer.
    pub(super) fn note(&self, person: &str, record: &Record) {
        let (id, key) = match (&record.row, record.echo) {
            (Row::ToolUse(call), _) if !call.injected => {
                (call.interception_id, by_call(person, &call.call_id))
            }
            (Row::End(end), Some(echo)) => (end.id, by_echo(person, echo)),
            _ => return,
        };
        if let Some(thread) = self.threads.get(&id) {
            self.places.insert(key, Place { id, thread });
        }
    }

    fn remembered(&self, person: &str, follows: &Follows) -> Option<Place> {
        let by_calls = follows.call_ids.iter().find_map(|id| self.places.get(&by_call(person, id)));
        let by_echo = || self.places.get(&by_echo(person, follows.echo?));
        let by_place = || self.places.get(&by_place(person, &follows.place?.to_string()));
        by_calls.or_else(by_echo).or_else(by_place)
    }

    /// What the store knows, if it tells soon.
    async fn found(&self, person: &str, follows: &Follows) -> Option<Place> {
        if self.slow.load().as_ref().is_some_and(|since| since.elapsed() < REST) {
            return None;
        }
        let why = match timeout(PATIENCE, self.asked(person, follows)).await {
            Ok(Ok(place)) => return place,
            Ok(Err(error)) => error.to_string(),
            Err(elapsed) => {
                self.slow.store(Some(Arc::new(Instant::now())));
                elapsed.to_string()
            }
        };
        tracing::warn!(target: "toolgate::audit", why, "what a request goes on from cannot be found");
        None
    }

    async fn asked(&self, person: &str, follows: &Follows) -> Result<Option<Place>, sqlx::Error> {
        for id in follows.call_ids.iter().take(ASKED) {
            if let Some(place) = interceptions::by_call(&self.store, person, id).await? {
                return Ok(Some(place));
            }
        }
        match follows.place {
            Some(place) => interceptions::by_place(&self.store, person, &place.to_string()).await,
            None => Ok(None),
        }
    }
}

fn by_call(person: &str, id: &str) -> Digest {
    Digest::of_parts(&[b"call", person.as_bytes(), id.as_bytes()])
}

fn by_echo(person: &str, echo: Digest) -> Digest {
    Digest::of_parts(&[b"echo", person.as_bytes(), &echo.0])
}

fn by_place(person: &str, place: &str) -> Digest {
    Digest::of_parts(&[b"place", person.as_bytes(), place.as_bytes()])
}
