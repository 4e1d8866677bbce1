//! What comes over a connection besides answers, brought to whom it concerns.
//!
//! A call that is forwarded for an MCP client has its own channel for what the server says while it runs: progress,
//! and on a connection of a session's own also messages and questions. [`Tapped`] looks at every message in the order
//! in which it comes, which rmcp's handlers, each in a task of its own, do not keep.

use std::borrow::Cow;
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    ClientCapabilities, ClientResult, CustomResult, ErrorCode, GetExtensions as _, GetMeta as _,
    JsonRpcMessage, ProgressToken, RequestId, ServerNotification, ServerRequest,
};
use rmcp::service::{InboundStreamOrigin, RequestContext, RoleClient, RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use serde_json::Value;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

/// How many notices may wait for who listens to a server; who falls behind misses the oldest.
const NEWS: usize = 64;

/// What a server says besides its answers.
#[derive(Debug)]
pub enum Aside {
    /// It tells something.
    Notice(Notice),
    /// It asks the client something.
    Question(Question),
}

/// A notification.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Such as `notifications/progress`.
    pub method: String,
    /// As they came; `null` where there are none.
    pub params: Value,
}

/// A request of the server's own.
#[derive(Debug)]
pub struct Question {
    /// Such as `elicitation/create`.
    pub method: String,
    /// As they came.
    pub params: Value,
    /// Takes the client's answer; dropped, it is an error.
    pub answer: oneshot::Sender<Result<Value, ErrorData>>,
}

/// Marks a request whose asides go to this channel; never sent.
#[derive(Debug, Clone)]
pub(super) struct Attached(pub(super) mpsc::Sender<Aside>);

/// One connection's ways from the server to whoever waits.
#[derive(Debug)]
pub struct Wire {
    client: ClientCapabilities,
    /// Takes what belongs to no request, where the connection is one client's own.
    own: Option<mpsc::Sender<Aside>>,
    news: broadcast::Sender<Notice>,
    routes: Mutex<Routes>,
    /// When anything came last.
    heard: Mutex<Instant>,
}

#[derive(Debug, Default)]
struct Routes {
    by_request: HashMap<RequestId, mpsc::Sender<Aside>>,
    by_token: HashMap<ProgressToken, RequestId>,
}

impl Default for Wire {
    /// A connection that many share: its client can be asked nothing.
    fn default() -> Self {
        Self::laid(ClientCapabilities::default(), None)
    }
}

impl Wire {
    /// A connection that is one client's own: the client can do this, and gets what belongs to no request there.
    pub fn of_client(client: ClientCapabilities, own: mpsc::Sender<Aside>) -> Self {
        Self::laid(client, Some(own))
    }

    fn laid(client: ClientCapabilities, own: Option<mpsc::Sender<Aside>>) -> Self {
        Self {
            client,
            own,
            news: broadcast::Sender::new(NEWS),
            routes: Mutex::default(),
            heard: Mutex::new(Instant::now()),
        }
    }

    /// What the client at this end can do.
    pub(super) fn client(&self) -> &ClientCapabilities {
        &self.client
    }

    /// Whether the connection is one client's own.
    pub(super) fn is_of_one_client(&self) -> bool {
        self.own.is_some()
    }

    /// What the server tells all clients from now on.
    pub(super) fn news(&self) -> broadcast::Receiver<Notice> {
        self.news.subscribe()
    }

