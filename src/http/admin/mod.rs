//! The API for administrators, and for callers who want to know which tools they have: `/api/v1`.
//!
//! Nobody learns of what he may neither see nor administer: that and what does not exist get the same answer.

mod problem;
mod servers;
mod tools;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use self::problem::Problem;
use super::AppState;
use super::proxy::name_host;
use crate::domain::{Caller, ToolRef};
use crate::gateway::Gateway;

/// The routes below `/api/v1`.
pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/servers", get(servers::list))
        .route("/servers/{name}/listing", get(servers::listing))
        .route("/servers/{name}/restart", post(servers::restart))
        .route("/tools", get(tools::list))
        .route("/tools/{*name}", get(tools::show))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this path has no such method")
        })
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

/// An answer in JSON, which no cache may keep.
fn json(value: &impl Serialize) -> Response {
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
