//! Requests of MCP clients, sent on to a server as raw as they came, and its answers as raw as they come.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CancelledNotificationParam, ClientRequest, CustomNotification, CustomRequest, ErrorData, MetaObject,
    RequestMetaObject,
};
use rmcp::service::{PeerRequestOptions, Subscription};
use rmcp::{ServiceError, model::RequestId};
use serde_json::{Map, Value};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{CANCEL_PATIENCE, CallLimits, Connection, failed, raw};
use super::fleet::Fleet;
use super::inputs;
use super::pool::NoConnection;
use super::server::Server;
use super::wire::{Aside, Attached, Notice, Wire, method_and_params};
use crate::audit::{Clearance, ToolOutcome};
use crate::domain::{Behalf, ToolResult};

/// What only a clearance lets through.
const CALL: &str = "tools/call";

/// How long a server may take to acknowledge a subscription.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(10);

/// Keys of `_meta` that mean something to a stateless server alone.
const STATELESS_META: &str = "io.modelcontextprotocol/";

/// A request as its client made it.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// Such as `prompts/get`.
    pub method: String,
    /// Its parameters without `_meta`.
    pub params: Map<String, Value>,
    /// Its `_meta` without what belongs to the client's own hop.
    pub meta: Map<String, Value>,
    /// Takes what the server says until it has answered.
    pub asides: mpsc::Sender<Aside>,
}

/// Why there is no result.
#[derive(Debug)]
pub enum Unanswered {
    /// The server answered with this error.
    Error(ErrorData),
    /// There was no answer, for this reason.
    None(String, ToolOutcome),
}

/// How a forwarded call went.
#[derive(Debug)]
pub struct ForwardEnd {
    /// The server's word, raw.
    pub answer: Result<Value, Unanswered>,
    /// For the records.
    pub outcome: ToolOutcome,
    /// From the call to its result.
    pub duration: Duration,
}

/// What a server says of itself when a connection begins.
#[derive(Debug, Clone, Default)]
pub struct Introduction {
    /// Its capabilities, raw.
    pub capabilities: Map<String, Value>,
    /// How to use it.
    pub instructions: Option<String>,
    /// Whether it speaks 2026-07-28 on this connection.
    pub is_modern: bool,
}

impl Fleet {
    /// Sends one cleared call on. `forwarded` says all but the tool and its arguments, which the clearance says.
    pub async fn forward_call(
        &self,
        clearance: Clearance,
        behalf: &Behalf,
        mut forwarded: Forwarded,
        cancel: &CancellationToken,
    ) -> ForwardEnd {
        let started = Instant::now();
        let tool = clearance.tool().source.clone();
        let is_theirs = *clearance.caller() == behalf.caller;
        forwarded.method = CALL.into();
        forwarded.params.insert("name".into(), tool.tool.as_str().into());
        forwarded.params.insert("arguments".into(), clearance.into_arguments().into());
        let answer = match self.server(&tool.server) {
            _ if !is_theirs => {
                let message = "Not run: this call was cleared for another caller.";
                Err(Unanswered::None(message.into(), ToolOutcome::NotExecuted))
            }
            Some(server) => server.forward_call(&tool.tool, forwarded, behalf, cancel).await,
            None => Err(not_configured(&tool.server)),
        };
        let outcome = match &answer {
            Ok(result) if result["isError"] == true => ToolOutcome::ToolError,
            Ok(_) => ToolOutcome::Ok,
            Err(Unanswered::Error(_)) => ToolOutcome::ToolError,
            Err(Unanswered::None(_, outcome)) => *outcome,
        };
        ForwardEnd { answer, outcome, duration: started.elapsed() }
    }

    /// A server over the connection of theirs, for all that one request is to know and to do there.
    pub async fn reach(&self, server: &str, behalf: &Behalf) -> Result<Reached, Unanswered> {
        let server = self.server(server).ok_or_else(|| not_configured(server))?;
        let connection = server.connection_for(behalf).await.map_err(Unanswered::from)?;
        Ok(Reached { server, connection })
    }

    /// Sends a client's notification on, where its connection is its own.
    pub async fn forward_notice(&self, server: &str, behalf: &Behalf, notice: Notice) {
        let Some(server) = self.server(server) else { return };
        if let Ok(connection) = server.connection_for(behalf).await {
            let notification = CustomNotification::new(notice.method, Some(notice.params));
            // Who sends a notification learns nothing of its fate.
            let _ = timeout(CANCEL_PATIENCE, connection.peer().send_notification(notification.into())).await;
        }
    }

