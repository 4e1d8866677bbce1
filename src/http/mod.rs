//! The HTTP side: routes, who may use them, and answers.

mod proxy;
mod route;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::{StatusCode, header};
use tower_http::catch_panic::CatchPanicLayer;

use crate::gateway::Gateway;
use crate::identity::Identity;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct Server {
    /// The interceptions.
    pub gateway: Arc<Gateway>,
    /// Who may call.
    pub identity: Arc<Identity>,
}

/// All routes.
pub fn router(server: Server) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        // Claude Code asks for these first, to see whether the gateway is there.
        .route("/", any(probe))
        .route("/api/hello", any(probe))
        .fallback(proxy::handle)
        .method_not_allowed_fallback(async || not_found())
        .layer(CatchPanicLayer::new())
        .with_state(server)
}

async fn ready(State(server): State<Server>) -> Response {
    if server.gateway.tasks.is_closed() {
        return (StatusCode::SERVICE_UNAVAILABLE, "closing\n").into_response();
    }
    "ready\n".into_response()
}

async fn probe(method: http::Method) -> Response {
    if matches!(method, http::Method::HEAD | http::Method::GET) {
        StatusCode::OK.into_response()
    } else {
        not_found()
    }
}

/// The answer to a path that no dialect has.
fn not_found() -> Response {
    let body = r#"{"error":{"message":"there is nothing at this path","type":"invalid_request_error","param":null,"code":"not_found"}}"#;
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
