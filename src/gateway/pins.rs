//! The tools that a conversation was first shown, which it is shown to its end: a provider's cache, and thinking
//! that is bound to what came before it, hold only as long as the block of tools stays the same to the byte.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moka::future::Cache;

use super::admission::Incoming;
use crate::dialect::History;
use crate::domain::{Digest, ToolDefinition};
use crate::store::patience::in_time;
use crate::store::{self, Store};

/// How often the store is told that a pin is in use.
const TOLD_EVERY: SignedDuration = SignedDuration::from_hours(24);

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
        let Some(found) = in_time(store::pins::find(&self.store, place)).await? else { return Ok(None) };
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
        in_time(store::pins::remember(&self.store, place, Digest::of(text.as_bytes()), &text)).await?;
        match self.find(place).await? {
            Some(set) => Ok(set),
            None => self.set(&text).await,
        }
    }

    /// Lets this list of a client's tools stand for the set that is pinned to its conversation.
    pub async fn follow(&self, list: Digest, conversation: Digest, set: &ToolSet) {
        match self.places.get(&list).await {
            Some(pin) if pin.set == set.id => self.use_at(list, pin).await,
            _ => match in_time(store::pins::follow(&self.store, list, conversation)).await {
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
        if let Err(error) = in_time(store::pins::touch(&self.store, place, now)).await {
            tracing::warn!(%error, "the store could not be told that a conversation's tools are in use");
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::Executor;

    use super::*;
    use crate::domain::{Repeat, ToolRef};

    fn tool(name: &str) -> Arc<ToolDefinition> {
        Arc::new(ToolDefinition {
            name: format!("srv__{name}"),
            source: ToolRef { server: "srv".into(), tool: name.into() },
            server_url: "http://srv.test/mcp".into(),
            description: "says \"hello\"".into(),
            input_schema: r#"{"type":"object"}"#.into(),
            read_only: true,
            repeat: Repeat::Rerun,
            timeout: Duration::from_millis(1500),
            digest: Digest::default(),
        })
    }

    fn place(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    async fn run(store: &Store, sql: &'static str) {
        let mut transaction = store.begin().await.unwrap();
        transaction.execute(sql).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn used_at(store: &Store, name: &str) -> Timestamp {
        store::pins::find(store, place(name)).await.unwrap().unwrap().used_at
    }

    #[tokio::test]
    async fn whole_definitions_come_back_also_without_the_cache() {
        let store = Store::in_memory().await.unwrap();
        let (pins, tools) = (Pins::new(store.clone()), vec![tool("b"), tool("a")]);
        assert!(pins.find(place("c")).await.unwrap().is_none());
        assert_eq!(pins.pin(place("c"), &tools).await.unwrap().definitions, tools);
        for pins in [pins, Pins::new(store)] {
            assert_eq!(pins.find(place("c")).await.unwrap().unwrap().definitions, tools);
            assert!(pins.find(place("d")).await.unwrap().is_none());
        }
    }

    #[tokio::test]
    async fn who_pins_first_has_pinned() {
        let store = Store::in_memory().await.unwrap();
        let (one, two) = (Pins::new(store.clone()), Pins::new(store));
        one.pin(place("c"), &[tool("a")]).await.unwrap();
        let in_force = two.pin(place("c"), &[tool("b")]).await.unwrap();
        assert_eq!(in_force.definitions, [tool("a")]);
        assert_eq!(two.find(place("c")).await.unwrap().unwrap().definitions, [tool("a")]);
    }

    #[tokio::test]
    async fn a_list_stands_for_the_conversation_that_had_it_last() {
        let store = Store::in_memory().await.unwrap();
        let pins = Pins::new(store.clone());
        for (conversation, name) in [("c", "a"), ("d", "b"), ("d", "b"), ("c", "a")] {
            let set = pins.pin(place(conversation), &[tool(name)]).await.unwrap();
            pins.follow(place("list"), place(conversation), &set).await;
            for pins in [&pins, &Pins::new(store.clone())] {
                let found = pins.find(place("list")).await.unwrap().unwrap();
                assert_eq!(found.definitions, [tool(name)]);
            }
        }
        pins.follow(
            place("other"),
            place("unknown"),
            &ToolSet { definitions: vec![], id: place("none"), bytes: 0 },
        )
        .await;
        assert!(Pins::new(store).find(place("other")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn the_store_is_told_of_use_once_a_day() {
        let store = Store::in_memory().await.unwrap();
        Pins::new(store.clone()).pin(place("c"), &[tool("a")]).await.unwrap();
        let fresh = used_at(&store, "c").await;
        Pins::new(store.clone()).find(place("c")).await.unwrap();
        assert_eq!(used_at(&store, "c").await, fresh);

        run(&store, "UPDATE pins SET used_at = '2020-01-01T00:00:00.000000Z'").await;
        let pins = Pins::new(store.clone());
        pins.find(place("c")).await.unwrap();
        assert!(used_at(&store, "c").await >= fresh);
        run(&store, "UPDATE pins SET used_at = '2020-01-01T00:00:00.000000Z'").await;
        pins.find(place("c")).await.unwrap();
        assert!(used_at(&store, "c").await < fresh, "it was told today");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_an_error() {
        let store = Store::in_memory().await.unwrap();
        store::pins::remember(&store, place("c"), place("set"), "[{}]").await.unwrap();
        let pins = Pins::new(store.clone());
        assert!(matches!(pins.find(place("c")).await, Err(sqlx::Error::Decode(_))));
        store.close().await;
        assert!(pins.find(place("c")).await.is_err());
        assert!(pins.pin(place("d"), &[tool("a")]).await.is_err());
    }
}
