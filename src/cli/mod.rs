//! The commands.

/// `toolgate example-server`: an MCP server to try things with.
pub mod example_server;
