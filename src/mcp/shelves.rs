//! What each server listed last, sorted out by the lock in force, and the catalogue that all of it makes.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::approve::{self, Approved, LeftOut, Quarantined, Verdict};
use super::catalogue::Catalogue;
use super::lock::Lock;
use super::page::Listing;
use super::result::bounded;
use super::server::{Server, public_url};
use crate::config;
use crate::domain::{ToolRef, on_one_line};

/// How many tools are named in one line of the log.
const NAMED: usize = 5;

/// How much of a tool's name is in the log, in bytes.
const LONGEST_NAME: usize = 200;

/// The shelves of all servers.
#[derive(Debug)]
pub(super) struct Shelves {
    contents: Mutex<Contents>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

#[derive(Debug, Default)]
struct Contents {
    /// How the tools' names are made.
    pattern: String,
    lock: Option<Arc<Lock>>,
    by_server: BTreeMap<String, Shelf>,
}

/// One server's tools.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) config: config::Server,
    pub(super) server_url: String,
    pub(super) tools: Vec<Arc<Approved>>,
    listing: Option<Arc<Listing>>,
    sorted: Sorted,
}

/// What became of a server's list.
#[derive(Debug, Clone, Default)]
pub(super) struct Sorted {
    pub(super) approved: Vec<String>,
    pub(super) left_out: Vec<LeftOut>,
    pub(super) quarantined: Vec<Quarantined>,
    pub(super) warnings: Vec<String>,
}

impl Shelves {
    /// No servers yet.
    pub(super) fn new(lock: Option<Lock>) -> Self {
        let contents = Contents { lock: lock.map(Arc::new), ..Contents::default() };
        Self { contents: Mutex::new(contents), catalogue: watch::Sender::default() }
    }

    /// Makes room for these servers and no others; tools are named by `pattern`.
    ///
    /// One that is as it was keeps its tools. One that is reached as before, but configured otherwise, has its list
    /// sorted out anew. One that has listed nothing yet has what the lock approves, where one is in force.
    pub(super) fn arrange(&self, configured: &[config::Server], pattern: &str) {
        let mut contents = self.contents();
        let Contents { pattern: named_by, lock, by_server } = &mut *contents;
        pattern.clone_into(named_by);
        let mut earlier = std::mem::take(by_server);
        for config in configured {
            let shelf = match earlier.remove(&config.name) {
                Some(shelf) if shelf.config == *config => shelf,
                known => {
                    let known = known.filter(|shelf| shelf.config.transport == config.transport);
                    let mut shelf = Shelf::empty(config.clone());
                    shelf.listing = known.and_then(|shelf| shelf.listing);
                    shelf.sort(lock.as_deref());
                    shelf
                }
            };
            by_server.insert(config.name.clone(), shelf);
        }
        self.publish(&contents, "the configuration");
    }

    /// Takes what a server lists now, unless it lists what it did before, or is not configured any more.
    pub(super) fn fill(&self, server: &Server, listing: Listing) {
        let mut contents = self.contents();
        let Contents { lock, by_server, .. } = &mut *contents;
        if server.retired.is_cancelled() {
            return;
        }
        let Some(shelf) = by_server.get_mut(server.name()) else { return };
        let is_known = shelf.listing.as_ref().is_some_and(|known| known.has_tools_of(&listing));
        shelf.listing = Some(Arc::new(listing));
        if !is_known {
            shelf.sort(lock.as_deref());
            self.publish(&contents, server.name());
        }
    }

    /// Puts another lock in force, or none, and sorts all lists again.
    pub(super) fn set_lock(&self, lock: Option<Lock>) {
        let mut contents = self.contents();
        let Contents { lock: in_force, by_server, .. } = &mut *contents;
        *in_force = lock.map(Arc::new);
        for shelf in by_server.values_mut() {
            shelf.sort(in_force.as_deref());
        }
        self.publish(&contents, "tools.lock");
    }

    /// What became of a server's last list.
    pub(super) fn sorted(&self, server: &str) -> Sorted {
        self.contents().by_server.get(server).map(|shelf| shelf.sorted.clone()).unwrap_or_default()
    }

    /// A server's last list as it came; `None` before the first.
    pub(super) fn listing(&self, server: &str) -> Option<Arc<Listing>> {
        self.contents().by_server.get(server)?.listing.clone()
    }

    pub(super) fn catalogue(&self) -> &watch::Sender<Arc<Catalogue>> {
        &self.catalogue
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the new catalogue; the contents are held meanwhile, so that an older one never follows it.
    fn publish(&self, contents: &Contents, cause: &str) {
        let catalogue = Catalogue::build(&contents.pattern, contents.by_server.values());
        self.catalogue.send_if_modified(|current| {
            let changed = current.version() != catalogue.version();
            if changed {
                tracing::info!(tools = catalogue.tools().len(), cause, "the catalogue changed");
            }
            *current = Arc::new(catalogue);
            changed
        });
    }
}

impl Shelf {
    /// Without tools.
    pub(super) fn empty(config: config::Server) -> Self {
        let server_url = public_url(&config.transport);
        Self { config, server_url, tools: Vec::new(), listing: None, sorted: Sorted::default() }
    }

    /// What is in quarantine, by name.
    pub(super) fn quarantined(&self) -> impl Iterator<Item = (ToolRef, Quarantined)> {
        let source = |tool: &str| ToolRef { server: self.config.name.clone(), tool: tool.to_owned() };
        self.sorted.quarantined.iter().map(move |tool| (source(&tool.tool), tool.clone()))
    }

    /// Decides anew on all tools.
    pub(super) fn sort(&mut self, lock: Option<&Lock>) {
        let verdict = match (&self.listing, lock) {
            (Some(listing), lock) => approve::approve(&self.config, &listing.tools, lock),
            (None, Some(lock)) => approve::approve_unlisted(&self.config, lock),
            (None, None) => Verdict::default(),
        };
        self.tell_of_new(&verdict.quarantined);
        self.sorted = Sorted {
            approved: verdict.approved.iter().map(|tool| tool.source.tool.clone()).collect(),
            left_out: verdict.left_out,
            quarantined: verdict.quarantined,
            warnings: verdict.warnings,
        };
        self.sorted.warnings.extend(self.listing.as_ref().and_then(|listing| listing.cut.clone()));
        self.tools = verdict.approved.into_iter().map(Arc::new).collect();
    }

    /// Logs each change once, however often it is listed.
    fn tell_of_new(&self, quarantined: &[Quarantined]) {
        let known: HashSet<_> =
            self.sorted.quarantined.iter().map(|tool| (&tool.tool, tool.digest)).collect();
        let mut new =
            quarantined.iter().filter(|tool| !known.contains(&(&tool.tool, tool.digest))).peekable();
        if new.peek().is_none() {
            return;
        }
        // A server may list thousands, and others again at once.
        let first: Vec<String> = new.by_ref().take(NAMED).map(in_a_word).collect();
        let (server, tools, more) = (&self.config.name, first.join(", "), new.count());
        tracing::warn!(%server, tools, more, "tools are quarantined: see `toolgate tools diff`");
    }
}

fn in_a_word(Quarantined { tool, reason, is_kept, .. }: &Quarantined) -> String {
    let tool = bounded(&on_one_line(tool), LONGEST_NAME);
    let kept = if *is_kept { "; the approved one stays" } else { "" };
    format!("{tool} ({reason}{kept})")
}