    /// How long the server has not said a word.
    pub(super) fn silence(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Forgets a request that is over.
    pub(super) fn forget(&self, request: &RequestId) {
        let mut routes = self.routes();
        routes.by_request.remove(request);
        routes.by_token.retain(|_, of| of != request);
    }

    /// Puts a question of the server's to the client, and waits for the answer.
    pub(super) async fn ask(
        &self,
        request: ServerRequest,
        context: &RequestContext<RoleClient>,
    ) -> Result<ClientResult, ErrorData> {
        if matches!(request, ServerRequest::PingRequest(_)) {
            return Ok(ClientResult::empty(()));
        }
        let (method, mut params) = method_and_params(&request);
        // rmcp took it out; a server finds its progress by the token in it.
        if let (Ok(meta), Some(params)) = (serde_json::to_value(&context.meta), params.as_object_mut())
            && meta.as_object().is_some_and(|meta| !meta.is_empty())
        {
            params.insert("_meta".into(), meta);
        }
        let Some(client) = self.whom_to_ask(context) else {
            return Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None));
        };
        let (answer, answered) = oneshot::channel();
        let lost = || ErrorData::internal_error("the client cannot be asked any more", None);
        client.send(Aside::Question(Question { method, params, answer })).await.map_err(|_| lost())?;
        answered.await.map_err(|_| lost())?.map(|result| ClientResult::CustomResult(CustomResult(result)))
    }

    fn whom_to_ask(&self, context: &RequestContext<RoleClient>) -> Option<mpsc::Sender<Aside>> {
        let own = self.own.as_ref()?;
        let routes = self.routes();
        let of_request = match context.extensions.get::<InboundStreamOrigin>() {
            Some(InboundStreamOrigin::OutboundRequest(id)) => routes.by_request.get(id),
            Some(InboundStreamOrigin::Unassociated) => None,
            // stdio does not say; where one request runs alone, it is the one.
            None => routes.sole(),
        };
        Some(of_request.unwrap_or(own).clone())
    }

    fn attach(&self, message: &TxJsonRpcMessage<RoleClient>) {
        let JsonRpcMessage::Request(request) = message else { return };
        let Some(Attached(to)) = request.request.extensions().get::<Attached>() else { return };
        let mut routes = self.routes();
        if let Some(token) = request.request.get_meta().get_progress_token() {
            routes.by_token.insert(token, request.id.clone());
        }
        routes.by_request.insert(request.id.clone(), to.clone());
    }

    /// Looks at what came, and tells whom it concerns. Who does not keep up misses something; nobody is waited for.
    fn tell(&self, message: &RxJsonRpcMessage<RoleClient>) {
        let JsonRpcMessage::Notification(notification) = message else { return };
        let notification = &notification.notification;
        let notice = || {
            let (method, params) = method_and_params(notification);
            Notice { method, params }
        };
        match notification {
            ServerNotification::ProgressNotification(progress) => {
                let routes = self.routes();
                let of_token = routes.by_token.get(&progress.params.progress_token);
                if let Some(to) = of_token.and_then(|id| routes.by_request.get(id)) {
                    let _ = to.try_send(Aside::Notice(notice()));
                }
            }
            ServerNotification::CancelledNotification(_)
            | ServerNotification::SubscriptionsAcknowledgedNotification(_) => {}
            _ => match &self.own {
                Some(own) => {
                    let routes = self.routes();
                    let _ = routes.sole().unwrap_or(own).try_send(Aside::Notice(notice()));
                }
                None if self.news.receiver_count() > 0 => {
                    let _ = self.news.send(notice());
                }
                None => {}
            },
        }
    }

    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Routes {
    fn sole(&self) -> Option<&mpsc::Sender<Aside>> {
        let mut all = self.by_request.values();
        all.next().filter(|_| all.next().is_none())
    }
}

pub(super) fn method_and_params(message: &impl serde::Serialize) -> (String, Value) {
    let mut message = serde_json::to_value(message).unwrap_or_default();
    let method = message["method"].as_str().unwrap_or_default().to_owned();
    (method, message["params"].take())
}

/// A transport that tells a [`Wire`] of all that passes.
#[derive(Debug)]
pub(super) struct Tapped<T> {
    inner: T,
    wire: Arc<Wire>,
}

impl<T> Tapped<T> {
    pub(super) fn new(inner: T, wire: &Arc<Wire>) -> Self {
        Self { inner, wire: Arc::clone(wire) }
    }
}

impl<T: Transport<RoleClient>> Transport<RoleClient> for Tapped<T> {
    type Error = T::Error;

    fn name() -> Cow<'static, str> {
        T::name()
    }

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.wire.attach(&item);
        self.inner.send(item)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        let message = self.inner.receive().await?;
        *self.wire.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.wire.tell(&message);
        Some(message)
    }

    fn close(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send {
        self.inner.close()
    }
}