    /// What a server says of itself to them; `None` where it cannot be reached now.
    pub async fn introduction(&self, server: &str, behalf: &Behalf) -> Option<Introduction> {
        self.reach(server, behalf).await.ok()?.introduction()
    }

    /// What a server tells from now on over the connection of theirs, as far as `filter` asks for it.
    pub async fn news(&self, server: &str, behalf: &Behalf, filter: &Value) -> Option<News> {
        self.reach(server, behalf).await.ok()?.news(filter).await
    }

    /// Whether each conversation has a connection of its own to this server.
    pub fn is_per_conversation(&self, server: &str) -> bool {
        self.server(server).is_some_and(|server| server.is_per_conversation())
    }

    /// Connects an MCP session of theirs to a server, over a connection of its own that lasts until `ends`.
    pub async fn connect_session(
        &self,
        server: &str,
        behalf: &Behalf,
        wire: Wire,
        ends: CancellationToken,
    ) -> Result<(), String> {
        match self.server(server) {
            Some(server) => server.connect_session(behalf, wire, ends, self).await,
            None => Err(format!("The server `{server}` is not configured any more.")),
        }
    }
}

/// A server and a connection to it, which is held: what nobody holds may be closed, and the next one is another.
#[derive(Debug)]
pub struct Reached {
    server: Arc<Server>,
    connection: Arc<Connection>,
}

impl Reached {
    /// What the server says of itself.
    pub fn introduction(&self) -> Option<Introduction> {
        self.connection.introduction()
    }

    /// Sends any request but a call on to it.
    pub async fn forward(
        &self,
        forwarded: Forwarded,
        cancel: &CancellationToken,
    ) -> Result<Value, Unanswered> {
        if forwarded.method == CALL {
            return Err(Unanswered::None("calls need a clearance".into(), ToolOutcome::NotExecuted));
        }
        let _running = self.server.calls.token();
        self.connection.forward(forwarded, self.server.limits(), cancel).await
    }

    /// What it tells from now on, as far as `filter` asks for it.
    pub async fn news(self, filter: &Value) -> Option<News> {
        let connection = self.connection;
        if !connection.is_modern() {
            let source = Source::Shared(connection.wire().news());
            return Some(News { connection, source });
        }
        let filter = serde_json::from_value(filter.clone()).ok()?;
        let subscribed = timeout(ACKNOWLEDGEMENT, connection.peer().listen(filter)).await.ok()?;
        let source = Source::Subscription(Box::new(subscribed.ok()?));
        Some(News { connection, source })
    }
}

/// What a server tells of its own accord; the connection stays in use for as long as this is kept.
#[derive(Debug)]
pub struct News {
    connection: Arc<Connection>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// To all who share a connection of the older kind.
    Shared(broadcast::Receiver<Notice>),
    /// To who subscribed to it.
    Subscription(Box<Subscription>),
}

impl News {
    /// The next of it; `None` when nothing more will come.
    pub async fn next(&mut self) -> Option<Notice> {
        match &mut self.source {
            Source::Shared(news) => loop {
                let told = tokio::select! {
                    biased;
                    told = news.recv() => told,
                    () = self.connection.wire().broken() => return None,
                };
                match told {
                    Ok(notice) => return Some(notice),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            },
            Source::Subscription(subscription) => {
                let notification = subscription.next().await.ok().flatten()?;
                let (method, params) = method_and_params(&notification);
                Some(Notice { method, params })
            }
        }
    }
}

impl From<NoConnection> for Unanswered {
    fn from(NoConnection { message, outcome }: NoConnection) -> Self {
        Self::None(message, outcome)
    }
}

fn not_configured(server: &str) -> Unanswered {
    let message = format!("The server `{server}` is not configured any more.");
    Unanswered::None(message, ToolOutcome::Unreachable)
}

impl Server {
    async fn forward_call(
        &self,
        tool: &str,
        forwarded: Forwarded,
        behalf: &Behalf,
        cancel: &CancellationToken,
    ) -> Result<Value, Unanswered> {
        let _running = self.calls.token();
        let connection = self.connection_for_call(tool, behalf, cancel).await?;
        connection.forward(forwarded, self.limits(), cancel).await
    }
}

impl Connection {
    fn introduction(&self) -> Option<Introduction> {
        let info = self.peer().peer_info()?;
        let Ok(Value::Object(capabilities)) = serde_json::to_value(&info.capabilities) else { return None };
        let instructions = info.instructions.clone();
        Some(Introduction { capabilities, instructions, is_modern: self.is_modern() })
    }

