//! One HTTP request to the endpoint: what it is, and in which era.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse as _, Response};
use futures::{StreamExt as _, stream};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::message::{self, Message, Notification, Request};
use super::methods::{Asked, Client};
use super::session::{self, Session};
use super::{Endpoint, McpServer, access, era, headers, reply, tools};
use crate::domain::{Behalf, Caller, CallerHeaders, Trace};
use crate::gateway::Gateway;
use crate::mcp::Notice;

/// Notifications of a client that the server behind a session's own connection is told of.
const PASSED_ON: [&str; 2] = ["notifications/roots/list_changed", "notifications/progress"];

/// A known caller's HTTP request.
pub(super) struct Visit {
    pub(super) server: Arc<McpServer>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) endpoint: Endpoint,
    pub(super) caller: Arc<Caller>,
    pub(super) parts: Parts,
}

impl Visit {
    /// A JSON-RPC message.
    pub(super) async fn post(self, body: Body) -> Response {
        if !is_json(&self.parts.headers) {
            return access::refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json");
        }
        if !accepts(&self.parts.headers, "application/json")
            || !accepts(&self.parts.headers, "text/event-stream")
        {
            let message = "the client must accept application/json and text/event-stream";
            return access::refuse(StatusCode::NOT_ACCEPTABLE, message);
        }
        let Ok(body) = to_bytes(body, self.gateway.limits.max_body_bytes).await else {
            return access::refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large (limits.max_body)");
        };
        match Message::read(&body) {
            Err(unreadable) => {
                answer_error(StatusCode::BAD_REQUEST, unreadable.id.as_ref(), &unreadable.error)
            }
            Ok(Message::Request(request)) if era::is_modern(&request, &self.parts.headers) => {
                self.stateless(request).await
            }
            Ok(Message::Request(request)) if request.method == "initialize" => self.initialize(request).await,
            Ok(Message::Request(request)) => match self.session() {
                Ok(session) => self.in_session(session, request).await,
                Err(refusal) => *refusal,
            },
            Ok(Message::Notification(_)) if era::is_modern_header(&self.parts.headers) => {
                StatusCode::ACCEPTED.into_response()
            }
            Ok(Message::Notification(notification)) => match self.session() {
                Ok(session) => self.notified(&session, notification).await,
                Err(refusal) => *refusal,
            },
            Ok(Message::Response { id, answer }) => match self.session() {
                Ok(session) => {
                    session.answered(&id, answer);
                    StatusCode::ACCEPTED.into_response()
                }
                Err(refusal) => *refusal,
            },
        }
    }

    /// The stream on which a session is told what belongs to no request.
    pub(super) fn get(self) -> Response {
        if !accepts(&self.parts.headers, "text/event-stream") {
            return access::refuse(StatusCode::NOT_ACCEPTABLE, "the client must accept text/event-stream");
        }
        if era::is_modern_header(&self.parts.headers) {
            return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
        }
        let session = match self.session() {
            Ok(session) => session,
            Err(refusal) => return *refusal,
        };
        let listening = stream::once(async move { session.listen().await });
        reply::event_stream(
            listening.flat_map(|(inbox, until)| reply::events(inbox, until, |it| reply::event(&it))),
        )
    }

    /// The end of a session.
    pub(super) fn delete(self) -> Response {
        match self.session() {
            Ok(session) => {
                self.server.sessions.end(&session.id);
                StatusCode::NO_CONTENT.into_response()
            }
            Err(refusal) => *refusal,
        }
    }

    async fn stateless(self, request: Request) -> Response {
        let tool = (request.method == "tools/call").then(|| request.text("name")).flatten();
        let tool = tool.and_then(|name| tools::find(&self.gateway, &self.caller, &self.endpoint, name));
        let schema = tool.as_ref().and_then(|tool| tool.raw().get("inputSchema"));
        let checked = era::check(&request, &self.parts.headers).and_then(|()| {
            headers::check(&self.parts.headers, &request, schema)
                .map_err(|reason| ErrorData::header_mismatch(reason, None))
        });
        if let Err(error) = checked {
            return answer_error(StatusCode::BAD_REQUEST, Some(&request.id), &error);
        }
        let client = Client::stateless(&request, &self.parts.headers);
        let behalf = self.behalf(None);
        self.ask(request, client, behalf, None, CancellationToken::new()).await
    }

    async fn in_session(self, session: Arc<Session>, request: Request) -> Response {
        if !era::is_known_legacy_header(&self.parts.headers) {
            let error = ErrorData::invalid_request("Bad Request: unsupported MCP-Protocol-Version", None);
            return answer_error(StatusCode::BAD_REQUEST, Some(&request.id), &error);
        }
        let behalf = self.behalf(Some(&session.id));
        let running = session.run(&request.id);
        let cancel = running.cancel.clone();
        self.ask(request, Client::Session(session), behalf, Some(running), cancel).await
    }

