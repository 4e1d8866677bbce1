//! The tools that a conversation was first shown, which it is shown to its end: a provider's cache, and thinking
//! that is bound to what came before it, hold only as long as the block of tools stays the same to the byte.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;

use super::admission::Incoming;
use crate::dialect::History;
use crate::domain::{Digest, ToolDefinition};
use crate::store::{self, Store};

/// How often the store is told that a pin is in use; pins are kept for so much longer.
pub const TOLD_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How long a pin that nobody uses stays in memory: not so long that the store has forgotten it.
const IDLE: Duration = Duration::from_hours(24);
/// How much of definitions is held in memory, bytes.
const DEFINITIONS: u64 = 32 << 20;
/// How many conversations' pins are held in memory.
const CONVERSATIONS: u64 = 50_000;

/// Which conversation was shown which tools: a cache over the store.
#[derive(Debug)]
pub struct Pins {
    store: Store,
    places: Cache<Digest, Pin>,
    sets: Cache<Digest, Arc<ToolSet>>,
}

/// Definitions as they were when they were pinned, in the order in which they go up.
#[derive(Debug)]
pub struct ToolSet {
    /// The definitions.
    pub definitions: Vec<Arc<ToolDefinition>>,
    id: Digest,
    bytes: u32,
}

#[derive(Debug, Clone, Copy)]
struct Pin {
    set: Digest,
    /// As far as the store was told.
    used_at: Timestamp,
}

/// Where the tools of a request's conversation are pinned: by its session where the client names one, else by
/// what it began with.
pub fn conversation(incoming: &Incoming, history: &History) -> Digest {
    let key = incoming.caller.key.as_bytes();
    if let Some(session) = &incoming.client.session {
        return Digest::of_parts(&[b"session", key, session.as_bytes()]);
    }
    let end_user = history.end_user.as_deref().unwrap_or_default().as_bytes();
    Digest::of_parts(&[b"beginning", key, end_user, &history.beginning.0])
}

/// Where the tools are pinned that go with a client's own, for requests that bring its tools and little else.
pub fn tool_list(incoming: &Incoming, history: &History) -> Digest {
    let session = incoming.client.session.as_deref().unwrap_or_default();
    Digest::of_parts(&[b"tools", incoming.caller.key.as_bytes(), session.as_bytes(), &history.tools.0])
}

impl Pins {
    /// An empty cache over this store.
    pub fn new(store: Store) -> Self {
        let places = Cache::builder().max_capacity(CONVERSATIONS).time_to_idle(IDLE).build();
        let sets =
            Cache::builder().max_capacity(DEFINITIONS).weigher(|_, set: &Arc<ToolSet>| set.bytes).build();
        Self { store, places, sets }
    }

    /// The tools that are pinned here.
    pub async fn find(&self, place: Digest) -> Result<Option<Arc<ToolSet>>, sqlx::Error> {
        if let Some(pin) = self.places.get(&place).await
            && let Some(set) = self.sets.get(&pin.set).await
        {
            self.use_at(place, pin).await;
            return Ok(Some(set));
        }
        let Some(found) = store::pins::find(&self.store, place).await? else { return Ok(None) };
        let set = self.set(&found.tools).await?;
        let pin = Pin { set: set.id, used_at: found.used_at };
        self.places.insert(place, pin).await;
        self.use_at(place, pin).await;
        Ok(Some(set))
    }

    /// Pins these tools here; durable on return. What is in force then may be another's, who was faster.
    pub async fn pin(
        &self,
        place: Digest,
        tools: &[Arc<ToolDefinition>],
    ) -> Result<Arc<ToolSet>, sqlx::Error> {
        let plain: Vec<&ToolDefinition> = tools.iter().map(AsRef::as_ref).collect();
        let text = serde_json::to_string(&plain).map_err(|error| sqlx::Error::Encode(error.into()))?;
        store::pins::remember(&self.store, place, Digest::of(text.as_bytes()), &text).await?;
        match self.find(place).await? {
            Some(set) => Ok(set),
            None => self.set(&text).await,
        }
    }

    /// Lets this list of a client's tools stand for the set that is pinned to its conversation.
    pub async fn follow(&self, list: Digest, conversation: Digest, set: &ToolSet) {
        match self.places.get(&list).await {
            Some(pin) if pin.set == set.id => self.use_at(list, pin).await,
            _ => match store::pins::follow(&self.store, list, conversation).await {
                Ok(()) => self.places.insert(list, Pin { set: set.id, used_at: Timestamp::now() }).await,
                Err(error) => {
                    tracing::warn!(%error, "the store failed: token counts may be without this gateway's tools");
                }
            },
        }
    }

    async fn set(&self, text: &str) -> Result<Arc<ToolSet>, sqlx::Error> {
        let id = Digest::of(text.as_bytes());
        if let Some(set) = self.sets.get(&id).await {
            return Ok(set);
        }
        let definitions: Vec<ToolDefinition> =
            serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let definitions = definitions.into_iter().map(Arc::new).collect();
        let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let set = Arc::new(ToolSet { definitions, id, bytes });
        self.sets.insert(id, Arc::clone(&set)).await;
        Ok(set)
    }

    /// Tells the store now and then that a pin is in use, so that it is kept.
    async fn use_at(&self, place: Digest, pin: Pin) {
        let now = Timestamp::now();
        if now.duration_since(pin.used_at) < TOLD_EVERY {
            return;
        }
        self.places.insert(place, Pin { used_at: now, ..pin }).await;
        if let Err(error) = store::pins::touch(&self.store, place, now).await {
            tracing::warn!(%error, "the store could not be told that a conversation's tools are in use");
        }
    }
}
