//! `interceptions`: one row a client request, from its start to its one end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Who, read_who};
use crate::domain::InterceptionId;
use crate::store::Store;
use crate::store::column::{
    expect_empty, micros, read_count, read_count_if_any, read_json, read_number, read_number_if_any,
    read_parsed, read_parsed_if_any,
};

/// What is known when an interception begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The interception.
    pub id: InterceptionId,
    /// Which gateway.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Who asked.
    pub who: Who,
    /// The provider's name in the configuration; empty where the request did not get that far.
    pub provider: String,
    /// `chat`, `responses`, `messages` or `mcp`.
    pub dialect: String,
    /// The requested model.
    pub model: String,
    /// The client program.
    pub client: String,
    /// Its version, as it says.
    pub client_version: Option<String>,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// Which agent of the session.
    pub agent: Option<String>,
    /// The agent that this one works for.
    pub parent_agent: Option<String>,
    /// The client's own id of the request.
    pub request_id: Option<String>,
    /// W3C trace id and the id of this interception's span, `{trace}-{span}`, hexadecimal.
    pub trace: Option<String>,
    /// The first interception of the conversation that this one belongs to; its own id, where it is the first.
    pub thread: InterceptionId,
    /// The interception whose answer this one goes on from.
    pub parent: Option<InterceptionId>,
    /// The digest by which the next request of the conversation finds this one.
    pub place: Option<String>,
    /// Whether tools were injected, or why not.
    pub injection: String,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
    /// Types of the tools that the client let the provider run.
    pub hosted: Vec<String>,
    /// What became of earlier turns of the conversation on the way up, in words.
    pub continuity: Vec<String>,
    /// The interception whose request came again, where this one goes on with it.
    pub repeats: Option<InterceptionId>,
    /// The digest of the policy in force.
    pub policy: String,
    /// When it began.
    #[serde(with = "micros")]
    pub started_at: Timestamp,
}

/// What is known when it has ended. Times of one interception add up: what `total_us` has beyond the waits is the
/// gateway's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The interception.
    pub id: InterceptionId,
    /// When it ended, or when that was found out.
    #[serde(with = "micros")]
    pub ended_at: Timestamp,
    /// One of the audit's words for it.
    pub outcome: String,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The stop reason that the client got.
    pub stop_reason: Option<String>,
    /// The model that answered the last round.
    pub answered_by: Option<String>,
    /// From the start to the first byte for the client, microseconds.
    pub first_byte_us: Option<u64>,
    /// From the start to the end, microseconds; `None` where nobody saw the end.
    pub total_us: Option<u64>,
    /// Waited for the provider, microseconds.
    pub provider_us: u64,
    /// Waited for tools and for nothing else, microseconds.
    pub tools_us: u64,
    /// Waited for the client, which sent its request or took its answer slowly, microseconds.
    pub client_us: u64,
    /// Rounds.
    pub rounds: u32,
    /// Injected calls that ran.
    pub injected_calls: u32,
    /// Calls of the client's own tools.
    pub client_calls: u32,
    /// Input tokens of all rounds, neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens of all rounds.
    pub output: u64,
    /// Tokens read from caches.
    pub cache_read: u64,
    /// Tokens written to caches, short- and long-lived.
    pub cache_write: u64,
    /// Of the output, tokens of thinking.
    pub reasoning: u64,
}

impl End {
    /// The gateway's own part of the whole, microseconds.
    pub fn own_us(&self) -> Option<u64> {
        own_us(self.total_us, [self.provider_us, self.tools_us, self.client_us])
    }
}

/// What the gateway itself took of a whole of which so much was waited, microseconds.
pub fn own_us(total_us: Option<u64>, waits_us: [u64; 3]) -> Option<u64> {
    total_us.map(|total| waits_us.into_iter().fold(total, u64::saturating_sub))
}

/// How an interception goes to the database.
#[derive(Serialize)]
pub(in crate::store) struct WithEnd<'a> {
    #[serde(flatten)]
    pub start: &'a Start,
    pub end: Option<&'a End>,
}

