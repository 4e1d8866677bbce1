//! From a server's configuration to a connection, in whichever protocol era the server speaks.
//!
//! MCP 2026-07-28 is stateless and starts with `server/discover`; all before it starts with `initialize`.
//! Servers answer the wrong start in every way there is (with an error of the other era, with `{}`, late,
//! or never, and some refuse everything after it), so a start that fails is followed by the other one on a
//! connection, or in a process, of its own.

use std::sync::Arc;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    ClientConfig, ClientResult, Implementation, ProtocolVersion, ServerNotification, ServerRequest,
};
use rmcp::service::{
    ClientCacheConfig, ClientInitializeError, ClientLifecycleMode, NotificationContext, RequestContext,
    RoleClient, RunningService, Service, serve_client_with_lifecycle,
};
use rmcp::transport::common::client_side_sse::ExponentialBackoff;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use rmcp::transport::{IntoTransport as _, StreamableHttpClientTransport};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, describe_transport};
use super::credentials::Door;
use super::http_client::{HttpClient, HttpError};
use super::redact::Redactor;
use super::result::bounded;
use super::session::WatchesSessions;
use super::stdio::{Child, NotStarted, Program};
use super::wire::{Tapped, Wire};
use crate::config::{Server, Transport};

/// The most requests to one server at once.
const MAX_REQUESTS: usize = 1_000;

/// What a server answers to the first request when its credentials are wrong, and will go on to answer.
const REFUSALS: [&str; 2] = ["401", "403"];

/// What answers when the URL is wrong, and also when a proxy is there and the server behind it is not yet.
const ABSENCES: [&str; 4] = ["404", "405", "406", "410"];

/// How a server's protocol begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// 2026-07-28: `server/discover`, no session.
    Modern,
    /// 2025-11-25 and older: `initialize`.
    Legacy,
}

/// A connection, and what must be closed after it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) connection: Arc<Connection>,
    pub(super) era: Era,
    pub(super) service: RunningService<RoleClient, Handler>,
    pub(super) child: Option<Child>,
}

/// Receives what servers send of their own accord. It declares what the client at the wire's other end can do, and
/// where there is none, nothing: then a server has nothing to ask.
#[derive(Debug, Clone)]
pub(super) struct Handler {
    tools_changed: Arc<Notify>,
    wire: Arc<Wire>,
}

impl Service<RoleClient> for Handler {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::new(
            self.wire.client().clone(),
            Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        )
        .with_protocol_version(ProtocolVersion::V_2025_11_25)
    }

    async fn handle_request(
        &self,
        request: ServerRequest,
        context: RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        tokio::select! {
            answer = self.wire.ask(request, &context) => answer,
            () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled", None)),
        }
    }

    async fn handle_notification(
        &self,
        notification: ServerNotification,
        _context: NotificationContext<RoleClient>,
    ) -> Result<(), ErrorData> {
        if matches!(notification, ServerNotification::ToolListChangedNotification(_)) {
            self.tools_changed.notify_one();
        }
        Ok(())
    }
}

impl Era {
    /// The other way to begin.
    pub(super) fn other(self) -> Self {
        match self {
            Self::Modern => Self::Legacy,
            Self::Legacy => Self::Modern,
        }
    }
}

/// Connects to `server`, in the way of `first`, and if that fails in the other way. The caller bounds the time.
///
/// `tools_changed` is notified when the server says so, and when it may be so.
pub(super) async fn connect(
    server: &Server,
    first: Era,
    door: &Door,
    tools_changed: &Arc<Notify>,
    wire: &Arc<Wire>,
    tracker: &TaskTracker,
) -> Result<Open, Refusal> {
    door.forget();
    let handler = Handler { tools_changed: tools_changed.clone(), wire: wire.clone() };
    let refusal = match attempt(server, first, door, handler.clone(), tracker).await {
        Err(Refusal::OfThisStart(message)) => message,
        other => return other,
    };
    tracing::debug!(server = %server.name, start = ?first, error = %refusal, "trying the other start");
    attempt(server, first.other(), door, handler, tracker).await.map_err(|second| {
        let told = |second| format!("{second} (before that, {}: {refusal})", start_name(first));
        second.map(|second| if second == refusal { second } else { told(second) })
    })
}

fn start_name(era: Era) -> &'static str {
    match era {
        Era::Modern => "with `server/discover`",
        Era::Legacy => "with `initialize`",
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It will not do until someone changes something: wrong credentials, no such program.
    Final(String),
    /// No MCP server is there. It will not do either if it is so the next time.
    Absent(String),
    /// Another start, or the same one later, may do.
    OfThisStart(String),
}

impl Refusal {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::Final(message) | Self::Absent(message) | Self::OfThisStart(message) => message,
        }
    }

    fn map(self, change: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Final(message) => Self::Final(change(message)),
            Self::Absent(message) => Self::Absent(change(message)),
            Self::OfThisStart(message) => Self::OfThisStart(change(message)),
        }
    }
}

impl From<NotStarted> for Refusal {
    fn from(NotStarted { message, is_final }: NotStarted) -> Self {
        if is_final { Self::Final(message) } else { Self::OfThisStart(message) }
    }
}

