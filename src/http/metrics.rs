//! `GET /metrics`: on the gateway's own address for callers who may administer everything or read the audit, on an
//! address of its own for everyone who reaches that.

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};

use super::AppState;
use super::proxy::name_host;
use crate::domain::Caller;
use crate::gateway::Gateway;
use crate::telemetry::{Format, Now};

/// The routes of the address that is for metrics alone.
pub fn metrics_router(state: AppState) -> Router {
    Router::new().route("/metrics", get(open)).with_state(state)
}

async fn open(State(state): State<AppState>, headers: HeaderMap) -> Response {
    page(&state, &headers)
}

/// The page, for callers who may have it.
pub(super) async fn guarded(State(state): State<AppState>, mut parts: Parts) -> Response {
    name_host(&mut parts);
    let gateway = state.gateway();
    match gateway.identity.authenticate(&parts.headers) {
        Err(failure) => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
            (StatusCode::UNAUTHORIZED, challenge, format!("{}\n", failure.message)).into_response()
        }
        Ok(caller) if may_read(&gateway, &caller) => page(&state, &parts.headers),
        Ok(_) => {
            let reason =
                "metrics are for callers whose policy allows `administer` or `read_audit` on everything\n";
            (StatusCode::FORBIDDEN, reason).into_response()
        }
    }
}

fn may_read(gateway: &Gateway, caller: &Caller) -> bool {
    gateway.policy.may_administer(caller, "*").is_ok() || gateway.policy.may_read_audit(caller).is_ok()
}

fn page(state: &AppState, headers: &HeaderMap) -> Response {
    let gateway = state.gateway();
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let (audit, servers) = (gateway.audit.health(), gateway.fleet.statuses());
    let now = Now { audit: &audit, servers: &servers, losses: state.telemetry.losses() };
    let page = state.telemetry.metrics().page(&now, format);
    ([(header::CONTENT_TYPE, format.content_type()), (header::CACHE_CONTROL, "no-store")], page)
        .into_response()
}
