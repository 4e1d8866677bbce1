//! The tools of each server as of its last list, and the catalogue that they make.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::approve::Approved;
use super::catalogue::{Catalogue, Shelf};
use super::server::Server;

/// All shelves; a new catalogue is swapped in whenever what stands on them changes.
#[derive(Debug)]
pub(super) struct Shelves {
    arranged: Mutex<Arranged>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

/// What stands where.
#[derive(Debug)]
pub(super) struct Arranged {
    /// How the tools' names are made.
    pub(super) pattern: String,
    by_server: BTreeMap<String, Shelf>,
}

impl Arranged {
    /// Fills the shelf of a server.
    pub(super) fn put(&mut self, server: &Server, tools: Vec<Approved>) {
        let config = &server.config;
        let shelf = Shelf {
            server_url: server.status().url,
            timeout: config.max_call_time,
            repeat: config.repeat,
            tools: tools.into_iter().map(Arc::new).collect(),
        };
        self.by_server.insert(config.name.clone(), shelf);
    }

    /// Takes the shelf of a server away.
    pub(super) fn remove(&mut self, server: &str) {
        self.by_server.remove(server);
    }
}

impl Shelves {
    pub(super) fn new(pattern: &str) -> Self {
        let arranged = Arranged { pattern: pattern.to_owned(), by_server: BTreeMap::new() };
        Self { arranged: Mutex::new(arranged), catalogue: watch::Sender::default() }
    }

    /// The catalogue as of now.
    pub(super) fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.borrow().clone()
    }

    /// The catalogue as of now, and every change of it.
    pub(super) fn watch(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogue.subscribe()
    }

    /// Fills the shelf of a server, unless it is not configured any more.
    pub(super) fn put(&self, server: &Server, tools: Vec<Approved>) {
        self.arrange(|arranged| {
            if !server.retired.is_cancelled() {
                arranged.put(server, tools);
            }
        });
    }

    /// Makes changes, and of them all one new catalogue.
    pub(super) fn arrange(&self, change: impl FnOnce(&mut Arranged)) {
        let mut arranged = self.arranged.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut arranged);
        let catalogue = Catalogue::build(&arranged.pattern, arranged.by_server.values());
        // Sent under the lock, so that an older catalogue never follows a newer one.
        self.catalogue.send_if_modified(|current| {
            let changed = current.version() != catalogue.version();
            if changed {
                tracing::info!(tools = catalogue.tools().len(), "the catalogue changed");
            }
            *current = Arc::new(catalogue);
            changed
        });
    }
}
