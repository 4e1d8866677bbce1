//! An MCP server with the tools, prompts and resources that the MCP conformance suite calls by name.
//!
//! `tests/real/mcp` runs the suite against it twice, directly and behind Toolgate, and compares.

#![allow(clippy::needless_pass_by_value, reason = "each tool writes its JSON where it is used")]
#![allow(deprecated, reason = "2025-11-25 has logging, subscriptions and sampling")]

mod content;
mod handler;
mod inputs;
mod tools;

use std::io::Write as _;

use crate::handler::ConformanceServer;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    writeln!(std::io::stdout(), "listening on http://{}/mcp", listener.local_addr()?)?;
    axum::serve(listener, ConformanceServer::default().routes()).await
}
