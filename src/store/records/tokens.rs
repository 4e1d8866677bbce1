//! `token_usage`: one round of an interception: its tokens by class, its answer, its times.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::{
    micros, read_body, read_count, read_count_if_any, read_number, read_number_if_any, read_parsed,
};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
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
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written to a cache, short-lived.
    pub cache_write_short: u64,
    /// Written to a cache, long-lived.
    pub cache_write_long: u64,
    /// Of the output, tokens of thinking.
    pub reasoning: u64,
    /// What the model said to the client.
    pub body: Body,
    /// From the request to the first byte of the answer, microseconds.
    pub first_byte_us: Option<u64>,
    /// From the request to the last byte, microseconds.
    pub duration_us: Option<u64>,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

pub(in crate::store) const INSERT: &str = "INSERT INTO token_usage \
    (interception_id, seq, round, model, response_id, request_id, status, stop_reason, input, output, cache_read, \
    cache_write_short, cache_write_long, reasoning, content, bytes, kept, first_byte_us, duration_us, recorded_at) \
    SELECT value->>'interception_id', CAST(value->>'seq' AS BIGINT), CAST(value->>'round' AS BIGINT), \
    value->>'model', value->>'response_id', value->>'request_id', CAST(value->>'status' AS BIGINT), \
    value->>'stop_reason', CAST(value->>'input' AS BIGINT), CAST(value->>'output' AS BIGINT), \
    CAST(value->>'cache_read' AS BIGINT), CAST(value->>'cache_write_short' AS BIGINT), \
    CAST(value->>'cache_write_long' AS BIGINT), CAST(value->>'reasoning' AS BIGINT), value->'body'->>'id', \
    CAST(value->'body'->>'bytes' AS BIGINT), value->'body'->>'kept', CAST(value->>'first_byte_us' AS BIGINT), \
    CAST(value->>'duration_us' AS BIGINT), value->>'recorded_at' \
    FROM json_each($rows) WHERE true ON CONFLICT (interception_id, seq) DO NOTHING";

pub(super) fn read(row: &AnyRow) -> Result<Tokens, sqlx::Error> {
    Ok(Tokens {
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
        round: read_number(row, "round")?,
        model: row.try_get("model")?,
        response_id: row.try_get("response_id")?,
        request_id: row.try_get("request_id")?,
        status: read_number_if_any(row, "status")?,
        stop_reason: row.try_get("stop_reason")?,
        input: read_count(row, "input")?,
        output: read_count(row, "output")?,
        cache_read: read_count(row, "cache_read")?,
        cache_write_short: read_count(row, "cache_write_short")?,
        cache_write_long: read_count(row, "cache_write_long")?,
        reasoning: read_count(row, "reasoning")?,
        body: read_body(row)?,
        first_byte_us: read_count_if_any(row, "first_byte_us")?,
        duration_us: read_count_if_any(row, "duration_us")?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}
