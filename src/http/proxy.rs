use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Method, Request, header};
use tokio::time::Instant;

use super::route::{Route, route};
use super::{AppState, not_found};
use crate::config::ProviderKind;
use crate::dialect::{Chat, Dialect, Messages};
use crate::domain::{Failure, FailureKind};
use crate::gateway::{AnswerHead, Gateway, Incoming, Reply};
use crate::identity::Client;
use crate::mcp_server::{Endpoint, WELL_KNOWN};
use crate::provider::request_headers;

/// Handles whatever has no route of its own: MCP, and the three APIs, with or without a provider in the path.
pub async fn handle(State(state): State<AppState>, request: Request<Body>) -> Response {
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    name_host(&mut parts);
    if let Some(endpoint) = Endpoint::at(parts.uri.path()) {
        let request = Request::from_parts(parts, body);
        return state.mcp.handle(endpoint, request).await;
    }
    if let (&Method::GET, Some(path)) = (&parts.method, parts.uri.path().strip_prefix(WELL_KNOWN)) {
        return state.mcp.resource_metadata(path, &parts).unwrap_or_else(not_found);
    }
    match route(&parts.method, parts.uri.path(), &parts.headers) {
        Route::Unknown => not_found(),
        Route::WebSocket => {
            let message = "responses over WebSocket are not supported: use POST with server-sent events";
            failure_response(&Chat, &Failure::new(FailureKind::UpgradeRequired, message))
        }
        Route::Models { provider } => models(&state.gateway(), provider, &parts).await,
        Route::Call { operation, provider } => {
            let gateway = state.gateway();
            let caller = match gateway.identity.authenticate(&parts.headers) {
                Ok(caller) => caller,
                Err(failure) => return failure_response(operation.dialect, &failure),
            };
            let incoming = Incoming {
                caller,
                began,
                client: Client::from_headers(&parts.headers),
                operation,
                provider: provider.map(str::to_owned),
                query: parts.uri.query().map(str::to_owned),
                headers: parts.headers,
            };
            let reply = gateway.intercept(incoming, body);
            response(reply, operation.dialect).await
        }
    }
}

/// HTTP/2 names the host in the URI; identity looks for it in `Host`.
pub(super) fn name_host(parts: &mut http::request::Parts) {
    let Some(authority) = parts.uri.authority() else { return };
    if let (false, Ok(host)) =
        (parts.headers.contains_key(header::HOST), HeaderValue::from_str(authority.as_str()))
    {
        parts.headers.insert(header::HOST, host);
    }
}

/// Waits for the head of an answer; its body follows piece by piece.
async fn response(reply: Reply, dialect: &dyn Dialect) -> Response {
    let Ok(head) = reply.head.await else {
        return failure_response(dialect, &Failure::new(FailureKind::Internal, "the gateway failed"));
    };
    let pieces = stream::unfold(reply.body, async |mut pieces| {
        let piece = pieces.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(piece), pieces))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Passes the list of models on, which generates nothing and is not recorded.
async fn models(gateway: &Gateway, name: Option<&str>, parts: &http::request::Parts) -> Response {
    let is_anthropic = parts.headers.contains_key("anthropic-version");
    let dialect: &dyn Dialect = if is_anthropic { &Messages } else { &Chat };
    if let Err(failure) = gateway.identity.authenticate(&parts.headers) {
        return failure_response(dialect, &failure);
    }
    let providers = &gateway.providers;
    let (first, second) = if is_anthropic {
        (ProviderKind::Anthropic, ProviderKind::OpenAi)
    } else {
        (ProviderKind::OpenAi, ProviderKind::Anthropic)
    };
    let provider = match name {
        Some(name) => providers.named(name),
        None => providers.default_of(first).or_else(|| providers.default_of(second)),
    };
    let Some(provider) = provider else {
        let message = format!("there is no provider named {:?}", name.unwrap_or_default());
        return failure_response(dialect, &Failure::new(FailureKind::NotFound, message));
    };
    let (query, headers) = (parts.uri.query(), request_headers(&parts.headers));
    match provider.relay(Method::GET, "/models", query, &headers, Bytes::new(), &gateway.limits).await {
        Ok(answer) => answer.map(Body::from),
        Err(failure) => failure_response(dialect, &failure),
    }
}

/// The gateway's own error in a dialect's shape, for requests that have no interception.
pub(super) fn failure_response(dialect: &dyn Dialect, failure: &Failure) -> Response {
    let head = AnswerHead::of_failure(failure, !failure.kind.is_retryable());
    let mut response = Response::new(Body::from(dialect.error(failure)));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    let headers = response.headers_mut();
    if failure.kind == FailureKind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if failure.kind == FailureKind::UpgradeRequired {
        headers.insert(header::UPGRADE, HeaderValue::from_static("HTTP/1.1"));
    }
    response
}
