//! `token_usage`: tokens by class, one row a round.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Store;
use super::column::{count, read_count, read_parsed, read_round, text_in_json, time_in_json, time_text};
use crate::domain::{InterceptionId, Usage};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TokenUsage {
    /// Where it belongs.
    #[serde(serialize_with = "text_in_json")]
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u64,
    /// The round, from 1.
    pub round: u32,
    /// The answering model.
    pub model: String,
    /// The provider's id of the answer.
    pub response_id: String,
    /// Tokens by class.
    #[serde(with = "UsageInJson")]
    pub usage: Usage,
    /// When it was recorded.
    #[serde(serialize_with = "time_in_json")]
    pub recorded_at: Timestamp,
}

/// How [`Usage`] stands in JSON.
#[derive(Serialize)]
#[serde(remote = "Usage")]
struct UsageInJson {
    input: u64,
    output: u64,
    cache_read: u64,
    cache_write_short: u64,
    cache_write_long: u64,
    reasoning: u64,
}

/// Writes one row; a second time changes nothing.
pub async fn insert(connection: &mut AnyConnection, row: &TokenUsage) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO old_token_usage (interception_id, seq, round, model, response_id, input, output, cache_read, \
         cache_write_short, cache_write_long, reasoning, recorded_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (interception_id, seq) DO NOTHING",
    )
    .bind(row.interception_id.to_string())
    .bind(count(row.seq))
    .bind(i64::from(row.round))
    .bind(&row.model)
    .bind(&row.response_id)
    .bind(count(row.usage.input))
    .bind(count(row.usage.output))
    .bind(count(row.usage.cache_read))
    .bind(count(row.usage.cache_write_short))
    .bind(count(row.usage.cache_write_long))
    .bind(count(row.usage.reasoning))
    .bind(time_text(row.recorded_at))
    .execute(connection)
    .await
    .map(drop)
}

/// All of one interception, in order.
pub async fn of(store: &Store, id: InterceptionId) -> Result<Vec<TokenUsage>, sqlx::Error> {
    sqlx::query("SELECT * FROM old_token_usage WHERE interception_id = $1 ORDER BY seq")
        .bind(id.to_string())
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(|row| token_usage(id, row))
        .collect()
}

fn token_usage(id: InterceptionId, row: &AnyRow) -> Result<TokenUsage, sqlx::Error> {
    Ok(TokenUsage {
        interception_id: id,
        seq: read_count(row, "seq")?,
        round: read_round(row)?,
        model: row.try_get("model")?,
        response_id: row.try_get("response_id")?,
        usage: Usage {
            input: read_count(row, "input")?,
            output: read_count(row, "output")?,
            cache_read: read_count(row, "cache_read")?,
            cache_write_short: read_count(row, "cache_write_short")?,
            cache_write_long: read_count(row, "cache_write_long")?,
            reasoning: read_count(row, "reasoning")?,
        },
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}
