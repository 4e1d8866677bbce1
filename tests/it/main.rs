//! The gateway as a whole: real HTTP, a scripted provider, scripted MCP servers. One file a feature; tests
//! that guard against a known way to break carry its number (`f16_…`).

#![allow(dead_code)]

mod client;
mod fidelity;
mod injection;
mod mcp_server;
mod next_round;
mod provider;
mod results;
mod smoke;
mod tool_loop;
mod tools;
mod upstream;
mod wire;
mod world;
