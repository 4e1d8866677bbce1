//! One approved server: its configuration, its connection, what it lists, and how it is doing.
//!
//! `supervise.rs` keeps it connected, `upkeep.rs` looks after a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::client_session::SessionConnections;
use super::connection::{Call, CallLimits, Connection};
use super::credentials::{Access, Credentials};
use super::page::Listing;
use super::pool::{NoConnection, Pool};
use super::redact::Redactor;
use super::shelves::{Shelves, Sorted};
use super::status::{ServerFailure, ServerState, ServerStatus, Stage};
use super::stderr::Tail;
use crate::audit::ToolOutcome;
use crate::config::{self, Sharing, Transport};
use crate::domain::{Behalf, ToolRef, ToolResult};

/// How long a call waits for a connection that is being made.
const RECONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// A server's configuration, connection and state.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) config: config::Server,
    pub(super) connection: watch::Sender<Option<Arc<Connection>>>,
    /// The calls that run.
    pub(super) calls: TaskTracker,
    /// Cancelled when the server is not configured any more, or otherwise.
    pub(super) retired: CancellationToken,
    /// Sent to when it is to start anew.
    pub(super) restarts: watch::Sender<()>,
    /// Cancelled when the first attempt is over, whatever came of it.
    pub(super) tried: CancellationToken,
    state: Mutex<State>,
    shelves: Arc<Shelves>,
    redactor: Redactor,
    pub(super) credentials: Arc<Credentials>,
    pub(super) pool: Pool,
    /// Connections that belong to one MCP session each.
    pub(super) sessions: SessionConnections,
}

#[derive(Debug)]
struct State {
    /// But for the tools, which are on their shelf.
    status: ServerStatus,
    stderr: Tail,
}

impl Server {
    pub(super) fn new(config: &config::Server, shelves: &Arc<Shelves>, access: &Access) -> Self {
        let credentials = Arc::new(Credentials::new(config, access));
        let status = ServerStatus {
            name: config.name.clone(),
            url: public_url(&config.transport),
            required: config.required,
            state: ServerState::Starting,
            since: Timestamp::now(),
            era: None,
            protocol: None,
            approved: Vec::new(),
            left_out: Vec::new(),
            quarantined: Vec::new(),
            warnings: Vec::new(),
            last_failure: None,
            next_attempt: None,
            stderr: Vec::new(),
        };
        Self {
            config: config.clone(),
            connection: watch::Sender::new(None),
            calls: TaskTracker::new(),
            retired: CancellationToken::new(),
            restarts: watch::Sender::new(()),
            tried: CancellationToken::new(),
            state: Mutex::new(State { status, stderr: Tail::default() }),
            shelves: shelves.clone(),
            redactor: Redactor::of(config),
            pool: Pool::new(config, &credentials),
            credentials,
            sessions: SessionConnections::new(&config.pool),
        }
    }

    /// The name in the configuration.
    pub(super) fn name(&self) -> &str {
        &self.config.name
    }

    pub(super) fn status(&self) -> ServerStatus {
        let Sorted { approved, left_out, quarantined, warnings } = self.shelves.sorted(self.name());
        let state = self.state();
        let stderr = state.stderr.lines();
        ServerStatus { approved, left_out, quarantined, warnings, stderr, ..state.status.clone() }
    }

    /// Whether calls can reach it.
    pub(super) fn is_up(&self) -> bool {
        self.state().status.is_up()
    }

    /// Returns when the first attempt is over, whatever came of it.
    pub(super) async fn tried(&self) {
        self.tried.cancelled().await;
    }

    /// Calls a tool; waits a short time where there is no connection.
    pub(super) async fn call(
        &self,
        call: Call,
        behalf: &Behalf,
        cancel: &CancellationToken,
    ) -> (ToolResult, ToolOutcome) {
        let _running = self.calls.token();
        match self.connection_for_call(&call.tool, behalf, cancel).await {
            Ok(connection) => connection.call(call, self.limits(), cancel).await,
            Err(NoConnection { message, outcome }) => (ToolResult::error(message), outcome),
        }
    }

    /// The connection on which one call of this tool may be sent.
    ///
    /// Only when it is there is it asked whether the tool is approved: what was decided on the call may be of before the
    /// wait for it, and what the server lists on it is known by now.
    pub(super) async fn connection_for_call(
        &self,
        tool: &str,
        behalf: &Behalf,
        cancel: &CancellationToken,
    ) -> Result<Arc<Connection>, NoConnection> {
        let connection = tokio::select! {
            biased;
            connection = self.connection_for(behalf) => connection?,
            () = cancel.cancelled() => {
                let message = "The call was cancelled.".to_owned();
                return Err(NoConnection { message, outcome: ToolOutcome::Cancelled });
            }
        };
        match self.withdrawn(tool) {
            Some(message) => Err(NoConnection { message, outcome: ToolOutcome::Withdrawn }),
            None => Ok(connection),
        }
    }

