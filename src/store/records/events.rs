//! `audit_events`: what was done with the records themselves.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::{Kind, Who, read_who};
use crate::domain::{EventId, InterceptionId};
use crate::store::Store;
use crate::store::column::{micros, read_count, read_json, read_parsed, read_word};

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
    /// The database lost the last commits of a run that goes on.
    Lost,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Export, Self::Prune, Self::Erase, Self::Close, Self::Late, Self::Lost];

    /// The action with this word.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }

    /// The word for it in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Export => "export",
            Self::Prune => "prune",
            Self::Erase => "erase",
            Self::Close => "close",
            Self::Late => "late",
            Self::Lost => "lost",
        }
    }
}

impl Event {
    /// The interception of which this tells that its end came too late, if it does.
    pub fn late_end(&self) -> Option<InterceptionId> {
        let is_end = self.action == Action::Late && self.detail["record_type"] == Kind::End.record_type();
        self.detail["record"]["id"].as_str().filter(|_| is_end)?.parse().ok()
    }
}

/// How an event goes to the database.
#[derive(Serialize)]
pub(in crate::store) struct InJson<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// As text, in which its fields keep their order.
    detail_text: String,
}

impl<'a> InJson<'a> {
    pub(in crate::store) fn new(event: &'a Event) -> Self {
        Self { event, detail_text: event.detail.to_string() }
    }
}

pub(in crate::store) const INSERT: &str = "INSERT INTO audit_events \
    (id, instance, epoch, who, person, caller, action, detail, at) \
    SELECT value->>'id', value->>'instance', CAST(value->>'epoch' AS BIGINT), value->'who'->>'proof', \
    value->'who'->>'person', value->'who'->>'caller', value->>'action', value->>'detail_text', value->>'at' \
    FROM json_each($rows) WHERE true ON CONFLICT (id) DO NOTHING";

/// The last event of this kind.
pub async fn last(connection: &mut AnyConnection, action: Action) -> Result<Option<Event>, sqlx::Error> {
    sqlx::query("SELECT * FROM audit_events WHERE action = $1 ORDER BY at DESC, id DESC LIMIT 1")
        .bind(action.word())
        .fetch_optional(connection)
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// All events of this kind, in order.
pub async fn all(store: &Store, action: Action) -> Result<Vec<Event>, sqlx::Error> {
    sqlx::query("SELECT * FROM audit_events WHERE action = $1 ORDER BY at, id")
        .bind(action.word())
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(read)
        .collect()
}

pub(super) fn read(row: &AnyRow) -> Result<Event, sqlx::Error> {
    Ok(Event {
        id: read_parsed(row, "id")?,
        instance: row.try_get("instance")?,
        epoch: read_count(row, "epoch")?,
        who: read_who(row)?,
        action: read_word(row, "action")?,
        detail: read_json(row, "detail")?,
        at: read_parsed(row, "at")?,
    })
}
