//! `GET /api/v1/servers`, `GET /api/v1/servers/{name}/listing` and `POST /api/v1/servers/{name}/restart`.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::problem::Problem;
use super::route::Route;
use super::{Asked, Named, answer};
use crate::mcp::ServerStatus;

/// How servers are doing.
#[derive(Debug, Serialize, JsonSchema)]
struct Servers {
    servers: Vec<ServerStatus>,
}

/// What a server listed.
#[derive(Debug, Serialize, JsonSchema)]
struct Listing {
    /// Its tools, as they came.
    tools: Vec<Value>,
}

/// That it is under way.
#[derive(Debug, Serialize, JsonSchema)]
struct Restart {
    /// The server's name.
    server: String,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/servers", list, "How the servers are doing that the caller may administer")
            .answers::<Servers>(),
        Route::get("/servers/{name}/listing", listing, "What a server listed last, as it came")
            .needs("administer")
            .answers::<Listing>(),
        Route::post(
            "/servers/{name}/restart",
            restart,
            "Closes the connection to a server, and makes another one",
        )
        .needs("administer")
        .accepts::<Restart>(),
    ]
}

/// How those servers are doing that the caller may administer.
async fn list(asked: Asked) -> Response {
    let mut statuses = asked.gateway.fleet.statuses();
    statuses.retain(|status| asked.may_administer(&status.name));
    answer(&Servers { servers: statuses })
}

/// What a server listed last, as it came: how tools are approved that only callers can ask for.
async fn listing(asked: Asked, Named(name): Named) -> Result<Response, Problem> {
    let listed = asked.may_administer(&name).then(|| asked.gateway.fleet.listed(&name)).flatten();
    match listed {
        Some(tools) => Ok(answer(&Listing { tools })),
        None => Err(Problem::not_found(format!(
            "there is no server {name:?} that you may administer and that has listed its tools"
        ))),
    }
}

/// Closes the connection to a server, and makes another one at once.
async fn restart(asked: Asked, Named(name): Named) -> Result<Response, Problem> {
    if !asked.may_administer(&name) || !asked.gateway.fleet.restart(&name) {
        return Err(Problem::not_found(format!("there is no server {name:?} that you may administer")));
    }
    tracing::info!(server = name, user = asked.caller.user, key = asked.caller.key, "a restart was ordered");
    Ok((StatusCode::ACCEPTED, answer(&Restart { server: name })).into_response())
}
