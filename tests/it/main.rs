//! The gateway as a whole: real HTTP, a scripted provider, scripted MCP servers. One file a feature; tests
//! that guard against a known way to break carry its number (`f16_…`).

#![allow(dead_code)]

mod awkward_providers;
mod client;
mod conversation;
mod mcp_server;
mod properties;
mod provider;
mod smoke;
mod wire;
mod wire_shapes;
mod world;
