//! What makes one conversation of several requests: the rounds that an answer hid from its client are kept, and
//! put back in their place when the conversation goes on.
//!
//! [`Continuity`] keeps and finds, in memory over the store; `plan` decides what becomes of each turn of a
//! history; `carried` seals what clients carry themselves; `open_answer` gathers what one interception adds.

mod carried;
mod open_answer;
mod plan;
mod scope;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use tokio::time::Duration;
use tokio_util::task::TaskTracker;

use crate::config;
use crate::dialect::{KeptRound, Visible};
use crate::domain::Digest;
use crate::seal::Sealer;
use crate::store::patience::in_time;
use crate::store::{Store, continuations};

pub use carried::{MAX_CARRIED, Proof};
pub use open_answer::OpenAnswer;
pub use plan::Told;
pub use scope::Scope;

/// After this time in memory an entry is read from the store again, and counts as used there.
const FRESH: Duration = Duration::from_hours(24);

/// What is kept of conversations.
#[derive(Debug)]
pub struct Continuity {
    store: Store,
    sealer: Arc<Sealer>,
    recent: Cache<Digest, Arc<Vec<Arc<KeptAnswer>>>>,
    tasks: TaskTracker,
}

/// What is kept of one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// What the client saw of it.
    pub visible: Visible,
    /// All its rounds; none where nothing was hidden.
    pub rounds: Vec<KeptRound>,
    /// What had been put back before it.
    pub lineage: Digest,
    /// It broke off, so its client may have seen less than this.
    #[serde(default)]
    pub broken: bool,
}

impl Continuity {
    /// Nothing is in memory yet.
    pub fn new(store: Store, sealer: Arc<Sealer>, settings: config::Continuity, tasks: TaskTracker) -> Self {
        let weigh = |_: &Digest, entries: &Arc<Vec<Arc<KeptAnswer>>>| {
            let bytes: usize = entries.iter().map(|entry| entry.size()).sum();
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let recent =
            Cache::builder().weigher(weigh).max_capacity(settings.memory as u64).time_to_live(FRESH).build();
        Self { store, sealer, recent, tasks }
    }

    /// Keeps what an answer hid, at these places; durable on return. What broke off before it got so far is
    /// forgotten there.
    pub async fn keep(&self, places: &[Digest], entry: &KeptAnswer) -> Result<(), sqlx::Error> {
        let Ok(plain) = serde_json::to_vec(entry) else { return Ok(()) };
        let id = Digest::of(&plain);
        let row = |place: &Digest| continuations::Continuation {
            place: *place,
            id,
            sealed: BASE64.encode(self.sealer.seal(&place.0, &plain)),
        };
        let rows: Vec<_> = places.iter().map(row).collect();
        let mut outdone = Vec::new();
        for (number, sealed) in in_time(continuations::find(&self.store, places)).await? {
            let Some(earlier) = self.open(places[number], &sealed) else { continue };
            if *earlier != *entry && entry.goes_on(&earlier) {
                outdone
                    .push((places[number], Digest::of(&serde_json::to_vec(&*earlier).unwrap_or_default())));
            }
        }
        in_time(continuations::remember(&self.store, &rows, &outdone)).await?;
        for place in places {
            // The next look is into the store: what is there may be more than this.
            self.recent.invalidate(place).await;
        }
        Ok(())
    }

    /// What is kept at each of these places, in their order.
    pub async fn find(&self, places: &[Digest]) -> Result<Vec<Arc<Vec<Arc<KeptAnswer>>>>, sqlx::Error> {
        let mut found = Vec::with_capacity(places.len());
        let mut missing = Vec::new();
        for place in places {
            let known = self.recent.get(place).await;
            if known.is_none() {
                missing.push(*place);
            }
            found.push(known);
        }
        let mut read = self.read(&missing).await?.into_iter();
        Ok(found.into_iter().map(|known| known.or_else(|| read.next()).unwrap_or_default()).collect())
    }

    /// What the store has at each of these places. What is found counts as used now.
    async fn read(&self, places: &[Digest]) -> Result<Vec<Arc<Vec<Arc<KeptAnswer>>>>, sqlx::Error> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut entries: Vec<Vec<Arc<KeptAnswer>>> = vec![Vec::new(); places.len()];
        for (number, sealed) in in_time(continuations::find(&self.store, places)).await? {
            entries[number].extend(self.open(places[number], &sealed));
        }
        let mut used = Vec::new();
        let mut found = Vec::with_capacity(places.len());
        for (place, entries) in places.iter().zip(entries) {
            let entries = Arc::new(entries);
            // That there is nothing is not remembered: another replica may be about to keep something.
            if !entries.is_empty() {
                used.push(*place);
                self.recent.insert(*place, Arc::clone(&entries)).await;
            }
            found.push(entries);
        }
        self.touch(used);
        Ok(found)
    }

    fn touch(&self, places: Vec<Digest>) {
        if places.is_empty() {
            return;
        }
        let store = self.store.clone();
        self.tasks.spawn(async move {
            if let Err(error) = in_time(continuations::touch(&store, &places)).await {
                tracing::warn!(%error, "the use of a conversation could not be noted");
            }
        });
    }

    fn open(&self, place: Digest, sealed: &str) -> Option<Arc<KeptAnswer>> {
        let opened = BASE64.decode(sealed).ok().and_then(|sealed| self.sealer.open(&place.0, &sealed));
        let entry = opened.and_then(|plain| serde_json::from_slice(&plain).ok());
        if entry.is_none() {
            tracing::warn!("a part of a conversation cannot be opened: was it sealed with another key?");
        }
        entry.map(Arc::new)
    }
}

impl KeptAnswer {
    /// Whether an earlier answer broke off, and this one is what became of it: the model said the same, and here
    /// it got as far or farther.
    fn goes_on(&self, earlier: &Self) -> bool {
        let said = |answer: &Self| answer.rounds.iter().map(|round| round.items.clone()).collect::<Vec<_>>();
        earlier.broken && said(self).starts_with(&said(earlier))
    }

    /// About how much memory it takes, bytes.
    fn size(&self) -> usize {
        256 + self.visible.text.len() + self.rounds.iter().map(KeptRound::size).sum::<usize>()
    }
}
