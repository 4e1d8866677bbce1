//! One approved server, watched over by one task: connect, list, keep, and start again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::service::{RoleClient, RunningService};
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::approve::{Approved, approve};
use super::backoff::Backoff;
use super::connect::{Handler, Open, connect};
use super::connection::{CallLimits, Connection};
use super::page::Listing;
use super::pool::{NoConnection, Pool};
use super::status::{ServerFailure, ServerState, ServerStatus, Stage};
use crate::audit::ToolOutcome;
use crate::config::{self, Sharing, Transport};
use crate::domain::{Behalf, ToolResult};

/// How long a call waits for a connection that is being made.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A connection that lasted this long was a good one: the next failure starts with a short delay again.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// A server's configuration, connection and state.
#[derive(Debug)]
pub(super) struct Server {
    config: config::Server,
    connection: watch::Sender<Option<Arc<Connection>>>,
    status: Mutex<ServerStatus>,
    tried: CancellationToken,
    pool: Pool,
}

/// When to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Close everything in order.
    pub(super) begins: CancellationToken,
    /// Kill what is still there.
    pub(super) no_time_left: CancellationToken,
}

impl Server {
    pub(super) fn new(config: &config::Server) -> Self {
        let status = ServerStatus {
            name: config.name.clone(),
            url: public_url(&config.transport),
            state: ServerState::Connecting,
            era: None,
            protocol: None,
            approved: Vec::new(),
            left_out: Vec::new(),
            warnings: Vec::new(),
            last_failure: None,
        };
        Self {
            config: config.clone(),
            connection: watch::Sender::new(None),
            status: Mutex::new(status),
            tried: CancellationToken::new(),
            pool: Pool::new(config),
        }
    }

    pub(super) fn config(&self) -> &config::Server {
        &self.config
    }

    pub(super) fn status(&self) -> ServerStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when the first attempt is over, whatever came of it.
    pub(super) async fn tried(&self) {
        self.tried.cancelled().await;
    }