async fn attempt(
    server: &Server,
    start: Era,
    door: &Door,
    handler: Handler,
    tracker: &TaskTracker,
) -> Result<Open, Refusal> {
    let (mode, limit) = match start {
        // A server that hangs here must leave time for the other start.
        Era::Modern => (
            ClientLifecycleMode::Auto {
                preferred_versions: vec![ProtocolVersion::V_2026_07_28],
                legacy_version: Some(ProtocolVersion::V_2025_11_25),
            },
            server.connect_timeout * 2 / 3,
        ),
        Era::Legacy => (ClientLifecycleMode::Initialize, server.connect_timeout),
    };
    let (mut child, redactor) = (None, Redactor::of(server));
    let wire = handler.wire.clone();
    let service = match &server.transport {
        Transport::Stdio { command, args, env, cwd } => {
            let program = Program { command, args, env, cwd: cwd.as_deref() };
            let (process, stdout, stdin) = Child::start(&server.name, program, redactor.clone(), tracker)?;
            child = Some(process);
            let pipes = Tapped::new((stdout, stdin).into_transport(), &wire);
            timeout(limit, serve_client_with_lifecycle(handler, pipes, mode)).await
        }
        Transport::Http { url, headers } => {
            let client = HttpClient::new(&server.name, headers, server.connect_timeout, door);
            let client = client.map_err(Refusal::Final)?;
            let client = WatchesSessions::new(client, handler.tools_changed.clone());
            let transport = StreamableHttpClientTransport::with_client(client, http_config(url));
            let transport = Tapped::new(transport, &wire);
            timeout(limit, serve_client_with_lifecycle(handler, transport, mode)).await
        }
    };
    match service {
        Ok(Ok(service)) => Ok(opened(service, child, wire).await),
        Ok(Err(error)) => {
            let message = with_obituary(redactor.redact(&explain(&error)), child.as_mut()).await;
            let has_no_credential = door.refusal().is_some_and(|refused| refused.is_final());
            Err(if has_no_credential { Refusal::Final(message) } else { refusal(&error, message) })
        }
        Err(_) => {
            let message = format!("no answer within {} s", limit.as_secs_f64());
            Err(Refusal::OfThisStart(with_obituary(message, child.as_mut()).await))
        }
    }
}

fn http_config(url: &str) -> StreamableHttpClientTransportConfig {
    let mut config = StreamableHttpClientTransportConfig::with_uri(url);
    let mut backoff = ExponentialBackoff::default();
    // Without a bound the delay doubles until a stream is as good as never opened again.
    backoff.max_delay = Some(Duration::from_secs(15));
    config.retry_config = Arc::new(backoff);
    // A server that answers in JSON keeps a request open until it has the answer: a few long calls must not hold up
    // all others, nor the probe.
    config.max_concurrent_requests = MAX_REQUESTS;
    config
}

async fn opened(service: RunningService<RoleClient, Handler>, child: Option<Child>, wire: Arc<Wire>) -> Open {
    // rmcp's cache would answer for a server that is down.
    service.peer().set_response_cache_config(ClientCacheConfig::disabled()).await;
    let is_legacy = service.peer().peer_info().is_none_or(|info| info.protocol_version.has_initialize());
    Open {
        connection: Arc::new(Connection::new(service.peer().clone(), wire)),
        era: if is_legacy { Era::Legacy } else { Era::Modern },
        service,
        child,
    }
}

/// What a start that failed so says of the next ones. Only the status counts, not the server's words.
fn refusal(error: &ClientInitializeError, message: String) -> Refusal {
    match http_error(error) {
        Some(HttpError::AuthRequired(_) | HttpError::InsufficientScope(_)) => Refusal::Final(message),
        Some(HttpError::UnexpectedServerResponse(text)) => {
            let is_one_of = |statuses: &[&str]| {
                let status = text.strip_prefix("HTTP ").unwrap_or_default();
                statuses.iter().any(|known| status.starts_with(known))
            };
            if is_one_of(&REFUSALS) {
                Refusal::Final(message)
            } else if is_one_of(&ABSENCES) {
                Refusal::Absent(message)
            } else {
                Refusal::OfThisStart(message)
            }
        }
        Some(HttpError::UnexpectedContentType(_)) => Refusal::Absent(message),
        _ => Refusal::OfThisStart(message),
    }
}

fn http_error(error: &ClientInitializeError) -> Option<&HttpError> {
    match error {
        ClientInitializeError::TransportError { error, .. } => error.error.downcast_ref(),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => http_error(fallback),
        _ => None,
    }
}

fn explain(error: &ClientInitializeError) -> String {
    match error {
        ClientInitializeError::TransportError { error, .. } => describe_transport(error),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => explain(fallback),
        // rmcp prints the whole answer.
        other => bounded(&other.to_string(), 500),
    }
}

/// Adds how the child ended; a moment is given to it, for its pipes close before it does.
async fn with_obituary(message: String, child: Option<&mut Child>) -> String {
    let Some(child) = child else { return message };
    match child.obituary().await {
        Some(obituary) => format!("{message}; {obituary}"),
        None => message,
    }
}