pub(in crate::store) const INSERT: &str = "INSERT INTO interceptions \
    (id, instance, epoch, who, person, caller, provider, dialect, model, client, client_version, client_session, \
    agent, parent_agent, request_id, trace, thread, parent, place, injection, left_out, hosted, continuity, repeats, \
    policy, started_at, \
    ended_at, outcome, status, error, stop_reason, answered_by, first_byte_us, total_us, provider_us, tools_us, \
    client_us, rounds, injected_calls, client_calls, input, output, cache_read, cache_write, reasoning) \
    SELECT value->>'id', value->>'instance', CAST(value->>'epoch' AS BIGINT), value->'who'->>'proof', \
    value->'who'->>'person', value->'who'->>'caller', value->>'provider', value->>'dialect', value->>'model', \
    value->>'client', value->>'client_version', value->>'client_session', value->>'agent', value->>'parent_agent', \
    value->>'request_id', value->>'trace', value->>'thread', value->>'parent', value->>'place', value->>'injection', \
    value->>'left_out', value->>'hosted', value->>'continuity', value->>'repeats', value->>'policy', \
    value->>'started_at', \
    value->'end'->>'ended_at', value->'end'->>'outcome', CAST(value->'end'->>'status' AS BIGINT), \
    value->'end'->>'error', value->'end'->>'stop_reason', value->'end'->>'answered_by', \
    CAST(value->'end'->>'first_byte_us' AS BIGINT), CAST(value->'end'->>'total_us' AS BIGINT), \
    CAST(value->'end'->>'provider_us' AS BIGINT), CAST(value->'end'->>'tools_us' AS BIGINT), \
    CAST(value->'end'->>'client_us' AS BIGINT), CAST(value->'end'->>'rounds' AS BIGINT), CAST(value->'end'->>'injected_calls' AS BIGINT), \
    CAST(value->'end'->>'client_calls' AS BIGINT), CAST(value->'end'->>'input' AS BIGINT), \
    CAST(value->'end'->>'output' AS BIGINT), CAST(value->'end'->>'cache_read' AS BIGINT), \
    CAST(value->'end'->>'cache_write' AS BIGINT), CAST(value->'end'->>'reasoning' AS BIGINT) \
    FROM json_each($rows) WHERE true ON CONFLICT (id) DO NOTHING";

/// The ends of interceptions of earlier batches.
pub(in crate::store) const END: &str = "UPDATE interceptions SET ended_at = value->>'ended_at', \
    outcome = value->>'outcome', status = CAST(value->>'status' AS BIGINT), error = value->>'error', \
    stop_reason = value->>'stop_reason', answered_by = value->>'answered_by', \
    first_byte_us = CAST(value->>'first_byte_us' AS BIGINT), total_us = CAST(value->>'total_us' AS BIGINT), \
    provider_us = CAST(value->>'provider_us' AS BIGINT), tools_us = CAST(value->>'tools_us' AS BIGINT), \
    client_us = CAST(value->>'client_us' AS BIGINT), rounds = CAST(value->>'rounds' AS BIGINT), injected_calls = CAST(value->>'injected_calls' AS BIGINT), \
    client_calls = CAST(value->>'client_calls' AS BIGINT), input = CAST(value->>'input' AS BIGINT), \
    output = CAST(value->>'output' AS BIGINT), cache_read = CAST(value->>'cache_read' AS BIGINT), \
    cache_write = CAST(value->>'cache_write' AS BIGINT), reasoning = CAST(value->>'reasoning' AS BIGINT) \
    FROM json_each($rows) WHERE interceptions.id = value->>'id' AND interceptions.outcome IS NULL";

