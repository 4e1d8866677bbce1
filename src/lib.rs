//! Toolgate: an LLM gateway that hands every agent its organisation's approved MCP tools.
//!
//! The modules stand in reading order, from the plain data that everything uses to the place where all
//! parts meet. A module may use those above it in this list, never those below.

pub mod domain;
pub mod config;
pub mod seal;
pub(crate) mod folder_watch;
pub mod redact;
pub mod egress;
pub mod identity;
pub mod policy;
pub mod dialect;
pub mod store;
pub mod audit;
pub mod mcp;
pub mod provider;
pub mod gateway;
pub mod mcp_server;
pub mod telemetry;
pub mod http;
pub mod app;
pub mod cli;