    /// Calls a tool by the server's own name for it; waits a short time where there is no connection.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        behalf: &Behalf,
        cancel: &CancellationToken,
    ) -> (ToolResult, ToolOutcome) {
        let limits = CallLimits { silence: self.config.call_timeout, total: self.config.max_call_time };
        let connection = tokio::select! {
            biased;
            connection = self.connection_for(behalf) => connection,
            () = cancel.cancelled() => return (ToolResult::error("The call was cancelled."), ToolOutcome::Cancelled),
        };
        match connection {
            Ok(connection) => connection.call(tool, arguments, limits, cancel).await,
            Err(NoConnection { message, outcome }) => (ToolResult::error(message), outcome),
        }
    }

    /// The connection on which something is done for them; waits a short time for one that is being made.
    pub(super) async fn connection_for(&self, behalf: &Behalf) -> Result<Arc<Connection>, NoConnection> {
        let patience = self.config.call_timeout.min(RECONNECT_PATIENCE);
        match self.config.sharing {
            Sharing::Shared => self.live_connection(patience).await.ok_or_else(|| self.unavailable()),
            Sharing::PerCaller | Sharing::PerConversation => self.pool.connection_for(behalf).await,
        }
    }

    fn unavailable(&self) -> NoConnection {
        let name = &self.config.name;
        NoConnection {
            message: format!("The server `{name}` of this tool is not available now. Nothing was run."),
            outcome: ToolOutcome::Unreachable,
        }
    }

    async fn live_connection(&self, patience: Duration) -> Option<Arc<Connection>> {
        let mut connections = self.connection.subscribe();
        let is_live =
            |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|it| !it.is_closed());
        let connection = timeout(patience, connections.wait_for(is_live)).await.ok()?.ok()?;
        connection.clone()
    }

    /// Keeps the server connected until the end; `publish` gets its approved tools after each list.
    pub(super) async fn supervise(
        &self,
        publish: impl Fn(Vec<Approved>) + Send + Sync,
        ending: Ending,
        tracker: &TaskTracker,
    ) {
        // Also when this task ends early: nobody may wait for ever.
        let _tried = self.tried.clone().drop_guard();
        let tools_changed = Arc::new(Notify::new());
        let mut backoff = Backoff::new();
        loop {
            let attempt = tokio::select! {
                () = ending.begins.cancelled() => return,
                attempt = self.open(&tools_changed, &publish, tracker) => attempt,
            };
            match attempt {
                Ok(open) => {
                    self.tried.cancel();
                    let since = Instant::now();
                    self.keep(open, &tools_changed, &publish, &ending).await;
                    if since.elapsed() > GOOD_CONNECTION {
                        backoff = Backoff::new();
                    }
                }
                Err(failure) => self.fail(failure),
            }
            self.tried.cancel();
            tokio::select! {
                () = ending.begins.cancelled() => return,
                () = sleep(backoff.delay()) => {}
            }
        }
    }

    /// Connects and lists, within the time that the configuration gives to both.
    async fn open(
        &self,
        tools_changed: &Arc<Notify>,
        publish: &(impl Fn(Vec<Approved>) + Send + Sync),
        tracker: &TaskTracker,
    ) -> Result<Open, ServerFailure> {
        let limit = self.config.connect_timeout;
        let deadline = Instant::now() + limit;
        let too_slow = |_| format!("no answer within {} s", limit.as_secs_f64());
        let era = self.status().era;
        let opened =
            tokio::time::timeout_at(deadline, connect(&self.config, era, tools_changed, tracker)).await;
        let open = opened.map_err(too_slow).flatten().map_err(|message| {
            // Whatever worked before does not any more.
            self.update(|status| status.era = None);
            ServerFailure { stage: Stage::Connect, message }
        })?;
        let listed = tokio::time::timeout_at(deadline, open.connection.list_tools()).await;
        let listing = listed
            .map_err(too_slow)
            .flatten()
            .map_err(|message| ServerFailure { stage: Stage::List, message })?;
        self.sort_out(listing, publish);
        self.update(|status| {
            status.state = ServerState::Ready;
            status.era = Some(open.era);
            status.protocol = Some(open.connection.protocol());
        });
        tracing::info!(server = %self.config.name, protocol = %open.connection.protocol(), "connected");
        self.connection.send_replace(Some(open.connection.clone()));
        Ok(open)
    }

    /// Waits for the connection's end, listing again whenever the server says that its tools changed.
    async fn keep(
        &self,
        open: Open,
        tools_changed: &Notify,
        publish: &(impl Fn(Vec<Approved>) + Send + Sync),
        ending: &Ending,
    ) {
        let Open { connection, service, mut child, .. } = open;
        let token = service.cancellation_token();
        let mut closed = Box::pin(closed(service));
        let ends = loop {
            tokio::select! {
                biased;
                () = ending.begins.cancelled() => break true,
                () = &mut closed => break false,
                () = tools_changed.notified() => self.relist(&connection, publish).await,
            }
        };
        self.connection.send_replace(None);
        token.cancel();
        if ends {
            tokio::select! { () = closed => {}, () = ending.no_time_left.cancelled() => {} }
        } else {
            let obituary = match &mut child {
                Some(child) => child.obituary().await,
                None => None,
            };
            let message = obituary.unwrap_or_else(|| "the server closed the connection".into());
            self.fail(ServerFailure { stage: Stage::Run, message });
        }
        if let Some(child) = child {
            child.stop(&ending.no_time_left).await;
        }
    }

    async fn relist(&self, connection: &Connection, publish: &(impl Fn(Vec<Approved>) + Send + Sync)) {
        let listed = timeout(self.config.connect_timeout, connection.list_tools()).await;
        match listed.map_err(|_| "no answer in time".to_owned()).flatten() {
            Ok(listing) => self.sort_out(listing, publish),
            // The tools that are known stay: the server is still there.
            Err(message) => self.note(ServerFailure { stage: Stage::List, message }),
        }
    }

    fn sort_out(&self, listing: Listing, publish: &(impl Fn(Vec<Approved>) + Send + Sync)) {
        let verdict = approve(&self.config, &listing.tools);
        self.update(|status| {
            status.approved = verdict.approved.iter().map(|tool| tool.source.tool.clone()).collect();
            status.left_out = verdict.left_out;
            status.warnings = verdict.warnings.into_iter().chain(listing.cut).collect();
        });
        publish(verdict.approved);
    }

    fn fail(&self, failure: ServerFailure) {
        self.update(|status| status.state = ServerState::Failed);
        self.note(failure);
    }

    fn note(&self, failure: ServerFailure) {
        tracing::warn!(server = %self.config.name, stage = %failure.stage, error = %failure.message, "MCP server failed");
        self.update(|status| status.last_failure = Some(failure));
    }

    fn update(&self, change: impl FnOnce(&mut ServerStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

async fn closed(service: RunningService<RoleClient, Handler>) {
    if let Err(error) = service.waiting().await {
        tracing::warn!(%error, "an MCP connection's task failed");
    }
}

/// How a server is named in the records: without user, password, query and fragment, any of which may be a
/// credential.
fn public_url(transport: &Transport) -> String {
    match transport {
        Transport::Stdio { command, .. } => format!("stdio:{command}"),
        Transport::Http { url, .. } => match reqwest::Url::parse(url) {
            Ok(mut url) => {
                let _ = url.set_username("");
                let _ = url.set_password(None);
                url.set_query(None);
                url.set_fragment(None);
                url.into()
            }
            Err(_) => "http:".into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn the_records_get_a_url_without_credentials() {
        let public = |url: &str| public_url(&testing::http_server("s", url).transport);
        assert_eq!(
            public("https://user:pw@example.com:8443/mcp?key=s3cret#x"),
            "https://example.com:8443/mcp"
        );
        assert_eq!(public("not a url"), "http:");
        assert_eq!(public_url(&testing::shell_server("s", "x").transport), "stdio:sh");
    }
}
