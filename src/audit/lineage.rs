//! Which interception a request goes on from: a conversation's interceptions are one thread.

use moka::sync::Cache;

use super::Follows;
use crate::domain::{Digest, InterceptionId};
use crate::store::Store;
use crate::store::patience::in_time;
use crate::store::records::interceptions::{self, Place};
use crate::store::records::{Row, Start};

/// Calls, places and threads that are remembered, each.
const REMEMBERED: u64 = 50_000;

/// How many of a request's calls the store is asked for.
const ASKED: usize = 4;

/// What is known of conversations; the store knows the rest.
#[derive(Debug)]
pub(super) struct Lineage {
    store: Store,
    /// By person and call, or person and place.
    places: Cache<Digest, Place>,
    threads: Cache<InterceptionId, InterceptionId>,
}

impl Lineage {
    pub(super) fn new(store: Store) -> Self {
        Self { store, places: Cache::new(2 * REMEMBERED), threads: Cache::new(REMEMBERED) }
    }

    /// Puts a new interception into its thread.
    pub(super) async fn place(&self, person: &str, start: &mut Start, follows: &Follows, ask: bool) {
        let place = match self.remembered(person, follows) {
            None if ask => in_time(self.asked(person, follows)).await.unwrap_or_else(|error| {
                tracing::warn!(target: "toolgate::audit", %error, "what a request goes on from cannot be found");
                None
            }),
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

    /// Remembers the client's calls, whose results the next request brings.
    pub(super) fn note(&self, person: &str, row: &Row) {
        let Row::ToolUse(call) = row else { return };
        if call.injected {
            return;
        }
        if let Some(thread) = self.threads.get(&call.interception_id) {
            self.places.insert(by_call(person, &call.call_id), Place { id: call.interception_id, thread });
        }
    }

    fn remembered(&self, person: &str, follows: &Follows) -> Option<Place> {
        let by_calls = follows.call_ids.iter().find_map(|id| self.places.get(&by_call(person, id)));
        by_calls.or_else(|| self.places.get(&by_place(person, &follows.place?.to_string())))
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

fn by_place(person: &str, place: &str) -> Digest {
    Digest::of_parts(&[b"place", person.as_bytes(), place.as_bytes()])
}
