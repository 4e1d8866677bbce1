//! The gateway as a whole: real HTTP, a scripted provider, scripted MCP servers. One file a feature; tests
//! that guard against a known way to break carry its number (`f16_…`).

#![allow(dead_code)]

mod client;
mod keep_alive;
mod live;
mod mcp_server;
mod one_message;
mod provider;
mod smoke;
mod upstream_errors;
mod usage;
mod wall_clock;
mod wire;
mod world;