    /// Answers a request in a task of its own, which ends in order whatever becomes of the client.
    async fn ask(
        self,
        mut request: Request,
        client: Client,
        behalf: Behalf,
        running: Option<session::Running>,
        cancel: CancellationToken,
    ) -> Response {
        let listens = client.is_modern() && request.method == "subscriptions/listen";
        let place = match if listens { self.listeners_place() } else { self.place() } {
            Ok(place) => place,
            Err(busy) => return answer_error(StatusCode::TOO_MANY_REQUESTS, Some(&request.id), &busy),
        };
        Trace::carry_into_meta(&self.parts.headers, &mut request.meta);
        let (reply, answer) = reply::channel();
        let Self { server, gateway, endpoint, .. } = self;
        let asked = Asked { server, gateway, endpoint, behalf, request, client, reply, cancel };
        // A stream must not hold the gateway's end up, and a call must.
        let tasks = if listens { asked.server.streams.clone() } else { asked.gateway.tasks.clone() };
        tasks.spawn(async move {
            asked.run().await;
            drop((running, place));
        });
        answer.into_response().await
    }

    /// A place among all that runs.
    fn place(&self) -> Result<OwnedSemaphorePermit, ErrorData> {
        Arc::clone(&self.gateway.places).try_acquire_owned().map_err(|_| {
            ErrorData::internal_error("too many requests at once (limits.max_interceptions)", None)
        })
    }

    /// A place for what lasts, and so must not take one from what runs.
    fn listeners_place(&self) -> Result<OwnedSemaphorePermit, ErrorData> {
        let place = self.server.listeners.join(&self.caller);
        place.ok_or_else(|| ErrorData::internal_error("there are too many subscriptions", None))
    }

    async fn initialize(self, request: Request) -> Response {
        let id = request.id.clone();
        let _place = match self.place() {
            Ok(place) => place,
            Err(busy) => return answer_error(StatusCode::TOO_MANY_REQUESTS, Some(&id), &busy),
        };
        let Ok(session_id) = session::new_id() else {
            let error = ErrorData::internal_error("no session can be made now", None);
            return answer_error(StatusCode::INTERNAL_SERVER_ERROR, Some(&id), &error);
        };
        let behalf = self.behalf(Some(&session_id));
        let begun = self.server.begin_session(&self.gateway, &self.endpoint, behalf, &session_id, &request);
        let Ok(result) = begun.await else {
            let error = ErrorData::internal_error("there are too many sessions", None);
            return answer_error(StatusCode::TOO_MANY_REQUESTS, Some(&id), &error);
        };
        let mut response = reply::json(StatusCode::OK, &message::result(&id, result));
        if let Ok(session_id) = HeaderValue::try_from(session_id) {
            response.headers_mut().insert("mcp-session-id", session_id);
        }
        response
    }

    async fn notified(&self, session: &Arc<Session>, notification: Notification) -> Response {
        let Notification { method, params } = notification;
        if method == "notifications/cancelled" {
            session.cancel(params.get("requestId").unwrap_or(&Value::Null));
        } else if let (true, Endpoint::Server(name)) = (session.has_own_connection(), &self.endpoint)
            && PASSED_ON.contains(&method.as_str())
        {
            let notice = Notice { method, params: Value::Object(params) };
            self.gateway.fleet.forward_notice(name, &self.behalf(Some(&session.id)), notice).await;
        }
        StatusCode::ACCEPTED.into_response()
    }

    fn behalf(&self, session: Option<&str>) -> Behalf {
        Behalf {
            caller: Arc::clone(&self.caller),
            conversation: session.map(session::conversation),
            headers: CallerHeaders::of(&self.parts.headers),
            trace: None,
        }
    }

    /// The session that the headers name, if it is this caller's.
    fn session(&self) -> Result<Arc<Session>, Box<Response>> {
        let Some(id) = session::id_of(&self.parts.headers) else {
            let error = ErrorData::invalid_request("Bad Request: an Mcp-Session-Id header is needed", None);
            return Err(Box::new(answer_error(StatusCode::BAD_REQUEST, None, &error)));
        };
        self.server.sessions.find(id, &self.caller, &self.endpoint).ok_or_else(|| {
            let error = ErrorData::new(ErrorCode(-32001), "Session not found", None);
            Box::new(answer_error(StatusCode::NOT_FOUND, None, &error))
        })
    }
}

fn answer_error(status: StatusCode, id: Option<&Value>, error: &ErrorData) -> Response {
    reply::json(status, &message::error(id, error))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

fn accepts(headers: &HeaderMap, wanted: &str) -> bool {
    let (family, _) = wanted.split_once('/').unwrap_or_default();
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        range == wanted || range == "*/*" || range.strip_suffix("/*") == Some(family)
    })
}
