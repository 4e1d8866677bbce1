//! `tool_usage`: one row a tool call, the intent first, its outcome later.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Store;
use super::column::{
    count, read_count, read_count_if_any, read_parsed, read_round, read_time_if_any, text_in_json,
    time_if_any_in_json, time_in_json, time_text,
};
use crate::domain::{InterceptionId, ToolUseId};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolUsage {
    /// The call.
    #[serde(serialize_with = "text_in_json")]
    pub id: ToolUseId,
    /// Where it belongs.
    #[serde(serialize_with = "text_in_json")]
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u64,
    /// The round, from 1.
    pub round: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool's name as the model sees it.
    pub tool: String,
    /// The server's name in the configuration.
    pub server: Option<String>,
    /// The tool's name as its server lists it.
    pub server_tool: Option<String>,
    /// The server's URL.
    pub server_url: Option<String>,
    /// A tool of the catalogue, not the client's.
    pub injected: bool,
    /// How a call that runs here came to be; `None` for all others.
    pub via: Option<String>,
    /// The arguments as JSON text, or as the model wrote them.
    pub arguments: String,
    /// The policy rule that decided.
    pub rule: Option<String>,
    /// When the gateway recorded that it is about to run the call; `None` where it never meant to.
    #[serde(serialize_with = "time_if_any_in_json")]
    pub intended_at: Option<Timestamp>,
    /// How it went; `None` while the call runs.
    pub outcome: Option<Outcome>,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The call.
    #[serde(skip)]
    pub id: ToolUseId,
    /// One of the audit's words for it.
    pub outcome: String,
    /// What came back, as far as it is kept.
    pub result: Option<String>,
    /// Size of the whole result, bytes.
    pub result_bytes: Option<u64>,
    /// Whether the model got less than the whole result.
    pub truncated: bool,
    /// From the call to the result, milliseconds.
    pub duration_ms: Option<u64>,
    /// When the outcome was known.
    #[serde(serialize_with = "time_in_json")]
    pub ended_at: Timestamp,
}

/// Writes one row, with its outcome if it has one; a second time changes nothing.
pub async fn insert(connection: &mut AnyConnection, row: &ToolUsage) -> Result<(), sqlx::Error> {
    let outcome = row.outcome.as_ref();
    sqlx::query(
        "INSERT INTO old_tool_usage (id, interception_id, seq, round, call_id, tool, server, server_tool, \
         server_url, injected, arguments, rule, intended_at, outcome, result, result_bytes, truncated, \
         duration_ms, ended_at, via) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(row.id.to_string())
    .bind(row.interception_id.to_string())
    .bind(count(row.seq))
    .bind(i64::from(row.round))
    .bind(&row.call_id)
    .bind(&row.tool)
    .bind(&row.server)
    .bind(&row.server_tool)
    .bind(&row.server_url)
    .bind(i64::from(row.injected))
    .bind(&row.arguments)
    .bind(&row.rule)
    .bind(row.intended_at.map(time_text))
    .bind(outcome.map(|outcome| outcome.outcome.as_str()))
    .bind(outcome.and_then(|outcome| outcome.result.as_deref()))
    .bind(outcome.and_then(|outcome| outcome.result_bytes).map(count))
    .bind(outcome.map_or(0, |outcome| i64::from(outcome.truncated)))
    .bind(outcome.and_then(|outcome| outcome.duration_ms).map(count))
    .bind(outcome.map(|outcome| time_text(outcome.ended_at)))
    .bind(&row.via)
    .execute(connection)
    .await
    .map(drop)
}

/// Writes the outcome of a call, unless it has one.
pub async fn settle(connection: &mut AnyConnection, outcome: &Outcome) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE old_tool_usage SET outcome = $2, result = $3, result_bytes = $4, truncated = $5, \
         duration_ms = $6, ended_at = $7 WHERE id = $1 AND outcome IS NULL",
    )
    .bind(outcome.id.to_string())
    .bind(&outcome.outcome)
    .bind(&outcome.result)
    .bind(outcome.result_bytes.map(count))
    .bind(i64::from(outcome.truncated))
    .bind(outcome.duration_ms.map(count))
    .bind(time_text(outcome.ended_at))
    .execute(connection)
    .await
    .map(drop)
}

/// Gives this outcome to all calls without one; says how many there were.
pub async fn settle_open(
    connection: &mut AnyConnection,
    ended_at: Timestamp,
    outcome: &str,
) -> Result<u64, sqlx::Error> {
    sqlx::query("UPDATE old_tool_usage SET outcome = $1, ended_at = $2 WHERE outcome IS NULL")
        .bind(outcome)
        .bind(time_text(ended_at))
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

/// All of one interception, in the model's order.
pub async fn of(store: &Store, id: InterceptionId) -> Result<Vec<ToolUsage>, sqlx::Error> {
    sqlx::query("SELECT * FROM old_tool_usage WHERE interception_id = $1 ORDER BY round, seq")
        .bind(id.to_string())
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(|row| tool_usage(id, row))
        .collect()
}

fn tool_usage(interception_id: InterceptionId, row: &AnyRow) -> Result<ToolUsage, sqlx::Error> {
    let id = read_parsed(row, "id")?;
    Ok(ToolUsage {
        id,
        interception_id,
        seq: read_count(row, "seq")?,
        round: read_round(row)?,
        call_id: row.try_get("call_id")?,
        tool: row.try_get("tool")?,
        server: row.try_get("server")?,
        server_tool: row.try_get("server_tool")?,
        server_url: row.try_get("server_url")?,
        injected: row.try_get::<i64, _>("injected")? == 1,
        via: row.try_get("via")?,
        arguments: row.try_get("arguments")?,
        rule: row.try_get("rule")?,
        intended_at: read_time_if_any(row, "intended_at")?,
        outcome: outcome(id, row)?,
    })
}

fn outcome(id: ToolUseId, row: &AnyRow) -> Result<Option<Outcome>, sqlx::Error> {
    let (Some(outcome), Some(ended_at)) = (row.try_get("outcome")?, read_time_if_any(row, "ended_at")?)
    else {
        return Ok(None);
    };
    Ok(Some(Outcome {
        id,
        outcome,
        result: row.try_get("result")?,
        result_bytes: read_count_if_any(row, "result_bytes")?,
        truncated: row.try_get::<i64, _>("truncated")? == 1,
        duration_ms: read_count_if_any(row, "duration_ms")?,
        ended_at,
    }))
}
