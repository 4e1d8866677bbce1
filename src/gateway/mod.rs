//! One request from its first byte to its last.
//!
//! [`interception`] shows the phases on one screen, `rounds` the upstream calls, `tool_loop` what becomes
//! of a round's calls. No wire JSON here: a dialect's items are moved without a look inside.

mod admission;
mod answer;
mod injection;
pub mod interception;
mod limits;
mod line;
mod relay;
mod rounds;
mod tool_loop;

use std::sync::Arc;

use moka::future::Cache;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::Audit;
use crate::config::{HostedTools, Limits};
use crate::domain::{Inject, IssuedId};
use crate::mcp::Fleet;
use crate::policy::Policy;
use crate::provider::Providers;
use crate::store::{Store, issued};

pub use admission::{Incoming, Operation};
pub use answer::{AnswerHead, Reply, answer};

/// All parts that an interception needs.
#[derive(Debug)]
pub struct Gateway {
    /// The upstreams.
    pub providers: Providers,
    /// The rules in force.
    pub policy: Policy,
    /// The MCP servers and the catalogue of their tools.
    pub fleet: Fleet,
    /// The records.
    pub audit: Audit,
    /// The caps.
    pub limits: Limits,
    /// When tools are injected, where neither key nor provider says otherwise.
    pub inject: Inject,
    /// Which hosted tools callers may bring.
    pub hosted_tools: HostedTools,
    /// The ids of stored responses that callers have been given.
    pub issued: IssuedIds,
    /// Places for interceptions.
    pub places: Arc<Semaphore>,
    /// The tasks of all interceptions that run.
    pub tasks: TaskTracker,
    /// Cancelled when the time for running interceptions to finish is over.
    pub closing: CancellationToken,
}

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
