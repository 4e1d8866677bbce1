//! `interceptions`: one row a client request, from its start to its one end.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Store;
use super::column::{
    list_text, read_count, read_list, read_parsed, read_time_if_any, text_in_json, time_in_json, time_text,
};
use crate::domain::InterceptionId;

/// What is known when an interception begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Start {
    /// The interception.
    #[serde(serialize_with = "text_in_json")]
    pub id: InterceptionId,
    /// The name of the caller's key.
    pub caller_key: String,
    /// The user behind it.
    pub caller_user: String,
    /// That user's groups.
    pub caller_groups: Vec<String>,
    /// The provider's name in the configuration.
    pub provider: String,
    /// `chat`, `responses` or `messages`.
    pub dialect: String,
    /// The requested model.
    pub model: String,
    /// The client program.
    pub client: String,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// Whether tools were injected, or why not.
    pub injection: String,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
    /// Types of the tools that the client let the provider run.
    pub hosted: Vec<String>,
    /// What became of earlier turns of the conversation on the way up, in words.
    pub continuity: Vec<String>,
    /// The interception whose request came again, where this one goes on with it.
    pub repeats: Option<String>,
    /// When it began.
    #[serde(serialize_with = "time_in_json")]
    pub started_at: Timestamp,
}

/// What is known when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct End {
    /// The interception.
    #[serde(skip)]
    pub id: InterceptionId,
    /// When it ended, or when that was found out.
    #[serde(serialize_with = "time_in_json")]
    pub ended_at: Timestamp,
    /// One of the audit's words for it.
    pub outcome: String,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The stop reason that the client got.
    pub stop_reason: Option<String>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interception {
    /// Its start.
    #[serde(flatten)]
    pub start: Start,
    /// Its end; `None` while it runs.
    pub end: Option<End>,
}

/// One row with what belongs to it counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The row.
    #[serde(flatten)]
    pub interception: Interception,
    /// Injected calls that ran.
    pub injected_calls: u64,
    /// Calls of the client's own tools.
    pub client_calls: u64,
    /// All input tokens, cached ones included.
    pub input_tokens: u64,
    /// All output tokens.
    pub output_tokens: u64,
}

/// Writes the start; a second time changes nothing.
pub async fn insert(connection: &mut AnyConnection, start: &Start) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO old_interceptions (id, caller_key, caller_user, caller_groups, provider, dialect, model, \
         client, client_session, injection, left_out, hosted, continuity, repeats, started_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING",
    )
    .bind(start.id.to_string())
    .bind(&start.caller_key)
    .bind(&start.caller_user)
    .bind(list_text(&start.caller_groups))
    .bind(&start.provider)
    .bind(&start.dialect)
    .bind(&start.model)
    .bind(&start.client)
    .bind(&start.client_session)
    .bind(&start.injection)
    .bind(list_text(&start.left_out))
    .bind(list_text(&start.hosted))
    .bind(list_text(&start.continuity))
    .bind(&start.repeats)
    .bind(time_text(start.started_at))
    .execute(connection)
    .await
    .map(drop)
}

/// Writes the end, unless there is one.
pub async fn end(connection: &mut AnyConnection, end: &End) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE old_interceptions SET ended_at = $2, outcome = $3, status = $4, error = $5, stop_reason = $6 \
         WHERE id = $1 AND outcome IS NULL",
    )
    .bind(end.id.to_string())
    .bind(time_text(end.ended_at))
    .bind(&end.outcome)
    .bind(end.status.map(i64::from))
    .bind(&end.error)
    .bind(&end.stop_reason)
    .execute(connection)
    .await
    .map(drop)
}

