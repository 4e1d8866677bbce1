//! `model_thought`: what the model thought in one round, as far as its provider shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::{micros, read_body, read_number, read_parsed};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
    pub round: u32,
    /// The text.
    pub body: Body,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

pub(in crate::store) const INSERT: &str = "INSERT INTO model_thought \
    (interception_id, seq, round, content, bytes, kept, recorded_at) \
    SELECT value->>'interception_id', CAST(value->>'seq' AS BIGINT), CAST(value->>'round' AS BIGINT), \
    value->'body'->>'id', CAST(value->'body'->>'bytes' AS BIGINT), value->'body'->>'kept', value->>'recorded_at' \
    FROM json_each($rows) WHERE true ON CONFLICT (interception_id, seq) DO NOTHING";

pub(super) fn read(row: &AnyRow) -> Result<Thought, sqlx::Error> {
    Ok(Thought {
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
        round: read_number(row, "round")?,
        body: read_body(row)?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}
