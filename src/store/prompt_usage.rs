//! `prompt_usage`: the last text that the user wrote.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::Row;

use super::Store;
use super::column::{count, read_count, read_parsed, text_in_json, time_in_json, time_text};
use crate::domain::InterceptionId;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PromptUsage {
    /// Where it belongs.
    #[serde(serialize_with = "text_in_json")]
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u64,
    /// The text.
    pub prompt: String,
    /// When it was recorded.
    #[serde(serialize_with = "time_in_json")]
    pub recorded_at: Timestamp,
}

/// Writes one row; a second time changes nothing.
pub async fn insert(connection: &mut AnyConnection, row: &PromptUsage) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO old_prompt_usage (interception_id, seq, prompt, recorded_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (interception_id, seq) DO NOTHING",
    )
    .bind(row.interception_id.to_string())
    .bind(count(row.seq))
    .bind(&row.prompt)
    .bind(time_text(row.recorded_at))
    .execute(connection)
    .await
    .map(drop)
}

/// All of one interception, in order.
pub async fn of(store: &Store, id: InterceptionId) -> Result<Vec<PromptUsage>, sqlx::Error> {
    sqlx::query("SELECT * FROM old_prompt_usage WHERE interception_id = $1 ORDER BY seq")
        .bind(id.to_string())
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(|row| {
            Ok(PromptUsage {
                interception_id: id,
                seq: read_count(row, "seq")?,
                prompt: row.try_get("prompt")?,
                recorded_at: read_parsed(row, "recorded_at")?,
            })
        })
        .collect()
}
