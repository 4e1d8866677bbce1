//! The gateway as a whole: real HTTP, a scripted provider, scripted MCP servers. One file a feature; tests
//! that guard against a known way to break carry its number (`f16_…`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "what a test starts ends with it")]
#![allow(dead_code, reason = "the toolbox grows before its users do")]

mod bad_input;
mod callers;
mod cli;
mod client;
mod durability;
mod headers;
mod leaving;
mod mcp_server;
mod process;
mod provider;
mod routes;
mod secrets;
mod smoke;
mod stored_ids;
mod wire;
mod world;
