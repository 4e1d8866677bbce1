use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use axum::routing::{get, post};
use http::header;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{brain, loopback, wire};
use crate::http::undelayed;

/// Starts the demo model on loopback: it speaks all three APIs, streamed and whole.
pub async fn start(tasks: &TaskTracker, stop: CancellationToken) -> anyhow::Result<SocketAddr> {
    let listener = loopback().await?;
    let address = listener.local_addr()?;
    let routes = Router::new()
        .route("/v1/messages", post(async |body: Bytes| answer(&body, wire::MESSAGES)))
        .route("/v1/messages/count_tokens", post(async |body: Bytes| count(&body)))
        .route("/v1/chat/completions", post(async |body: Bytes| answer(&body, wire::CHAT)))
        .route("/v1/responses", post(async |body: Bytes| answer(&body, wire::RESPONSES)))
        .route("/v1/models", get(async || json_response(&json!({"object": "list", "data": [{"id": "demo", "object": "model", "type": "model", "display_name": "Demo"}]}))));
    let served = axum::serve(undelayed(listener), routes)
        .with_graceful_shutdown(async move { stop.cancelled().await });
    tasks.spawn(std::future::IntoFuture::into_future(served));
    Ok(address)
}

fn answer(body: &[u8], api: wire::Api) -> Response {
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let reply = brain::think(&(api.read)(&request));
    if request["stream"] == true {
        let mut frames = String::new();
        for (event, data) in (api.stream)(&reply) {
            if let Some(event) = event {
                frames.push_str(&format!("event: {event}\n"));
            }
            frames.push_str(&format!("data: {data}\n\n"));
        }
        let mut response = Response::new(Body::from(frames));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, http::HeaderValue::from_static("text/event-stream"));
        return response;
    }
    json_response(&(api.whole)(&reply))
}

fn count(body: &[u8]) -> Response {
    json_response(&json!({"input_tokens": body.len() / 4}))
}

fn json_response(body: &Value) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}
