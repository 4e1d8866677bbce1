//! One live connection: listing and calling, always with a time-out, always with raw JSON.

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CancelledNotificationParam, ClientRequest, DiscoverRequest,
    DiscoverRequestParams, ErrorCode, ErrorData, ListToolsRequest, MetaObject, PaginatedRequestParams,
    PingRequest, RequestMetaObject, ServerResult, SubscriptionFilter,
};
use rmcp::service::{PeerRequestOptions, RoleClient, Subscription};
use rmcp::transport::DynamicTransportError;
use rmcp::{Peer, ServiceError};
use serde::Serialize as _;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::credentials::Refused;
use super::http_client::{HttpError, refusal};
use super::page::{Listing, PageRequest, Pages};
use super::pool::NoConnection;
use super::result::{self, bounded};
use super::wire::Wire;
use crate::audit::ToolOutcome;
use crate::domain::ToolResult;

/// How long a server may take to notice a cancellation before the call is given up without it.
pub(super) const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// The longest error text of a server that is passed on, in bytes.
const MAX_MESSAGE: usize = 4 * 1024;

/// How long one call may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct CallLimits {
    /// Without an answer or any progress.
    pub(super) silence: Duration,
    /// In all.
    pub(super) total: Duration,
}

/// One call of a tool, as its server is to get it.
#[derive(Debug, Clone, Default)]
pub(super) struct Call {
    /// The server's name of the tool.
    pub(super) tool: String,
    pub(super) arguments: Map<String, Value>,
    /// `_meta`: of which trace it is.
    pub(super) meta: Map<String, Value>,
}

/// A connection that is past its handshake.
#[derive(Debug, Clone)]
pub(super) struct Connection(Peer<RoleClient>, Arc<Wire>);

/// Why a question has no answer that could be used.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) message: String,
    pub(super) sign: Sign,
}

/// What an attempt to get an answer says of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It is there: it answered, be it with an error.
    Life,
    /// There may still be an answer: it is busy, or hangs.
    Late,
    /// Something else answered, or nothing will.
    Doubt,
}

impl Unanswered {
    fn late(limit: Duration) -> Self {
        Self { message: format!("no answer within {} s", limit.as_secs_f64()), sign: Sign::Late }
    }

    fn nonsense(message: String) -> Self {
        Self { message, sign: Sign::Life }
    }
}

impl From<ServiceError> for Unanswered {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Timeout { timeout } => Self::late(timeout),
            ServiceError::McpError(_) | ServiceError::UnexpectedResponse => {
                Self { message: describe(&error), sign: Sign::Life }
            }
            other => Self { message: describe(&other), sign: Sign::Doubt },
        }
    }
}

impl Connection {
    pub(super) fn new(peer: Peer<RoleClient>, wire: Arc<Wire>) -> Self {
        Self(peer, wire)
    }

    pub(super) fn peer(&self) -> &Peer<RoleClient> {
        &self.0
    }

    /// Where the server's asides come out.
    pub(super) fn wire(&self) -> &Arc<Wire> {
        &self.1
    }

    /// The negotiated protocol version.
    pub(super) fn protocol(&self) -> String {
        self.0.peer_info().map_or_else(String::new, |info| info.protocol_version.to_string())
    }

