//! All approved servers: their tools as one catalogue, and the way to call them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::catalogue::Catalogue;
use super::connection::Call;
use super::credentials::Access;
use super::lock::Lock;
use super::server::Server;
use super::shelves::Shelves;
use super::status::ServerStatus;
use super::supervise::Ending;
use crate::audit::{Clearance, ToolOutcome};
use crate::config;
use crate::domain::{Behalf, SpanId, ToolRef, ToolResult};

/// How long killed processes may take to be gone.
const LAST_RITES: Duration = Duration::from_secs(1);

/// All approved MCP servers; cheap to clone.
#[derive(Debug, Clone)]
pub struct Fleet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    servers: Mutex<BTreeMap<String, Arc<Server>>>,
    shelves: Arc<Shelves>,
    ending: Ending,
    /// One for each server, also for those that are not configured any more and still end.
    supervisors: TaskTracker,
    access: Access,
    /// What outlives a supervisor: readers of standard error, and what nobody waits for.
    readers: TaskTracker,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq)]
pub struct CallEnd {
    /// For the model, also when the call failed.
    pub result: ToolResult,
    /// For the records.
    pub outcome: ToolOutcome,
    /// From the call to its result.
    pub duration: Duration,
}

impl Fleet {
    /// Starts to connect to all servers, each in a task of its own, and returns at once.
    ///
    /// `tool_name` is the pattern of the tools' names, with `{server}` and `{tool}`. With a lock, the catalogue holds
    /// what it approves from the first moment on; `access` is what credentials need.
    pub fn start(
        servers: &[config::Server],
        tool_name: &str,
        lock: Option<Lock>,
        access: Access,
        tracker: &TaskTracker,
    ) -> Self {
        let fleet = Self(Arc::new(Inner {
            servers: Mutex::default(),
            shelves: Arc::new(Shelves::new(lock)),
            ending: Ending::default(),
            supervisors: TaskTracker::new(),
            access,
            readers: tracker.clone(),
        }));
        fleet.apply(servers, tool_name);
        fleet
    }

    /// Makes these the servers: those that are new or otherwise are started, those that are not there any more
    /// finish their calls and stop, and all others go on undisturbed.
    pub fn apply(&self, configured: &[config::Server], tool_name: &str) {
        let mut servers = self.servers();
        let earlier = std::mem::take(&mut *servers);
        let mut started = Vec::new();
        for config in configured {
            let same = earlier.get(&config.name).filter(|server| server.config.is_reached_like(config));
            let server = same.cloned().unwrap_or_else(|| {
                let server = Arc::new(Server::new(config, &self.0.shelves, &self.0.access));
                started.push(server.clone());
                server
            });
            servers.insert(config.name.clone(), server);
        }
        let goes_on = |server: &Arc<Server>| {
            servers.get(server.name()).is_some_and(|successor| Arc::ptr_eq(successor, server))
        };
        for gone in earlier.values().filter(|server| !goes_on(server)) {
            gone.retired.cancel();
        }
        self.0.shelves.arrange(configured, tool_name);
        for server in started {
            self.supervise(server);
        }
    }

    fn supervise(&self, server: Arc<Server>) {
        let (ending, readers) = (self.0.ending.clone(), self.0.readers.clone());
        let supervised = async move { server.supervise(ending, &readers).await };
        self.0.supervisors.spawn(self.0.readers.track_future(supervised));
    }

    /// Closes the connection to a server and makes another one at once; `false` where no server has this name.
    pub fn restart(&self, name: &str) -> bool {
        self.server(name).is_some_and(|server| {
            tracing::info!(server = name, "an MCP server is to start anew");
            server.restarts.send_replace(());
            true
        })
    }

