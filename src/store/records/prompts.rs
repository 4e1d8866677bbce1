//! `prompt_usage`: what was said to the model.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::{micros, read_body, read_number, read_parsed, read_word};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// Whose words.
    pub role: Role,
    /// The text.
    pub body: Body,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

/// Whose words a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The application's instructions.
    System,
    /// The last that the user wrote.
    User,
}

pub(in crate::store) const INSERT: &str = "INSERT INTO prompt_usage \
    (interception_id, seq, role, content, bytes, kept, recorded_at) \
    SELECT value->>'interception_id', CAST(value->>'seq' AS BIGINT), value->>'role', value->'body'->>'id', \
    CAST(value->'body'->>'bytes' AS BIGINT), value->'body'->>'kept', value->>'recorded_at' \
    FROM json_each($rows) WHERE true ON CONFLICT (interception_id, seq) DO NOTHING";

pub(super) fn read(row: &AnyRow) -> Result<Prompt, sqlx::Error> {
    Ok(Prompt {
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
        role: read_word(row, "role")?,
        body: read_body(row)?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}