/// A row's start; also for queries of their own.
pub fn read_start(row: &AnyRow) -> Result<Start, sqlx::Error> {
    Ok(Start {
        id: read_parsed(row, "id")?,
        instance: row.try_get("instance")?,
        epoch: read_count(row, "epoch")?,
        who: read_who(row)?.unwrap_or_default(),
        provider: row.try_get("provider")?,
        dialect: row.try_get("dialect")?,
        model: row.try_get("model")?,
        client: row.try_get("client")?,
        client_version: row.try_get("client_version")?,
        client_session: row.try_get("client_session")?,
        agent: row.try_get("agent")?,
        parent_agent: row.try_get("parent_agent")?,
        request_id: row.try_get("request_id")?,
        trace: row.try_get("trace")?,
        thread: read_parsed(row, "thread")?,
        parent: read_parsed_if_any(row, "parent")?,
        place: row.try_get("place")?,
        injection: row.try_get("injection")?,
        left_out: read_json(row, "left_out")?,
        hosted: read_json(row, "hosted")?,
        continuity: read_json(row, "continuity")?,
        repeats: read_parsed_if_any(row, "repeats")?,
        policy: row.try_get("policy")?,
        started_at: read_parsed(row, "started_at")?,
    })
}

/// What is empty while an interception runs, besides its outcome.
const OF_END: [&str; 18] = [
    "ended_at",
    "status",
    "error",
    "stop_reason",
    "answered_by",
    "first_byte_us",
    "total_us",
    "provider_us",
    "tools_us",
    "client_us",
    "rounds",
    "injected_calls",
    "client_calls",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
];

/// A row's end, if it has one.
pub fn read_end(row: &AnyRow) -> Result<Option<End>, sqlx::Error> {
    let Some(outcome) = row.try_get("outcome")? else {
        expect_empty(row, &OF_END)?;
        return Ok(None);
    };
    Ok(Some(End {
        id: read_parsed(row, "id")?,
        ended_at: read_parsed(row, "ended_at")?,
        outcome,
        status: read_number_if_any(row, "status")?,
        error: row.try_get("error")?,
        stop_reason: row.try_get("stop_reason")?,
        answered_by: row.try_get("answered_by")?,
        first_byte_us: read_count_if_any(row, "first_byte_us")?,
        total_us: read_count_if_any(row, "total_us")?,
        provider_us: read_count(row, "provider_us")?,
        tools_us: read_count(row, "tools_us")?,
        client_us: read_count(row, "client_us")?,
        rounds: read_number(row, "rounds")?,
        injected_calls: read_number(row, "injected_calls")?,
        client_calls: read_number(row, "client_calls")?,
        input: read_count(row, "input")?,
        output: read_count(row, "output")?,
        cache_read: read_count(row, "cache_read")?,
        cache_write: read_count(row, "cache_write")?,
        reasoning: read_count(row, "reasoning")?,
    }))
}

/// Where an interception stands in its conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The interception.
    pub id: InterceptionId,
    /// The first one of its conversation.
    pub thread: InterceptionId,
}

/// This person's newest interception with a call of this id, if it is among the newest of all: some servers give the same
/// ids again and again.
pub async fn by_call(store: &Store, person: &str, call_id: &str) -> Result<Option<Place>, sqlx::Error> {
    sqlx::query(
        "SELECT i.id, i.thread FROM (SELECT id, interception_id, recorded_at FROM tool_usage WHERE call_id = $1 \
         ORDER BY recorded_at DESC LIMIT 64) t JOIN interceptions i ON i.id = t.interception_id \
         WHERE i.person = $2 ORDER BY t.recorded_at DESC, t.id DESC LIMIT 1",
    )
    .bind(call_id)
    .bind(person)
    .fetch_optional(store.readers())
    .await?
    .map(|row| place(&row))
    .transpose()
}

/// This person's newest interception at this place.
pub async fn by_place(store: &Store, person: &str, at: &str) -> Result<Option<Place>, sqlx::Error> {
    sqlx::query(
        "SELECT id, thread FROM interceptions WHERE place = $1 AND person = $2 \
         ORDER BY started_at DESC, id DESC LIMIT 1",
    )
    .bind(at)
    .bind(person)
    .fetch_optional(store.readers())
    .await?
    .map(|row| place(&row))
    .transpose()
}

fn place(row: &AnyRow) -> Result<Place, sqlx::Error> {
    Ok(Place { id: read_parsed(row, "id")?, thread: read_parsed(row, "thread")? })
}
