//! The gateway as a whole: real HTTP, a scripted provider, scripted MCP servers. One file a feature; tests
//! that guard against a known way to break carry its number (`f16_…`).

#![allow(clippy::needless_pass_by_value, clippy::format_collect, reason = "short is clear here")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::disallowed_methods, reason = "what a test starts ends with it")]

mod admin;
mod agent;
mod audit_api;
mod awkward_providers;
mod bad_input;
mod callers;
mod cli;
mod client;
mod continuity;
mod conversation;
mod conversations;
mod credentials;
mod durability;
mod echoes;
mod erasure;
mod expected;
mod explain;
mod fidelity;
mod headers;
mod injection;
mod keep_alive;
mod leaving;
mod live;
mod lock;
mod mcp_client;
mod mcp_endpoint;
mod mcp_server;
mod mixed_turns;
mod next_round;
mod oauth;
mod one_message;
mod outlets;
mod pins;
mod process;
mod properties;
mod provider;
mod readiness;
mod recall;
mod record;
mod recorded;
mod reload;
mod rendering;
mod repeats;
mod results;
mod routes;
mod search;
mod secrets;
mod sharing;
mod stable_prefix;
mod stored_ids;
mod strict_model;
mod tool_loop;
mod tools;
mod torn;
mod trace;
mod unrecorded;
mod upstream;
mod upstream_errors;
mod usage;
mod vendor;
mod wall_clock;
mod wire;
mod wire_shapes;
mod world;
