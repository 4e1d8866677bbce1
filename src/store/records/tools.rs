//! `tool_usage`: one row a tool call, the intent first, its outcome later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Body;
use crate::domain::{InterceptionId, ToolUseId};
use crate::store::column::{
    expect_empty, micros, micros_if_any, read_body, read_count, read_count_if_any, read_flag, read_number,
    read_parsed, read_time_if_any, read_word,
};

/// A call, as it is known before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The call.
    pub id: ToolUseId,
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
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
    /// The server's URL, or `stdio:` and its command.
    pub server_url: Option<String>,
    /// The digest of the tool's definition, as it stands in `tools.lock`.
    pub definition: Option<String>,
    /// A tool of the catalogue, not the client's.
    pub injected: bool,
    /// How a call that runs here came to be; `None` for all others.
    pub via: Option<String>,
    /// The arguments as JSON text, or as the model wrote them.
    pub body: Body,
    /// The policy rule that decided.
    pub rule: Option<String>,
    /// The digest of the policy that the rule belongs to.
    pub policy: Option<String>,
    /// Who approved the call, where somebody had to.
    pub approver: Option<String>,
    /// When the gateway recorded that it is about to run the call; `None` where it never meant to.
    #[serde(with = "micros_if_any")]
    pub intended_at: Option<Timestamp>,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The call.
    pub id: ToolUseId,
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// The call's place among the interception's records.
    pub seq: u32,
    /// One of the audit's words for it.
    pub outcome: String,
    /// What came back; its size is that of the whole result. `None` where nothing did.
    pub body: Option<Body>,
    /// Whether the model got less than the whole result.
    pub truncated: bool,
    /// From the call to the result, microseconds.
    pub duration_us: Option<u64>,
    /// When the outcome was known.
    #[serde(with = "micros")]
    pub ended_at: Timestamp,
}

/// How a call goes to the database.
#[derive(Serialize)]
pub(in crate::store) struct WithOutcome<'a> {
    #[serde(flatten)]
    pub call: &'a ToolUse,
    pub result: Option<&'a Outcome>,
}

pub(in crate::store) const INSERT: &str = "INSERT INTO tool_usage \
    (id, interception_id, seq, round, call_id, tool, server, server_tool, server_url, definition, injected, via, \
    content, bytes, kept, rule, policy, approver, intended_at, recorded_at, \
    outcome, result_content, result_bytes, result_kept, truncated, duration_us, ended_at) \
    SELECT value->>'id', value->>'interception_id', CAST(value->>'seq' AS BIGINT), \
    CAST(value->>'round' AS BIGINT), value->>'call_id', value->>'tool', value->>'server', value->>'server_tool', \
    value->>'server_url', value->>'definition', CAST(CAST(value->>'injected' AS BOOLEAN) AS INTEGER), value->>'via', \
    value->'body'->>'id', CAST(value->'body'->>'bytes' AS BIGINT), value->'body'->>'kept', value->>'rule', \
    value->>'policy', value->>'approver', value->>'intended_at', value->>'recorded_at', \
    value->'result'->>'outcome', value->'result'->'body'->>'id', \
    CAST(value->'result'->'body'->>'bytes' AS BIGINT), value->'result'->'body'->>'kept', \
    CAST(CAST(value->'result'->>'truncated' AS BOOLEAN) AS INTEGER), \
    CAST(value->'result'->>'duration_us' AS BIGINT), value->'result'->>'ended_at' \
    FROM json_each($rows) WHERE true ON CONFLICT (id) DO NOTHING";

/// The outcomes of calls of earlier batches.
pub(in crate::store) const SETTLE: &str = "UPDATE tool_usage SET outcome = value->>'outcome', \
    result_content = value->'body'->>'id', result_bytes = CAST(value->'body'->>'bytes' AS BIGINT), \
    result_kept = value->'body'->>'kept', truncated = CAST(CAST(value->>'truncated' AS BOOLEAN) AS INTEGER), \
    duration_us = CAST(value->>'duration_us' AS BIGINT), ended_at = value->>'ended_at' \
    FROM json_each($rows) WHERE tool_usage.id = value->>'id' AND tool_usage.outcome IS NULL";

pub(super) fn read(row: &AnyRow) -> Result<ToolUse, sqlx::Error> {
    Ok(ToolUse {
        id: read_parsed(row, "id")?,
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
        round: read_number(row, "round")?,
        call_id: row.try_get("call_id")?,
        tool: row.try_get("tool")?,
        server: row.try_get("server")?,
        server_tool: row.try_get("server_tool")?,
        server_url: row.try_get("server_url")?,
        definition: row.try_get("definition")?,
        injected: read_flag(row, "injected")?,
        via: row.try_get("via")?,
        body: read_body(row)?,
        rule: row.try_get("rule")?,
        policy: row.try_get("policy")?,
        approver: row.try_get("approver")?,
        intended_at: read_time_if_any(row, "intended_at")?,
        recorded_at: read_parsed(row, "recorded_at")?,
    })
}

/// What is said of a result, besides what is kept of it.
const RESULT: [&str; 2] = ["result_content", "result_bytes"];

pub(super) fn read_outcome(row: &AnyRow) -> Result<Option<Outcome>, sqlx::Error> {
    let Some(outcome) = row.try_get("outcome")? else {
        expect_empty(row, &RESULT)?;
        expect_empty(row, &["result_kept", "truncated", "duration_us", "ended_at"])?;
        return Ok(None);
    };
    let body = match row.try_get::<Option<String>, _>("result_kept")? {
        None => {
            expect_empty(row, &RESULT)?;
            None
        }
        Some(_) => Some(Body {
            id: row.try_get("result_content")?,
            bytes: read_count(row, "result_bytes")?,
            kept: read_word(row, "result_kept")?,
        }),
    };
    Ok(Some(Outcome {
        id: read_parsed(row, "id")?,
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
        outcome,
        body,
        truncated: read_flag(row, "truncated")?,
        duration_us: read_count_if_any(row, "duration_us")?,
        ended_at: read_parsed(row, "ended_at")?,
    }))
}
