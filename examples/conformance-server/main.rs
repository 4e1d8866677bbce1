//! An MCP server with the tools, prompts and resources that the MCP conformance suite calls by name.
//!
//! `tests/real/mcp` runs the suite against it twice, directly and behind Toolgate, and compares.

#![allow(deprecated, reason = "2025-11-25 has logging, subscriptions and sampling")]

mod content;
mod handler;
mod inputs;
mod tools;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};

use crate::handler::ConformanceServer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stdout(), "listening on http://{}/mcp", listener.local_addr()?)?;
    let server = ConformanceServer::default();
    let config = StreamableHttpServerConfig::default()
        .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"])
        .with_sse_keep_alive(Some(Duration::from_secs(5)));
    let service = StreamableHttpService::new(
        move || Ok(server.clone()),
        Arc::new(LocalSessionManager::default()),
        config,
    );
    axum::serve(listener, axum::Router::new().nest_service("/mcp", service)).await
}
