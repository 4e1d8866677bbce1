//! `model_thought`: what the model thought in a round, as far as the provider shows it.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::Row;

use super::Store;
use super::column::{count, read_count, read_parsed, read_round, text_in_json, time_in_json, time_text};
use crate::domain::InterceptionId;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelThought {
    /// Where it belongs.
    #[serde(serialize_with = "text_in_json")]
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u64,
    /// The round, from 1.
    pub round: u32,
    /// The text.
    pub thought: String,
    /// When it was recorded.
    #[serde(serialize_with = "time_in_json")]
    pub recorded_at: Timestamp,
}

/// Writes one row; a second time changes nothing.
pub async fn insert(connection: &mut AnyConnection, row: &ModelThought) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO old_model_thought (interception_id, seq, round, thought, recorded_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (interception_id, seq) DO NOTHING",
    )
    .bind(row.interception_id.to_string())
    .bind(count(row.seq))
    .bind(i64::from(row.round))
    .bind(&row.thought)
    .bind(time_text(row.recorded_at))
    .execute(connection)
    .await
    .map(drop)
}

/// All of one interception, in order.
pub async fn of(store: &Store, id: InterceptionId) -> Result<Vec<ModelThought>, sqlx::Error> {
    sqlx::query("SELECT * FROM old_model_thought WHERE interception_id = $1 ORDER BY seq")
        .bind(id.to_string())
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(|row| {
            Ok(ModelThought {
                interception_id: id,
                seq: read_count(row, "seq")?,
                round: read_round(row)?,
                thought: row.try_get("thought")?,
                recorded_at: read_parsed(row, "recorded_at")?,
            })
        })
        .collect()
}
