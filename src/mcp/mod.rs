//! The MCP servers: connections, the catalogue of their tools, and calls.
//!
//! A [`Fleet`] watches over every configured server in a task of its own (`supervise.rs`): it connects
//! (`connect.rs`) and lists (`page.rs`). What is listed is sorted out (`shelves.rs`): what is approved
//! (`approve.rs`, [`lock`]) and acceptable (`schema.rs`) goes into the [`Catalogue`], under names that every
//! provider takes (`names.rs`); [`search`] finds them there. While a server is connected, it is asked whether
//! it still answers and what it lists (`upkeep.rs`). A call needs a clearance, and always ends in a result
//! for the model (`connection.rs`, `result.rs`).

mod approve;
mod arguments;
mod backoff;
mod catalogue;
mod client_session;
mod connect;
mod connecting;
mod connection;
mod credentials;
mod fleet;
mod forward;
mod http_client;
mod inputs;
pub mod lock;
mod names;
mod page;
mod pool;
mod redact;
mod result;
mod root;
mod schema;
pub mod search;
mod server;
mod session;
mod shelves;
mod status;
mod stderr;
mod stdio;
mod subscription;
mod supervise;
mod upkeep;
mod wire;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use approve::{LeftOut, Quarantine, Quarantined};
pub use catalogue::{Catalogue, Tool};
pub use connect::Era;
pub use credentials::{Access, Callback, ConnectError, Connected, Departure, Desk, Whom};
pub use fleet::{CallEnd, Fleet};
pub use forward::{ForwardEnd, Forwarded, Introduction, News, Unanswered};
pub use result::write as write_result;
pub use status::{ServerFailure, ServerState, ServerStatus, Stage};
pub use wire::{Aside, Notice, Question, Wire};