    /// Whether nothing can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.0.is_transport_closed()
    }

    /// Whether the server speaks 2026-07-28.
    pub(super) fn is_modern(&self) -> bool {
        self.0.peer_info().is_some_and(|info| !info.protocol_version.has_initialize())
    }

    /// Whether it is of the era in which changes are subscribed to, and says that it tells of them.
    pub(super) fn announces_changes(&self) -> bool {
        let tools = self.0.peer_info().and_then(|info| info.capabilities.tools.clone());
        self.is_modern() && tools.is_some_and(|tools| tools.list_changed == Some(true))
    }

    /// Subscribes to what this filter names. The caller bounds the time.
    pub(super) async fn subscribe(&self, filter: SubscriptionFilter) -> Result<Subscription, ServiceError> {
        self.0.listen(filter).await
    }

    /// Asks for a sign of life within `limit`. Any answer is one, an error too.
    ///
    /// Not for streamable HTTP of 2026-07-28: rmcp holds back all requests that come after a `server/discover`,
    /// and that itself until those before it are answered, which a long call would delay.
    pub(super) async fn probe(&self, limit: Duration) -> Result<(), Unanswered> {
        let request = if self.is_modern() {
            ClientRequest::DiscoverRequest(DiscoverRequest::new(DiscoverRequestParams {}))
        } else {
            ClientRequest::PingRequest(PingRequest::default())
        };
        match self.ask(request, limit).await {
            Ok(_) | Err(ServiceError::McpError(_) | ServiceError::UnexpectedResponse) => Ok(()),
            Err(ServiceError::TransportSend(error)) if is_unknown_question(&error) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for all tools, which must be there within `limit`.
    pub(super) async fn list_tools(&self, limit: Duration) -> Result<Listing, Unanswered> {
        let deadline = Instant::now() + limit;
        let mut pages = Pages::new();
        while let Some(PageRequest { cursor }) = pages.wanted() {
            let params = PaginatedRequestParams::default().with_cursor(cursor);
            let request = ClientRequest::ListToolsRequest(ListToolsRequest::with_param(params));
            match self.ask(request, deadline.saturating_duration_since(Instant::now())).await {
                Ok(answer) => pages.take(raw(answer)).map_err(Unanswered::nonsense)?,
                // A server without tools is a server all the same.
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => break,
                Err(ServiceError::Timeout { .. }) => return Err(Unanswered::late(limit)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(pages.into_listing())
    }

    /// One question and its answer; a server that does not answer in time is told that nobody waits any more.
    async fn ask(&self, request: ClientRequest, limit: Duration) -> Result<ServerResult, ServiceError> {
        let options = PeerRequestOptions::with_timeout(limit);
        let answered =
            async { self.0.send_cancellable_request(request, options).await?.await_response().await };
        // rmcp keeps the time, but not while it sends, which a stuck server can delay.
        timeout(limit + CANCEL_PATIENCE, answered)
            .await
            .unwrap_or(Err(ServiceError::Timeout { timeout: limit }))
    }

    /// Calls a tool. Whatever happens is a result for the model; a cancellation reaches the server, and ends the call
    /// within [`CANCEL_PATIENCE`].
    pub(super) async fn call(
        &self,
        call: Call,
        limits: CallLimits,
        cancel: &CancellationToken,
    ) -> (ToolResult, ToolOutcome) {
        if cancel.is_cancelled() {
            return cancelled();
        }
        // rmcp keeps the time, but sends the cancellation before it returns, which a stuck server can delay.
        timeout(limits.total + CANCEL_PATIENCE, self.exchange(call, limits, cancel))
            .await
            .unwrap_or_else(|_| timed_out(limits.total))
    }

    async fn exchange(
        &self,
        Call { tool, arguments, meta }: Call,
        limits: CallLimits,
        cancel: &CancellationToken,
    ) -> (ToolResult, ToolOutcome) {
        let params = CallToolRequestParams::new(tool).with_arguments(arguments);
        let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
        let options = PeerRequestOptions::with_timeout(limits.silence)
            .reset_timeout_on_progress()
            .with_max_total_timeout(limits.total)
            .with_meta(RequestMetaObject(MetaObject(meta)));
        let handle = match self.0.send_cancellable_request(request, options).await {
            Ok(handle) => handle,
            Err(error) => return failed(error),
        };
        let id = handle.id.clone();
        let mut response = pin!(handle.await_response());
        tokio::select! {
            biased;
            answer = &mut response => match answer {
                Ok(answer) => answered(raw(answer)),
                Err(error) => failed(error),
            },
            () = cancel.cancelled() => {
                let reason = CancelledNotificationParam::new(Some(id), Some("the caller does not wait any more".into()));
                let told = async {
                    let _ = self.0.notify_cancelled(reason).await;
                    // rmcp ends the request itself once the cancellation is sent, and forgets it.
                    let _ = response.await;
                };
                let _ = timeout(CANCEL_PATIENCE, told).await;
                cancelled()
            }
        }
    }
}

/// The result as JSON: rmcp decodes an answer into the first of its types that fits, or leaves it as it is
/// where one part of it fits none, and neither may decide what a tool or a result is.
pub(super) fn raw(answer: ServerResult) -> Value {
    match answer {
        ServerResult::CustomResult(custom) => custom.0,
        typed => typed.serialize(serde_json::value::Serializer).unwrap_or_default(),
    }
}

/// Whether an HTTP server is there, but says without MCP's words that it does not know what it was asked.
fn is_unknown_question(error: &DynamicTransportError) -> bool {
    match error.error.downcast_ref::<HttpError>() {
        Some(HttpError::UnexpectedServerResponse(text)) => {
            ["HTTP 400", "HTTP 404", "HTTP 405", "HTTP 422"].iter().any(|status| text.starts_with(status))
        }
        _ => false,
    }
}

fn answered(answer: Value) -> (ToolResult, ToolOutcome) {
    match result::read(answer) {
        Ok(result) if result.is_error => (result, ToolOutcome::ToolError),
        Ok(result) => (result, ToolOutcome::Ok),
        Err(message) => (ToolResult::error(message), ToolOutcome::ToolError),
    }
}

pub(super) fn failed(error: ServiceError) -> (ToolResult, ToolOutcome) {
    let (message, outcome) = match error {
        ServiceError::McpError(error) => (protocol_error(&error), ToolOutcome::ToolError),
        ServiceError::Timeout { timeout } => return timed_out(timeout),
        ServiceError::TransportSend(error) => match error.error.downcast_ref::<HttpError>() {
            Some(error) if refusal(error).is_some() => return refused(error),
            Some(HttpError::ResponseBodyTooLarge { max_size }) => {
                (format!("The tool's answer is larger than {max_size} bytes."), ToolOutcome::ToolError)
            }
            Some(HttpError::Client(sending)) if !sending.is_connect() => (
                format!(
                    "The connection to the tool's server broke off during the call; whether the tool ran is not \
                     known. ({})",
                    describe_transport(&error)
                ),
                ToolOutcome::Unreachable,
            ),
            _ => (
                format!("The tool's server cannot be reached: {}", describe_transport(&error)),
                ToolOutcome::Unreachable,
            ),
        },
        ServiceError::TransportClosed => (
            "The connection to the tool's server broke off during the call; whether the tool ran is not known."
                .into(),
            ToolOutcome::Unreachable,
        ),
        other => (format!("The call failed: {}", describe(&other)), ToolOutcome::ToolError),
    };
    (ToolResult::error(message), outcome)
}

/// A credential is missing, or is not enough: nothing was run.
fn refused(error: &HttpError) -> (ToolResult, ToolOutcome) {
    let NoConnection { message, outcome } = refusal(error)
        .map_or_else(|| NoConnection::from(Refused::Unavailable(error.to_string())), NoConnection::from);
    (ToolResult::error(message), outcome)
}

fn protocol_error(error: &ErrorData) -> String {
    format!(
        "The tool's server answered with error {}: {}",
        error.code.0,
        bounded(&error.message, MAX_MESSAGE)
    )
}

fn timed_out(limit: Duration) -> (ToolResult, ToolOutcome) {
    let message = format!(
        "The tool did not answer within {} s, so the call was given up; whether the tool ran is not known.",
        limit.as_secs_f64()
    );
    (ToolResult::error(message), ToolOutcome::TimedOut)
}

fn cancelled() -> (ToolResult, ToolOutcome) {
    (ToolResult::error("The call was cancelled."), ToolOutcome::Cancelled)
}

/// What went wrong, for the log and the status.
pub(super) fn describe(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => protocol_error(error),
        ServiceError::TransportSend(error) => describe_transport(error),
        other => chain(other),
    }
}

/// The same for what the transport met; an HTTP client's own error is not in the chain of causes.
pub(super) fn describe_transport(error: &DynamicTransportError) -> String {
    match error.error.downcast_ref::<HttpError>() {
        Some(HttpError::Client(error)) => chain(error),
        _ => chain(error.error.as_ref()),
    }
}

/// An error with its causes, each once, bounded.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    bounded(&text, MAX_MESSAGE)
}
