//! The rows of the audit. A row is written once and never changed, but that the end of an interception and the outcome
//! of a call stand in the columns beside their beginnings.
//!
//! Each row has one JSON form, in which it goes into the database and into the hash chain: fields keep their order, and
//! one that is added later is left out where it is empty, so that the digests of older rows stay as they are.

pub mod events;
pub mod interceptions;
pub mod keys;
pub mod prompts;
mod read;
pub mod thoughts;
pub mod tokens;
pub mod tools;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::domain::InterceptionId;

pub use events::Event;
pub use interceptions::{End, Start};
pub use prompts::Prompt;
pub use read::{fetch, of};
pub use thoughts::Thought;
pub use tokens::Tokens;
pub use tools::{Outcome, ToolUse};

/// One record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Row {
    /// `interception_start`
    Start(Box<Start>),
    /// `interception_end`
    End(Box<End>),
    /// `prompt_usage`
    Prompt(Prompt),
    /// `token_usage`
    Tokens(Box<Tokens>),
    /// `model_thought`
    Thought(Thought),
    /// `tool_usage`: what is to be called, or was and is not run here.
    ToolUse(Box<ToolUse>),
    /// `tool_outcome`
    Outcome(Outcome),
    /// Something that was done with the records.
    Event(Box<Event>),
}

/// What a record is of, as one letter in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `interception_start`
    Start,
    /// `interception_end`
    End,
    /// `prompt_usage`
    Prompt,
    /// `token_usage`
    Tokens,
    /// `model_thought`
    Thought,
    /// `tool_usage`
    ToolUse,
    /// `tool_outcome`
    Outcome,
    /// `audit_event`
    Event,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Start,
        Self::End,
        Self::Prompt,
        Self::Tokens,
        Self::Thought,
        Self::ToolUse,
        Self::Outcome,
        Self::Event,
    ];

    /// Its letter.
    pub fn letter(self) -> u8 {
        match self {
            Self::Start => b's',
            Self::End => b'e',
            Self::Prompt => b'p',
            Self::Tokens => b't',
            Self::Thought => b'h',
            Self::ToolUse => b'u',
            Self::Outcome => b'o',
            Self::Event => b'v',
        }
    }

    /// The kind with this letter.
    pub fn of_letter(letter: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.letter() == letter)
    }

    /// The word for it in logs and exports.
    pub fn record_type(self) -> &'static str {
        match self {
            Self::Start => "interception_start",
            Self::End => "interception_end",
            Self::Prompt => "prompt_usage",
            Self::Tokens => "token_usage",
            Self::Thought => "model_thought",
            Self::ToolUse => "tool_usage",
            Self::Outcome => "tool_outcome",
            Self::Event => "audit_event",
        }
    }
}

/// Which row: its kind, what it belongs to, and its place there (0 for starts, ends and events).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowKey {
    /// Its kind.
    pub kind: Kind,
    /// The interception's id, or an event's own.
    pub id: uuid::Uuid,
    /// Its place among the interception's records; that of an outcome is its call's.
    pub seq: u32,
}

