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
mod keep_alive;
mod leaving;
mod live;
mod mcp_server;
mod one_message;
mod process;
mod provider;
mod routes;
mod secrets;
mod smoke;
mod stored_ids;
mod upstream_errors;
mod usage;
mod wall_clock;
mod wire;
mod world;
