//! The API for administrators, and for callers who want to know which tools they have: `/api/v1`.
//!
//! Nobody learns of what he may neither see nor administer: that and what does not exist get the same answer.

mod events;
mod export;
mod interceptions;
mod openapi;
mod problem;
mod question;
mod route;
mod servers;
mod statistics;
mod threads;
mod tool_calls;
mod tools;
mod users;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use self::problem::Problem;
use self::question::Question;
use self::route::Route;
use super::AppState;
use super::proxy::name_host;
use crate::audit::{Action, Reader};
use crate::domain::{Caller, InterceptionId, ToolRef};
use crate::gateway::Gateway;
use crate::store::StoreError;

/// The routes below `/api/v1`.
pub(super) fn routes() -> Router<AppState> {
    let router = Router::new().fallback(async || Problem::not_found("there is nothing at this path"));
    let all = |router: Router<_>, route: Route| router.route(route.router_path, route.handler);
    // It counts for the routes that are there already.
    table().into_iter().fold(router, all).method_not_allowed_fallback(async || {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
    })
}

/// All routes, in the order in which the document lists them.
fn table() -> Vec<Route> {
    let of_rooms = [
        interceptions::routes(),
        threads::routes(),
        tool_calls::routes(),
        users::routes(),
        events::routes(),
        statistics::routes(),
        export::routes(),
        servers::routes(),
        tools::routes(),
        openapi::routes(),
    ];
    of_rooms.into_iter().flatten().collect()
}

/// Who asks, and whom.
struct Asked {
    gateway: Arc<Gateway>,
    caller: Arc<Caller>,
}

impl Asked {
    fn may_see(&self, tool: &ToolRef) -> bool {
        self.gateway.policy.may_see(&self.caller, tool).is_ok()
    }

    fn may_administer(&self, server: &str) -> bool {
        self.gateway.policy.may_administer(&self.caller, server).is_ok()
    }

    /// Records that somebody reads; returns when that is durable.
    async fn read(&self, action: Action, detail: Value) -> Result<(), Problem> {
        self.gateway.audit.event(&self.caller, action, detail).await.map_err(|error| {
            let why = format!("reading the audit is recorded, and that is not possible now: {error}");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
        })
    }
}

/// A caller who may read the records.
struct Auditor(Asked);

impl FromRequestParts<AppState> for Auditor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let asked = Asked::from_request_parts(parts, state).await?;
        match asked.gateway.policy.may_read_audit(&asked.caller) {
            Ok(()) => Ok(Self(asked)),
            Err(_) => Err(Problem::new(StatusCode::FORBIDDEN, "you may not read the audit")),
        }
    }
}

impl Auditor {
    /// What opens the records, once it is recorded who reads what.
    async fn reads(&self, what: &str, question: &Question) -> Result<Turn<'_>, Problem> {
        let turn = self.turn().await;
        let told = question.told(&self.0.gateway.reader).await?;
        self.0.read(Action::Read, json!({"what": what, "question": told})).await?;
        Ok(turn)
    }

    /// The same for one thing.
    async fn reads_one(&self, what: &str, id: InterceptionId) -> Result<Turn<'_>, Problem> {
        let turn = self.turn().await;
        self.0.read(Action::Read, json!({"what": what, "id": id})).await?;
        Ok(turn)
    }

    async fn turn(&self) -> Turn<'_> {
        let reader = &self.0.gateway.reader;
        Turn { reader, _permit: reader.turn().await }
    }
}

/// One's turn to ask the records.
struct Turn<'a> {
    reader: &'a Reader,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Deref for Turn<'_> {
    type Target = Reader;

    fn deref(&self) -> &Reader {
        self.reader
    }
}

/// The database's words are for the log.
fn failed(error: impl Into<StoreError>) -> Problem {
    let error = error.into();
    if error.is_too_slow() {
        tracing::warn!(%error, "a question to the records took too long");
        let why = "this question takes too long: ask for less time, or for less in it";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    tracing::error!(%error, "the records cannot be read");
    let why = "the records cannot be read now, or too many questions are asked: try again in a while";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, why)
}

impl FromRequestParts<AppState> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        name_host(parts);
        let gateway = state.gateway();
        let caller = gateway.identity.authenticate(&parts.headers)?;
        Ok(Self { gateway, caller })
    }
}

/// What the path names.
struct Named(String);

impl FromRequestParts<AppState> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Problem> {
        let named = Path::from_request_parts(parts, state).await;
        let Path(name) = named.map_err(|why| Problem::new(why.status(), why.body_text()))?;
        Ok(Self(name))
    }
}

/// An answer in JSON, which no cache may keep.
fn answer(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer cannot be written").into_response()
        }
    }
}