impl Row {
    /// What it is of.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Start(_) => Kind::Start,
            Self::End(_) => Kind::End,
            Self::Prompt(_) => Kind::Prompt,
            Self::Tokens(_) => Kind::Tokens,
            Self::Thought(_) => Kind::Thought,
            Self::ToolUse(_) => Kind::ToolUse,
            Self::Outcome(_) => Kind::Outcome,
            Self::Event(_) => Kind::Event,
        }
    }

    /// Which row it is.
    pub fn key(&self) -> RowKey {
        let (id, seq) = match self {
            Self::Start(row) => (row.id.as_uuid(), 0),
            Self::End(row) => (row.id.as_uuid(), 0),
            Self::Prompt(row) => (row.interception_id.as_uuid(), row.seq),
            Self::Tokens(row) => (row.interception_id.as_uuid(), row.seq),
            Self::Thought(row) => (row.interception_id.as_uuid(), row.seq),
            Self::ToolUse(row) => (row.interception_id.as_uuid(), row.seq),
            Self::Outcome(row) => (row.interception_id.as_uuid(), row.seq),
            Self::Event(row) => (row.id.as_uuid(), 0),
        };
        RowKey { kind: self.kind(), id, seq }
    }

    /// The interception that it is of; none where something was done with the records.
    pub fn interception(&self) -> Option<InterceptionId> {
        match self {
            Self::Start(row) => Some(row.id),
            Self::End(row) => Some(row.id),
            Self::Prompt(row) => Some(row.interception_id),
            Self::Tokens(row) => Some(row.interception_id),
            Self::Thought(row) => Some(row.interception_id),
            Self::ToolUse(row) => Some(row.interception_id),
            Self::Outcome(row) => Some(row.interception_id),
            Self::Event(_) => None,
        }
    }

    /// When what it tells of happened, or was recorded.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Start(row) => row.started_at,
            Self::End(row) => row.ended_at,
            Self::Prompt(row) => row.recorded_at,
            Self::Tokens(row) => row.recorded_at,
            Self::Thought(row) => row.recorded_at,
            Self::ToolUse(row) => row.recorded_at,
            Self::Outcome(row) => row.ended_at,
            Self::Event(row) => row.at,
        }
    }

    /// What it says of its text; none where it has none.
    pub fn body(&self) -> Option<&Body> {
        match self {
            Self::Prompt(row) => Some(&row.body),
            Self::Tokens(row) => Some(&row.body),
            Self::Thought(row) => Some(&row.body),
            Self::ToolUse(row) => Some(&row.body),
            Self::Outcome(row) => row.body.as_ref(),
            Self::Start(_) | Self::End(_) | Self::Event(_) => None,
        }
    }

    /// The same, to be written.
    pub fn body_mut(&mut self) -> Option<&mut Body> {
        match self {
            Self::Prompt(row) => Some(&mut row.body),
            Self::Tokens(row) => Some(&mut row.body),
            Self::Thought(row) => Some(&mut row.body),
            Self::ToolUse(row) => Some(&mut row.body),
            Self::Outcome(row) => row.body.as_mut(),
            Self::Start(_) | Self::End(_) | Self::Event(_) => None,
        }
    }

    /// Its one JSON form, of which its digest is made.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Start(row) => serde_json::to_vec(row),
            Self::End(row) => serde_json::to_vec(row),
            Self::Prompt(row) => serde_json::to_vec(row),
            Self::Tokens(row) => serde_json::to_vec(row),
            Self::Thought(row) => serde_json::to_vec(row),
            Self::ToolUse(row) => serde_json::to_vec(row),
            Self::Outcome(row) => serde_json::to_vec(row),
            Self::Event(row) => serde_json::to_vec(row),
        }
    }
}

/// A text that belongs to a row, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Body {
    /// Of what is kept: its digest under its person's key, hexadecimal. `None` where nothing is kept, not even that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// Size of the whole text, bytes.
    pub bytes: u64,
    /// What is kept of it.
    pub kept: Kept,
}

/// What is kept of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kept {
    /// Its size alone.
    #[default]
    None,
    /// Its digest.
    Digest,
    /// Its text without what must not be kept.
    Redacted,
    /// Its text.
    Full,
    /// Its beginning: it was larger than one text may be.
    Cut,
    /// Its size alone: there was no room when it came, or too much came at once.
    Dropped,
}

impl Kept {
    /// The word for it in the store.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Digest => "digest",
            Self::Redacted => "redacted",
            Self::Full => "full",
            Self::Cut => "cut",
            Self::Dropped => "dropped",
        }
    }
}

/// Who, in a way that can be taken out of a row without breaking the chain: a commitment that stays, and the names of
/// rows that tell who it was, until identities are pruned.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Who {
    /// A digest, under the person's key, of the person, the user's name, the key, the groups and this row's own id.
    pub proof: String,
    /// Whose content key is used (`people`); `None` once pruned.
    pub person: Option<String>,
    /// Which key and groups (`callers`); `None` once pruned.
    pub caller: Option<String>,
}

fn read_who(row: &AnyRow) -> Result<Option<Who>, sqlx::Error> {
    let (person, caller): (Option<String>, Option<String>) = (row.try_get("person")?, row.try_get("caller")?);
    match row.try_get("who")? {
        Some(proof) => Ok(Some(Who { proof, person, caller })),
        None if person.is_none() && caller.is_none() => Ok(None),
        None => Err(sqlx::Error::ColumnDecode {
            index: "who".to_owned(),
            source: "it names somebody without proof".into(),
        }),
    }
}