/// Ends all that are open; says how many there were.
pub async fn end_open(
    connection: &mut AnyConnection,
    ended_at: Timestamp,
    outcome: &str,
    error: &str,
) -> Result<u64, sqlx::Error> {
    sqlx::query("UPDATE old_interceptions SET ended_at = $1, outcome = $2, error = $3 WHERE outcome IS NULL")
        .bind(time_text(ended_at))
        .bind(outcome)
        .bind(error)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

/// One interception.
pub async fn get(store: &Store, id: InterceptionId) -> Result<Option<Interception>, sqlx::Error> {
    sqlx::query("SELECT * FROM old_interceptions WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(store.readers())
        .await?
        .map(|row| interception(&row))
        .transpose()
}

/// The ids that begin or end with this piece of an id, at most `limit`, newest first.
pub async fn ids_like(store: &Store, piece: &str, limit: u32) -> Result<Vec<InterceptionId>, sqlx::Error> {
    sqlx::query(
        "SELECT id FROM old_interceptions \
         WHERE SUBSTR(id, 1, LENGTH($1)) = $1 OR SUBSTR(id, LENGTH(id) - LENGTH($1) + 1) = $1 \
         ORDER BY id DESC LIMIT $2",
    )
    .bind(piece)
    .bind(i64::from(limit))
    .fetch_all(store.readers())
    .await?
    .iter()
    .map(|row| read_parsed(row, "id"))
    .collect()
}

/// The newest interceptions, of one user or of all, newest first.
pub async fn newest(store: &Store, user: Option<&str>, limit: u32) -> Result<Vec<Summary>, sqlx::Error> {
    sqlx::query(
        "SELECT i.*, \
         (SELECT COUNT(*) FROM old_tool_usage t WHERE t.interception_id = i.id AND t.injected = 1 \
          AND t.intended_at IS NOT NULL AND COALESCE(t.outcome, '') <> 'not_executed') AS injected_calls, \
         (SELECT COUNT(*) FROM old_tool_usage t WHERE t.interception_id = i.id AND t.injected = 0) AS client_calls, \
         (SELECT CAST(COALESCE(SUM(u.input + u.cache_read + u.cache_write_short + u.cache_write_long), 0) \
          AS BIGINT) FROM old_token_usage u WHERE u.interception_id = i.id) AS input_tokens, \
         (SELECT CAST(COALESCE(SUM(u.output), 0) AS BIGINT) FROM old_token_usage u \
          WHERE u.interception_id = i.id) AS output_tokens \
         FROM old_interceptions i WHERE ($1 IS NULL OR i.caller_user = $1) \
         ORDER BY i.started_at DESC, i.id DESC LIMIT $2",
    )
    .bind(user)
    .bind(i64::from(limit))
    .fetch_all(store.readers())
    .await?
    .iter()
    .map(summary)
    .collect()
}

fn summary(row: &AnyRow) -> Result<Summary, sqlx::Error> {
    Ok(Summary {
        interception: interception(row)?,
        injected_calls: read_count(row, "injected_calls")?,
        client_calls: read_count(row, "client_calls")?,
        input_tokens: read_count(row, "input_tokens")?,
        output_tokens: read_count(row, "output_tokens")?,
    })
}

fn interception(row: &AnyRow) -> Result<Interception, sqlx::Error> {
    let start = Start {
        id: read_parsed(row, "id")?,
        caller_key: row.try_get("caller_key")?,
        caller_user: row.try_get("caller_user")?,
        caller_groups: read_list(row, "caller_groups")?,
        provider: row.try_get("provider")?,
        dialect: row.try_get("dialect")?,
        model: row.try_get("model")?,
        client: row.try_get("client")?,
        client_session: row.try_get("client_session")?,
        injection: row.try_get("injection")?,
        left_out: read_list(row, "left_out")?,
        hosted: read_list(row, "hosted")?,
        continuity: read_list(row, "continuity")?,
        repeats: row.try_get("repeats")?,
        started_at: read_parsed(row, "started_at")?,
    };
    let end = match (row.try_get::<Option<String>, _>("outcome")?, read_time_if_any(row, "ended_at")?) {
        (Some(outcome), Some(ended_at)) => Some(End {
            id: start.id,
            ended_at,
            outcome,
            status: row.try_get::<Option<i64>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
            error: row.try_get("error")?,
            stop_reason: row.try_get("stop_reason")?,
        }),
        _ => None,
    };
    Ok(Interception { start, end })
}
