//! The commands.

pub mod keys;
pub mod policy;
pub mod schema;
