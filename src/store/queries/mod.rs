//! What is asked of the records, one file a question. One text serves both databases: it is put together from fixed
//! fragments, so that the database plans for the filters that are there, and never from what somebody wrote.

mod compose;
mod conditions;
mod events;
mod filter;
mod interceptions;
mod page;
mod statistics;
mod threads;
mod tool_calls;
mod users;

pub(super) use compose::Sql;
pub use conditions::people_named;
pub use events::{AuditEvent, events};
pub use filter::{Filter, MAX_VALUE};
pub use interceptions::{Ended, Interception, Tokens, ids_like, interception, interceptions, of_ids};
pub use page::{Cursor, Page, PageRequest, Turn};
pub use statistics::{
    By, Dimension, TokenStatistics, ToolBy, ToolStatistics, token_statistics, tool_statistics,
};
pub use threads::{Thread, thread, threads};
pub use tool_calls::{CallEnded, ToolCall, calls_of, tool_calls};
pub use users::{User, users};

/// The word for what has not ended.
pub const RUNNING: &str = "running";

#[cfg(test)]
mod tests;
