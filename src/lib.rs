//! Toolgate: an LLM gateway that hands every agent its organisation's approved MCP tools.
//!
//! The modules stand in reading order, from the plain data that everything uses to the place where all
//! parts meet. A module may use those above it in this list, never those below.

/// What happened: the records of every interception, and clearances.
pub mod audit;
/// The commands.
pub mod cli;
/// What the administrator writes, validated once.
pub mod config;
/// Plain data that every other room may use: callers, tools, calls, usage, ids, failures.
pub mod domain;
/// Who is asking: request headers to a caller.
pub mod identity;
/// The MCP servers: connections, the catalogue of their tools, and calls.
pub mod mcp;
/// What a caller may do: rules, decisions and permits.
pub mod policy;
/// The three wire APIs, sans-IO.
pub mod dialect;
/// SQL: migrations and typed rows in and out.
pub mod store;