    /// Sends a request and waits for its answer; a cancellation reaches the server.
    async fn forward(
        &self,
        forwarded: Forwarded,
        limits: CallLimits,
        cancel: &CancellationToken,
    ) -> Result<Value, Unanswered> {
        if cancel.is_cancelled() {
            return Err(cancelled());
        }
        timeout(limits.total + CANCEL_PATIENCE, self.rounds(forwarded, limits, cancel))
            .await
            .unwrap_or_else(|_| Err(unanswered(ServiceError::Timeout { timeout: limits.total })))
    }

    /// Sends a request until its answer asks for nothing more. Only a client whose connection this is can be asked.
    async fn rounds(
        &self,
        mut forwarded: Forwarded,
        limits: CallLimits,
        cancel: &CancellationToken,
    ) -> Result<Value, Unanswered> {
        let mut result = self.exchange_raw(forwarded.clone(), limits, cancel).await?;
        for _ in 0..inputs::MAX_ROUNDS {
            if !self.wire().is_of_one_client() || !inputs::asks(&result) {
                break;
            }
            tokio::select! {
                biased;
                answered = inputs::answer(&result, &mut forwarded.params, &forwarded.asides) => {
                    answered.map_err(Unanswered::Error)?;
                }
                () = cancel.cancelled() => return Err(cancelled()),
            }
            result = self.exchange_raw(forwarded.clone(), limits, cancel).await?;
        }
        Ok(result)
    }

    async fn exchange_raw(
        &self,
        forwarded: Forwarded,
        limits: CallLimits,
        cancel: &CancellationToken,
    ) -> Result<Value, Unanswered> {
        let Forwarded { method, params, mut meta, asides } = forwarded;
        if !self.is_modern() {
            meta.retain(|key, _| !key.starts_with(STATELESS_META));
        }
        let mut request = CustomRequest::new(method, Some(Value::Object(params)));
        request.extensions.insert(Attached(asides));
        let options = PeerRequestOptions::with_timeout(self.silence(limits))
            .reset_timeout_on_progress()
            .with_max_total_timeout(limits.total)
            .with_meta(RequestMetaObject(MetaObject(meta)));
        let sent = self.peer().send_cancellable_request(ClientRequest::CustomRequest(request), options).await;
        let handle = sent.map_err(unanswered)?;
        let route = Route { wire: self.wire(), request: handle.id.clone() };
        let mut response = std::pin::pin!(handle.await_response());
        tokio::select! {
            biased;
            answer = &mut response => answer.map(raw).map_err(unanswered),
            () = cancel.cancelled() => {
                let reason = Some("the client does not wait any more".into());
                let notice = CancelledNotificationParam::new(Some(route.request.clone()), reason);
                let told = async {
                    let _ = self.peer().notify_cancelled(notice).await;
                    let _ = response.await;
                };
                let _ = timeout(CANCEL_PATIENCE, told).await;
                Err(cancelled())
            }
        }
    }

    /// A person who is asked something in between takes longer than a tool.
    fn silence(&self, limits: CallLimits) -> Duration {
        if self.wire().is_of_one_client() { limits.total } else { limits.silence }
    }
}

/// Keeps a request's asides coming while it is waited for.
struct Route<'a> {
    wire: &'a Arc<Wire>,
    request: RequestId,
}

impl Drop for Route<'_> {
    fn drop(&mut self) {
        self.wire.forget(&self.request);
    }
}

fn cancelled() -> Unanswered {
    Unanswered::None("The call was cancelled.".into(), ToolOutcome::Cancelled)
}

fn unanswered(error: ServiceError) -> Unanswered {
    if let ServiceError::McpError(error) = error {
        return Unanswered::Error(error);
    }
    let (ToolResult { content, .. }, outcome) = failed(error);
    let message = match content.into_iter().next() {
        Some(crate::domain::Content::Text(message)) => message,
        _ => "The call failed.".into(),
    };
    Unanswered::None(message, outcome)
}
