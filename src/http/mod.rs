//! The HTTP side: routes, who may use them, and answers.

mod admin;
mod connect;
mod metrics;
mod proxy;
mod route;
mod undelayed;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::StatusCode;
use tower_http::catch_panic::CatchPanicLayer;

use crate::dialect::Chat;
use crate::domain::{Failure, FailureKind};
use crate::gateway::Gateway;
use crate::mcp_server::McpServer;
use crate::telemetry::Telemetry;

pub use metrics::metrics_router;
pub use route::generating;
pub use undelayed::undelayed;

/// What the handlers share.
#[derive(Debug, Clone)]
pub struct AppState {
    /// The gateway as it is configured now.
    pub current: Arc<ArcSwap<Gateway>>,
    /// The MCP endpoint.
    pub mcp: Arc<McpServer>,
    /// What is counted.
    pub telemetry: Arc<Telemetry>,
}

impl AppState {
    /// The gateway as it is configured now: what a request begins with, it goes on with to its end.
    pub fn gateway(&self) -> Arc<Gateway> {
        self.current.load_full()
    }
}

/// All routes.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::guarded))
        // Claude Code asks for these first, to see whether the gateway is there.
        .route("/", any(probe))
        .route("/api/hello", any(probe))
        .nest("/api/v1", admin::routes())
        .merge(connect::routes())
        .fallback(proxy::handle)
        .method_not_allowed_fallback(async || not_found())
        .layer(CatchPanicLayer::new())
        .with_state(state)
}

async fn ready(State(state): State<AppState>) -> Response {
    let gateway = state.gateway();
    if gateway.tasks.is_closed() {
        return (StatusCode::SERVICE_UNAVAILABLE, "closing\n").into_response();
    }
    if gateway.audit.health().unavailable.is_some() {
        return (StatusCode::SERVICE_UNAVAILABLE, "not ready: the audit cannot record\n").into_response();
    }
    // Their names are for administrators: anyone may ask here.
    let missing = gateway.fleet.missing_required().len();
    if missing == 0 {
        return "ready\n".into_response();
    }
    let told = format!("not ready: required MCP servers are missing: {missing}\n");
    (StatusCode::SERVICE_UNAVAILABLE, told).into_response()
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
    let failure = Failure::new(FailureKind::NotFound, "there is nothing at this path");
    proxy::failure_response(&Chat, &failure)
}