    /// The approved tools as of now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.0.shelves.catalogue().borrow().clone()
    }

    /// The approved tools as of now, and every change of them.
    pub fn watch(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.0.shelves.catalogue().subscribe()
    }

    /// The servers that calls cannot reach now, sorted by name.
    pub fn missing(&self) -> Vec<String> {
        let servers = self.servers();
        let missing = servers.values().filter(|server| !server.is_up());
        missing.map(|server| server.name().to_owned()).collect()
    }

    /// Those of them that the gateway is not ready without.
    pub fn missing_required(&self) -> Vec<String> {
        let servers = self.servers();
        let missing = servers.values().filter(|server| server.config.required && !server.is_up());
        missing.map(|server| server.name().to_owned()).collect()
    }

    /// How the servers are doing, sorted by name.
    pub fn statuses(&self) -> Vec<ServerStatus> {
        self.servers().values().map(|server| server.status()).collect()
    }

    /// How the server of this name is doing.
    pub fn status(&self, name: &str) -> Option<ServerStatus> {
        self.server(name).map(|server| server.status())
    }

    /// Puts another lock in force, or none: all tools are sorted out again as they were last listed.
    pub fn set_lock(&self, lock: Option<Lock>) {
        self.0.shelves.set_lock(lock);
    }

    /// What a server listed last, as it came; `None` before the first list.
    pub fn listed(&self, name: &str) -> Option<Vec<Value>> {
        self.0.shelves.listing(name).map(|listing| listing.tools.clone())
    }

    /// Returns when every server has been tried once, whatever came of it.
    pub async fn settled(&self) {
        for server in self.all_servers() {
            server.tried().await;
        }
    }

    /// Runs one call on behalf of the caller that it is cleared for. It ends within the tool's time-outs; when
    /// `cancel` is cancelled the server is told, and the call ends at once.
    pub async fn call(&self, clearance: Clearance, behalf: &Behalf, cancel: &CancellationToken) -> CallEnd {
        let tool = clearance.tool().source.clone();
        let is_theirs = *clearance.caller() == behalf.caller;
        let mut meta = Map::new();
        if let Some(trace) = &behalf.trace {
            trace.put_into_meta(SpanId::of_call(clearance.id()), &mut meta);
        }
        let call = Call { tool: tool.tool, arguments: clearance.into_arguments(), meta };
        let started = Instant::now();
        let (result, outcome) = if !is_theirs {
            (
                ToolResult::error("Not run: this call was cleared for another caller."),
                ToolOutcome::NotExecuted,
            )
        } else if let Some(server) = self.server(&tool.server) {
            server.call(call, behalf, cancel).await
        } else {
            let message = format!("The server `{}` of this tool is not configured any more.", tool.server);
            (ToolResult::error(message), ToolOutcome::Unreachable)
        };
        CallEnd { result, outcome, duration: started.elapsed() }
    }

    /// What the model is told of a call of this tool, if it is in quarantine.
    pub fn quarantine(&self, tool: &ToolRef) -> Option<String> {
        self.catalogue().quarantined(tool).map(|quarantined| quarantined.reason.refusal(tool))
    }

    pub(super) fn ending(&self) -> &Ending {
        &self.0.ending
    }

    pub(super) fn supervisors(&self) -> &TaskTracker {
        &self.0.supervisors
    }

    pub(super) fn readers(&self) -> &TaskTracker {
        &self.0.readers
    }

    pub(super) fn server(&self, name: &str) -> Option<Arc<Server>> {
        self.servers().get(name).cloned()
    }

    pub(super) fn all_servers(&self) -> Vec<Arc<Server>> {
        self.servers().values().cloned().collect()
    }

    pub(super) fn access(&self) -> &Access {
        &self.0.access
    }

    /// Does something that nobody waits for.
    pub(super) fn spawn(&self, doing: impl Future<Output = ()> + Send + 'static) {
        self.0.readers.spawn(doing);
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Server>>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection and ends every child process: in order within `grace`, by force after it.
    pub async fn shutdown(&self, grace: Duration) {
        let Inner { ending, supervisors, access, .. } = &*self.0;
        supervisors.close();
        access.renewals.close();
        ending.begins.cancel();
        let in_order = async {
            supervisors.wait().await;
            access.renewals.wait().await;
        };
        if timeout(grace, in_order).await.is_err() {
            ending.no_time_left.cancel();
            if timeout(LAST_RITES, supervisors.wait()).await.is_err() {
                tracing::warn!("an MCP server's process could not be ended");
            }
        }
    }
}
