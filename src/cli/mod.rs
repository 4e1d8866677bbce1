//! The commands.

pub mod example_server;
pub mod keys;
pub mod policy;
pub mod schema;