    /// What is said of a call of this tool where it is not approved any more.
    fn withdrawn(&self, tool: &str) -> Option<String> {
        let source = ToolRef { server: self.name().to_owned(), tool: tool.to_owned() };
        let catalogue = self.shelves.catalogue().borrow();
        if let Some(quarantined) = catalogue.quarantined(&source) {
            return Some(quarantined.reason.refusal(&source));
        }
        catalogue
            .of(&source)
            .is_none()
            .then(|| format!("Not run: {source} is not offered any more. Go on without it."))
    }

    pub(super) fn limits(&self) -> CallLimits {
        CallLimits { silence: self.config.call_timeout, total: self.config.max_call_time }
    }

    /// The connection on which something is done for them; waits a short time for one that is being made.
    pub(super) async fn connection_for(&self, behalf: &Behalf) -> Result<Arc<Connection>, NoConnection> {
        if let Some(session) = self.sessions.of(behalf) {
            let door = self.credentials.door_for(behalf).await.map_err(NoConnection::from)?;
            return session.connection_for(behalf, &door);
        }
        let patience = self.config.call_timeout.min(RECONNECT_PATIENCE);
        match self.config.sharing {
            Sharing::Shared => self.live_connection(patience).await.ok_or_else(|| self.unavailable()),
            Sharing::PerCaller | Sharing::PerConversation => self.pool.connection_for(behalf).await,
        }
    }

    fn unavailable(&self) -> NoConnection {
        let name = self.name();
        let message = if self.retired.is_cancelled() {
            format!(
                "The server `{name}` of this tool was configured anew. Nothing was run; the call may be made again."
            )
        } else {
            format!("The server `{name}` of this tool is not available now. Nothing was run.")
        };
        NoConnection { message, outcome: ToolOutcome::Unreachable }
    }

    async fn live_connection(&self, patience: Duration) -> Option<Arc<Connection>> {
        let mut connections = self.connection.subscribe();
        let is_live =
            |connection: &Option<Arc<Connection>>| connection.as_ref().is_some_and(|it| !it.is_closed());
        let waiting = timeout(self.worth_waiting(patience), connections.wait_for(is_live));
        tokio::select! {
            biased;
            connection = waiting => connection.ok()?.ok()?.clone(),
            // Its successor, if it has one, is another server.
            () = self.retired.cancelled() => None,
        }
    }

    /// Nothing comes of waiting where the next attempt is too far away.
    fn worth_waiting(&self, patience: Duration) -> Duration {
        let next = self.state().status.next_attempt;
        let is_near = next.is_none_or(|next| {
            Duration::try_from(next.duration_since(Timestamp::now())).unwrap_or_default() < patience
        });
        if is_near { patience } else { Duration::ZERO }
    }

    /// Takes over what the server lists, unless it is not configured any more.
    pub(super) fn take(&self, listing: Listing) {
        self.shelves.fill(self, listing);
    }

    /// What the server listed last.
    pub(super) fn listing(&self) -> Option<Arc<Listing>> {
        self.shelves.listing(self.name())
    }

    /// Changes the state, and says so in the log.
    pub(super) fn enter(&self, state: ServerState) {
        let mut own = self.state();
        let status = &mut own.status;
        status.next_attempt = None;
        if status.state == state {
            return;
        }
        (status.state, status.since) = (state, Timestamp::now());
        tracing::info!(server = %self.name(), state = state.word(), "MCP server");
    }

    /// Enters a state in which the next attempt is made after a delay.
    pub(super) fn wait_for_attempt(&self, state: ServerState, delay: Duration) {
        self.enter(state);
        self.state().status.next_attempt = Timestamp::now().checked_add(delay).ok();
    }

    /// Remembers what went wrong; the log tells the same failure aloud only once.
    pub(super) fn fail(&self, stage: Stage, message: &str) {
        let message = self.redactor.redact(message);
        let failure = ServerFailure { stage, message, at: Timestamp::now() };
        let last = self.state().status.last_failure.replace(failure.clone());
        let ServerFailure { stage, message, .. } = &failure;
        if last.is_some_and(|last| last.stage == *stage && last.message == *message) {
            tracing::debug!(server = %self.name(), %stage, error = %message, "MCP server failed again");
        } else {
            tracing::warn!(server = %self.name(), %stage, error = %message, "MCP server failed");
        }
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut ServerStatus)) {
        change(&mut self.state().status);
    }

    pub(super) fn set_stderr(&self, stderr: Tail) {
        self.state().stderr = stderr;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a server is named in the records: without user, password, query and fragment, any of which may be a
/// credential.
pub(super) fn public_url(transport: &Transport) -> String {
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
