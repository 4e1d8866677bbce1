//! Toolgate as an MCP server: `/mcp` has all tools of a caller under their injected names, `/mcp/{server}` one
//! server under its own names, with its prompts and resources.
//!
//! Streamable HTTP in both eras on one endpoint, on raw JSON, so that nothing is lost that this gateway does not know.
//! [`McpServer::handle`] is one HTTP request: `access` says who may come in, `message` reads JSON-RPC, `era` tells the
//! stateless protocol of 2026-07-28 from the older ones with sessions (`session`). `methods` is what there is to ask
//! for, `call` one tool call, `pass` what only the server behind can answer, `records` what is recorded of both, `listen`
//! what changes.
//! `reply` brings it back, `translate` from one era to the other.

mod access;
mod call;
mod era;
mod headers;
mod listen;
mod listeners;
mod message;
mod methods;
mod pass;
mod post;
mod records;
mod reply;
mod session;
mod tools;
mod translate;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::access::Access;
pub use self::access::WELL_KNOWN;
use self::listeners::Listeners;
use self::session::Sessions;
use crate::config::Config;
use crate::domain::{Behalf, Caller, CallerHeaders};
use crate::gateway::Gateway;

/// The MCP endpoint, and what outlives its requests.
#[derive(Debug)]
pub struct McpServer {
    /// The gateway as it is configured now: what a request begins with, it goes on with to its end.
    current: Arc<ArcSwap<Gateway>>,
    access: Access,
    sessions: Sessions,
    listeners: Listeners,
    /// Sessions and streams, which end when the gateway begins to.
    streams: TaskTracker,
    ending: CancellationToken,
}

/// Which of its faces the endpoint shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mcp`: all tools that the caller may see.
    All,
    /// `/mcp/{server}`: one server.
    Server(String),
}

impl Endpoint {
    /// The endpoint at this path, if there is one.
    pub fn at(path: &str) -> Option<Self> {
        match path.strip_prefix("/mcp")? {
            "" | "/" => Some(Self::All),
            rest => {
                let name = rest.strip_prefix('/')?;
                (!name.contains('/')).then(|| Self::Server(name.to_owned()))
            }
        }
    }

    /// Its path.
    fn path(&self) -> String {
        match self {
            Self::All => "/mcp".into(),
            Self::Server(name) => format!("/mcp/{name}"),
        }
    }
}

impl McpServer {
    /// An endpoint without a session yet.
    pub fn new(config: &Config, current: Arc<ArcSwap<Gateway>>) -> Self {
        Self {
            current,
            access: Access::new(config),
            sessions: Sessions::default(),
            listeners: Listeners::default(),
            streams: TaskTracker::new(),
            ending: CancellationToken::new(),
        }
    }

    /// Handles one HTTP request to this endpoint.
    pub async fn handle(self: &Arc<Self>, endpoint: Endpoint, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let gateway = self.current.load_full();
        let caller = match self.access.enter(&gateway.identity, &endpoint, &parts) {
            Ok(caller) => caller,
            Err(refusal) => return *refusal,
        };
        if !self.is_open(&gateway, &endpoint, &caller, &parts.headers).await {
            // A server that does not exist, and one whose tools this caller may not see, look the same.
            return access::refuse(StatusCode::NOT_FOUND, "there is no such MCP server");
        }
        let visit = post::Visit { server: Arc::clone(self), gateway, endpoint, caller, parts };
        match visit.parts.method {
            Method::POST => visit.post(body).await,
            Method::GET => visit.get(),
            Method::DELETE => visit.delete(),
            _ => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, POST, DELETE")]).into_response(),
        }
    }

    /// Whether there is anything for this caller; one whose own credentials it takes may be the first to ask.
    async fn is_open(
        &self,
        gateway: &Gateway,
        endpoint: &Endpoint,
        caller: &Arc<Caller>,
        headers: &HeaderMap,
    ) -> bool {
        let Endpoint::Server(name) = endpoint else { return true };
        if tools::has_any(gateway, caller, name) {
            return true;
        }
        let headers = CallerHeaders::of(headers);
        let behalf = Behalf { caller: Arc::clone(caller), conversation: None, headers, trace: None };
        gateway.fleet.first_listing(&behalf, |server| server == name && gateway.shows(caller, server)).await;
        tools::has_any(gateway, caller, name)
    }

    /// The metadata by which clients learn how to authenticate (RFC 9728); `path` is that of the resource.
    pub fn resource_metadata(&self, path: &str, parts: &http::request::Parts) -> Option<Response> {
        let endpoint = if path.is_empty() { Endpoint::All } else { Endpoint::at(path)? };
        Some(self.access.metadata(&endpoint, parts))
    }

    /// Ends all sessions and streams: the gateway begins to close. Calls that run go on.
    pub fn end_streams(&self) {
        self.ending.cancel();
        self.streams.close();
    }

    /// Returns when they have ended.
    pub async fn ended(&self) {
        self.streams.wait().await;
    }
}
