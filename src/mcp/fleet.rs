//! All approved servers: their tools as one catalogue, and the way to call them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::approve::Approved;
use super::catalogue::{Catalogue, Shelf};
use super::server::{Ending, Server};
use super::status::ServerStatus;
use crate::audit::{Clearance, ToolOutcome};
use crate::config;
use crate::domain::{Behalf, ToolResult};

/// How long killed processes may take to be gone.
const LAST_RITES: Duration = Duration::from_secs(1);

/// All approved MCP servers; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    servers: BTreeMap<String, Arc<Server>>,
    shelves: Arc<Shelves>,
    ending: Ending,
    tasks: TaskTracker,
}

/// The tools of each server as of its last list, and the catalogue that they make.
#[derive(Debug)]
struct Shelves {
    pattern: String,
    by_server: Mutex<BTreeMap<String, Shelf>>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEnd {
    /// For the model, also when the call failed.
    pub result: ToolResult,
    /// For the records.
    pub outcome: ToolOutcome,
    /// From the call to its result, milliseconds.
    pub duration_ms: u64,
}

impl Fleet {
    /// Starts to connect to all servers, each in a task of its own, and returns at once.
    ///
    /// `tool_name` is the pattern of the tools' names, with `{server}` and `{tool}`.
    pub fn start(servers: &[config::Server], tool_name: &str, tracker: &TaskTracker) -> Self {
        let shelves = Arc::new(Shelves {
            pattern: tool_name.to_owned(),
            by_server: Mutex::default(),
            catalogue: watch::Sender::default(),
        });
        let ending = Ending::default();
        let tasks = TaskTracker::new();
        let mut by_name = BTreeMap::new();
        for config in servers {
            let server = Arc::new(Server::new(config));
            by_name.insert(config.name.clone(), server.clone());
            let (shelves, ending, stderr_tasks) = (shelves.clone(), ending.clone(), tracker.clone());
            let supervised = async move {
                let publish = |tools| shelves.put(&server, tools);
                server.supervise(publish, ending, &stderr_tasks).await;
            };
            tasks.spawn(tracker.track_future(supervised));
        }
        tasks.close();
        Self(Arc::new(Inner { servers: by_name, shelves, ending, tasks }))
    }

    /// The approved tools as of now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.0.shelves.catalogue.borrow().clone()
    }

    /// The approved tools as of now, and every change of them.
    pub fn watch(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.shelves.catalogue.subscribe()
    }

    /// How the servers are doing, sorted by name.
    pub fn statuses(&self) -> Vec<ServerStatus> {
        self.0.servers.values().map(|server| server.status()).collect()
    }

    /// How the server of this name is doing.
    pub fn status(&self, name: &str) -> Option<ServerStatus> {
        self.server(name).map(|server| server.status())
    }

    /// Returns when every server has been tried once, whatever came of it.
    pub async fn settled(&self) {
        for server in self.0.servers.values() {
            server.tried().await;
        }
    }

    /// Runs one call on behalf of the caller that it is cleared for. It ends within the tool's time-outs; when
    /// `cancel` is cancelled the server is told, and the call ends at once.
    pub async fn call(&self, clearance: Clearance, behalf: &Behalf, cancel: &CancellationToken) -> CallEnd {
        let tool = clearance.tool().source.clone();
        let is_theirs = *clearance.caller() == behalf.caller;
        let arguments = clearance.into_arguments();
        let started = Instant::now();
        let (result, outcome) = if !is_theirs {
            (
                ToolResult::error("Not run: this call was cleared for another caller."),
                ToolOutcome::NotExecuted,
            )
        } else if let Some(server) = self.server(&tool.server) {
            server.call(&tool.tool, arguments, behalf, cancel).await
        } else {
            let message = format!("The server `{}` of this tool is not configured any more.", tool.server);
            (ToolResult::error(message), ToolOutcome::Unreachable)
        };
        let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        CallEnd { result, outcome, duration_ms }
    }

    pub(super) fn server(&self, name: &str) -> Option<&Arc<Server>> {
        self.0.servers.get(name)
    }

    /// Closes every connection and ends every child process: in order within `grace`, by force after it.
    pub async fn shutdown(&self, grace: Duration) {
        let Inner { ending, tasks, .. } = &*self.0;
        ending.begins.cancel();
        if timeout(grace, tasks.wait()).await.is_err() {
            ending.no_time_left.cancel();
            if timeout(LAST_RITES, tasks.wait()).await.is_err() {
                tracing::warn!("an MCP server's process could not be ended");
            }
        }
    }
}

impl Shelves {
    fn put(&self, server: &Server, tools: Vec<Approved>) {
        let config = server.config();
        let filled = Shelf {
            server_url: server.status().url,
            timeout: config.max_call_time,
            repeat: config.repeat,
            tools: tools.into_iter().map(Arc::new).collect(),
        };
        let mut by_server = self.by_server.lock().unwrap_or_else(PoisonError::into_inner);
        by_server.insert(config.name.clone(), filled);
        let catalogue = Catalogue::build(&self.pattern, by_server.values());
        // Sent under the lock, so that an older catalogue never follows a newer one.
        self.catalogue.send_if_modified(|current| {
            let changed = current.version() != catalogue.version();
            if changed {
                tracing::info!(tools = catalogue.tools().len(), server = %config.name, "the catalogue changed");
            }
            *current = Arc::new(catalogue);
            changed
        });
    }
}
