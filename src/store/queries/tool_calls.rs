//! Tool calls, with whose they were.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::{micros, micros_if_any, read_parsed, read_time_if_any, read_word};
use super::super::records::Body;
use super::compose::{number, small};
use super::conditions::Conditions;
use super::{Cursor, Filter, Page, PageRequest, RUNNING, Sql};
use crate::domain::{InterceptionId, ToolUseId};

/// One tool call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToolCall {
    /// Its id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: ToolUseId,
    /// The interception in which it was made.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The conversation.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub thread: InterceptionId,
    /// The caller's user; null once identities are pruned or the person is erased.
    pub caller_user: Option<String>,
    /// The name of the caller's key.
    pub caller_key: Option<String>,
    /// The provider.
    pub provider: String,
    /// The requested model.
    pub model: String,
    /// The client program.
    pub client: String,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// The round, from 1.
    pub round: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool's name as the model sees it.
    pub tool: String,
    /// The MCP server's name.
    pub server: Option<String>,
    /// The tool's name as its server lists it.
    pub server_tool: Option<String>,
    /// The server's URL, or `stdio:` and its command.
    pub server_url: Option<String>,
    /// The digest of the tool's definition, as it stands in `tools.lock`.
    pub definition: Option<String>,
    /// A tool of the catalogue, not the client's.
    pub injected: bool,
    /// How a call that runs here came to be.
    pub via: Option<String>,
    /// The policy rule that decided.
    pub rule: Option<String>,
    /// The digest of the policy that the rule belongs to.
    pub policy: Option<String>,
    /// Who approved the call.
    pub approver: Option<String>,
    /// When the gateway recorded that it is about to run it.
    #[serde(with = "micros_if_any")]
    #[schemars(with = "Option<String>")]
    pub intended_at: Option<Timestamp>,
    /// When it was recorded.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub recorded_at: Timestamp,
    /// How it went, `running`, or `unknown` where nobody saw how it went.
    pub outcome: String,
    /// Where it has an outcome.
    pub end: Option<CallEnded>,
    /// Where its arguments are.
    #[serde(skip)]
    pub arguments: Body,
    /// Where its result is.
    #[serde(skip)]
    pub result: Option<Body>,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CallEnded {
    /// When its outcome was known.
    #[serde(with = "micros_if_any")]
    #[schemars(with = "Option<String>")]
    pub ended_at: Option<Timestamp>,
    /// From the call to the result, microseconds.
    pub duration_us: Option<u64>,
    /// Size of the whole result, bytes.
    pub result_bytes: Option<u64>,
    /// Whether the model got less than the whole result.
    pub truncated: bool,
}

const ROWS: &str = "SELECT t.*, i.person, i.thread, i.provider, i.model, i.client, i.client_session, \
     p.user_name, c.key_name FROM tool_usage t JOIN interceptions i ON i.id = t.interception_id \
     LEFT JOIN people p ON p.id = i.person LEFT JOIN callers c ON c.id = i.caller WHERE ";
/// Both databases join the same; SQLite begins with the table that comes first.
const CALLS_FIRST: &str =
    "SELECT t.id FROM tool_usage t CROSS JOIN interceptions i WHERE t.interception_id = i.id";
const INTERCEPTIONS_FIRST: &str =
    "SELECT t.id FROM interceptions i CROSS JOIN tool_usage t WHERE t.interception_id = i.id";

/// A page of calls.
pub async fn tool_calls(
    store: &Store,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<ToolCall>, sqlx::Error> {
    let conditions = Conditions::of(store, filter).await?;
    let first = if conditions.finds_interceptions_first() { INTERCEPTIONS_FIRST } else { CALLS_FIRST };
    let mut keys = Sql::new(first);
    conditions.restrict_calls(&mut keys);
    let place = |row: &ToolCall| Cursor::new(row.recorded_at, row.id);
    let rows = format!("{ROWS} t.id IN (");
    Page::fetch(store, keys, &rows, ("t.recorded_at", "t.id"), request, read, place).await
}

/// The calls of one interception, in order.
pub async fn calls_of(store: &Store, id: InterceptionId) -> Result<Vec<ToolCall>, sqlx::Error> {
    let mut sql = Sql::new(ROWS);
    sql.push("t.interception_id = ").value(id.to_string()).push(" ORDER BY t.seq");
    sql.fetch(store, read).await
}

fn read(row: &AnyRow) -> Result<ToolCall, sqlx::Error> {
    let outcome = row.try_get::<Option<String>, _>("outcome")?;
    let end = match &outcome {
        Some(_) => Some(CallEnded {
            ended_at: read_time_if_any(row, "ended_at")?,
            duration_us: number(row, "duration_us")?,
            result_bytes: number(row, "result_bytes")?,
            truncated: number(row, "truncated")? == Some(1),
        }),
        None => None,
    };
    Ok(ToolCall {
        id: read_parsed(row, "id")?,
        interception_id: read_parsed(row, "interception_id")?,
        seq: small(row, "seq")?.unwrap_or_default(),
        thread: read_parsed(row, "thread")?,
        caller_user: row.try_get("user_name")?,
        caller_key: row.try_get("key_name")?,
        provider: row.try_get("provider")?,
        model: row.try_get("model")?,
        client: row.try_get("client")?,
        client_session: row.try_get("client_session")?,
        round: small(row, "round")?.unwrap_or_default(),
        call_id: row.try_get("call_id")?,
        tool: row.try_get("tool")?,
        server: row.try_get("server")?,
        server_tool: row.try_get("server_tool")?,
        server_url: row.try_get("server_url")?,
        definition: row.try_get("definition")?,
        injected: number(row, "injected")? == Some(1),
        via: row.try_get("via")?,
        rule: row.try_get("rule")?,
        policy: row.try_get("policy")?,
        approver: row.try_get("approver")?,
        intended_at: read_time_if_any(row, "intended_at")?,
        recorded_at: read_parsed(row, "recorded_at")?,
        outcome: outcome.unwrap_or_else(|| RUNNING.to_owned()),
        end,
        arguments: text(row, "content", "bytes", "kept")?.unwrap_or_default(),
        result: text(row, "result_content", "result_bytes", "result_kept")?,
    })
}

/// The text whose id, size and word stand in these columns; `None` where there is none.
fn text(row: &AnyRow, id: &str, bytes: &str, kept: &str) -> Result<Option<Body>, sqlx::Error> {
    if row.try_get::<Option<String>, _>(kept)?.is_none() {
        return Ok(None);
    }
    let bytes = number(row, bytes)?.unwrap_or_default();
    Ok(Some(Body { id: row.try_get(id)?, bytes, kept: read_word(row, kept)? }))
}
