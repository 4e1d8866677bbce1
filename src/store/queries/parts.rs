//! What belongs to one interception, and where its texts are. They are sealed; what opens them is the audit's.

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::read_parsed;
use super::super::records::{Kept, prompts::Role};
use super::compose::{number, small};
use super::tool_calls::calls_of;
use super::{Sql, Tokens, ToolCall};
use crate::domain::InterceptionId;

/// Where a text is, and what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextPlace {
    /// Its id in `content`.
    pub id: Option<String>,
    /// Size of the whole text, bytes.
    pub bytes: u64,
    /// What is kept of it.
    pub kept: Kept,
}

impl TextPlace {
    /// `None` where there is no text.
    pub(super) fn read(row: &AnyRow, id: &str, bytes: &str, kept: &str) -> Result<Option<Self>, sqlx::Error> {
        let Some(word) = row.try_get::<Option<String>, _>(kept)? else { return Ok(None) };
        let kept = [Kept::None, Kept::Digest, Kept::Redacted, Kept::Full, Kept::Cut, Kept::Dropped]
            .into_iter()
            .find(|kept| kept.word() == word)
            .ok_or_else(|| {
                sqlx::Error::Decode(format!("{word:?} is not what can be kept of a text").into())
            })?;
        Ok(Some(Self { id: row.try_get(id)?, bytes: number(row, bytes)?.unwrap_or_default(), kept }))
    }
}

/// A prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PromptPart {
    /// Its place among the interception's records.
    pub seq: u32,
    /// Whose words.
    pub role: Role,
    /// The text.
    pub text: TextPlace,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoundPart {
    /// Its place among the interception's records.
    pub seq: u32,
    /// Its number, from 1.
    pub round: u32,
    /// The answering model.
    pub model: String,
    /// The provider's id of the answer.
    pub response_id: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// The stop reason in the provider's words.
    pub stop_reason: Option<String>,
    /// Its tokens.
    pub tokens: Tokens,
    /// Of the tokens written to caches, those that stay long.
    pub cache_write_long: u64,
    /// What the model said to the client.
    pub text: TextPlace,
    /// To the first byte of the answer, microseconds.
    pub first_byte_us: Option<u64>,
    /// To the last byte, microseconds.
    pub duration_us: Option<u64>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A thought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThoughtPart {
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
    pub round: u32,
    /// The text.
    pub text: TextPlace,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// All that belongs to one interception, each kind in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// Whose content it is; `None` once identities are pruned.
    pub person: Option<String>,
    /// What was said to the model.
    pub prompts: Vec<PromptPart>,
    /// The rounds.
    pub rounds: Vec<RoundPart>,
    /// What the model thought.
    pub thoughts: Vec<ThoughtPart>,
    /// The tool calls.
    pub calls: Vec<ToolCall>,
}

impl Parts {
    /// The ids of all texts that are kept.
    pub fn text_ids(&self) -> Vec<&str> {
        let prompts = self.prompts.iter().map(|part| &part.text);
        let rounds = self.rounds.iter().map(|part| &part.text);
        let thoughts = self.thoughts.iter().map(|part| &part.text);
        let calls = self.calls.iter().flat_map(|call| std::iter::once(&call.arguments).chain(&call.result));
        let places = prompts.chain(rounds).chain(thoughts).chain(calls);
        places.filter_map(|place| place.id.as_deref()).collect()
    }
}

/// What belongs to this interception.
pub async fn parts(store: &Store, id: InterceptionId) -> Result<Parts, sqlx::Error> {
    let of = |table: &str| {
        let mut sql = Sql::new(&format!("SELECT * FROM {table} WHERE true"));
        sql.and("interception_id =", id.to_string()).push(" ORDER BY seq");
        sql
    };
    let mut person = Sql::new("SELECT person FROM interceptions WHERE true");
    person.and("id =", id.to_string());
    let person = person.fetch(store, |row| row.try_get::<Option<String>, _>("person")).await?;
    Ok(Parts {
        person: person.into_iter().next().flatten(),
        prompts: of("prompt_usage").fetch(store, prompt).await?,
        rounds: of("token_usage").fetch(store, round).await?,
        thoughts: of("model_thought").fetch(store, thought).await?,
        calls: calls_of(store, id).await?,
    })
}

fn prompt(row: &AnyRow) -> Result<PromptPart, sqlx::Error> {
    Ok(PromptPart {
        seq: seq(row)?,
        role: if row.try_get::<String, _>("role")? == "system" { Role::System } else { Role::User },
        text: text(row)?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}

fn round(row: &AnyRow) -> Result<RoundPart, sqlx::Error> {
    let count = |name| number(row, name).map(Option::unwrap_or_default);
    let cache_write_long = count("cache_write_long")?;
    Ok(RoundPart {
        seq: seq(row)?,
        round: small(row, "round")?.unwrap_or_default(),
        model: row.try_get("model")?,
        response_id: row.try_get("response_id")?,
        request_id: row.try_get("request_id")?,
        status: small(row, "status")?,
        stop_reason: row.try_get("stop_reason")?,
        tokens: Tokens {
            input: count("input")?,
            output: count("output")?,
            cache_read: count("cache_read")?,
            cache_write: count("cache_write_short")? + cache_write_long,
            reasoning: count("reasoning")?,
        },
        cache_write_long,
        text: text(row)?,
        first_byte_us: number(row, "first_byte_us")?,
        duration_us: number(row, "duration_us")?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}

fn thought(row: &AnyRow) -> Result<ThoughtPart, sqlx::Error> {
    Ok(ThoughtPart {
        seq: seq(row)?,
        round: small(row, "round")?.unwrap_or_default(),
        text: text(row)?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}

fn seq(row: &AnyRow) -> Result<u32, sqlx::Error> {
    small(row, "seq").map(Option::unwrap_or_default)
}

fn text(row: &AnyRow) -> Result<TextPlace, sqlx::Error> {
    TextPlace::read(row, "content", "bytes", "kept").map(Option::unwrap_or_default)
}
