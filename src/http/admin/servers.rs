//! `GET /api/v1/servers`, `GET /api/v1/servers/{name}/listing` and `POST /api/v1/servers/{name}/restart`.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use super::problem::Problem;
use super::{Asked, json};

/// How those servers are doing that the caller may administer.
pub(super) async fn list(asked: Asked) -> Response {
    let mut statuses = asked.gateway.fleet.statuses();
    statuses.retain(|status| asked.may_administer(&status.name));
    json(&json!({"servers": statuses}))
}

/// What a server listed last, as it came: how tools are approved that only callers can ask for.
pub(super) async fn listing(asked: Asked, Path(name): Path<String>) -> Result<Response, Problem> {
    let listed = asked.may_administer(&name).then(|| asked.gateway.fleet.listed(&name)).flatten();
    match listed {
        Some(tools) => Ok(json(&json!({"tools": tools}))),
        None => Err(Problem::not_found(format!(
            "there is no server {name:?} that you may administer and that has listed its tools"
        ))),
    }
}

/// Closes the connection to a server, and makes another one at once.
pub(super) async fn restart(asked: Asked, Path(name): Path<String>) -> Result<Response, Problem> {
    if !asked.may_administer(&name) || !asked.gateway.fleet.restart(&name) {
        return Err(Problem::not_found(format!("there is no server {name:?} that you may administer")));
    }
    tracing::info!(server = name, user = asked.caller.user, key = asked.caller.key, "a restart was ordered");
    Ok((StatusCode::ACCEPTED, json(&json!({"server": name}))).into_response())
}
