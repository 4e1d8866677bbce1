//! `audit_events`: what was done with the records themselves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Who;
use crate::domain::EventId;
use crate::store::column::micros;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The event.
    pub id: EventId,
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Who did it; nobody, where the gateway did it by itself.
    pub who: Option<Who>,
    /// What was done.
    pub action: Action,
    /// The particulars, an object: filters of a reading, what was pruned before when, who was erased.
    pub detail: Value,
    /// When.
    #[serde(with = "micros")]
    pub at: Timestamp,
}

/// What was done with records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Somebody read records.
    Read,
    /// Somebody took records away as a file.
    Export,
    /// Records that were too old were deleted.
    Prune,
    /// A person's content was made unreadable for ever.
    Erase,
    /// What a gateway that is gone left open was closed.
    Close,
    /// What came too late for its own row: the end of an interception that had been closed meanwhile.
    Late,
}
