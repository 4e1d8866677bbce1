//! Interceptions with all that is known of them but their texts.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::{micros, read_list, read_parsed, read_parsed_if_any};
use super::super::records::End;
use super::super::records::interceptions::read_end;
use super::compose::number;
use super::conditions::Conditions;
use super::{Cursor, Filter, Page, PageRequest, RUNNING, Sql};
use crate::domain::InterceptionId;
use crate::store::records::interceptions::own_us;

/// One client request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Interception {
    /// Its id, also told to the client.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: InterceptionId,
    /// Which gateway.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// The caller's user; null once identities are pruned or the person is erased.
    pub caller_user: Option<String>,
    /// The name of the caller's key.
    pub caller_key: Option<String>,
    /// The caller's groups.
    pub caller_groups: Vec<String>,
    /// The provider; empty where the request did not get that far.
    pub provider: String,
    /// `chat`, `responses`, `messages` or `mcp`.
    pub dialect: String,
    /// The requested model.
    pub model: String,
    /// The client program.
    pub client: String,
    /// Its version.
    pub client_version: Option<String>,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// Which agent of the session.
    pub agent: Option<String>,
    /// The agent that this one works for.
    pub parent_agent: Option<String>,
    /// The client's own id of the request.
    pub request_id: Option<String>,
    /// W3C trace id and span id.
    pub trace: Option<String>,
    /// The first interception of the conversation.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub thread: InterceptionId,
    /// The interception that this one goes on from.
    #[schemars(with = "Option<String>")]
    pub parent: Option<InterceptionId>,
    /// Whether tools were injected, or why not.
    pub injection: String,
    /// Tools that were left out, each with its reason.
    pub left_out: Vec<String>,
    /// Types of the tools that the client let the provider run.
    pub hosted: Vec<String>,
    /// What became of earlier turns on the way up.
    pub continuity: Vec<String>,
    /// The interception whose request came again.
    #[schemars(with = "Option<String>")]
    pub repeats: Option<InterceptionId>,
    /// The digest of the policy in force.
    pub policy: String,
    /// When it began.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// How it ended, or `running`.
    pub outcome: String,
    /// Its end; null while it runs.
    pub end: Option<Ended>,
}

/// How an interception ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ended {
    /// When it ended, or when that was found out.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub ended_at: Timestamp,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The stop reason that the client got.
    pub stop_reason: Option<String>,
    /// The model that answered the last round.
    pub answered_by: Option<String>,
    /// To the first byte for the client, microseconds.
    pub first_byte_us: Option<u64>,
    /// To the end, microseconds; null where nobody saw it.
    pub total_us: Option<u64>,
    /// Waited for the provider, microseconds.
    pub provider_us: u64,
    /// Waited for tools, microseconds.
    pub tools_us: u64,
    /// Waited for the client, which sent its request or took its answer slowly, microseconds.
    pub client_us: u64,
    /// Rounds.
    pub rounds: u32,
    /// Injected calls that ran.
    pub injected_calls: u32,
    /// Calls of the client's own tools.
    pub client_calls: u32,
    /// Tokens of all rounds.
    pub tokens: Tokens,
}

impl Ended {
    /// The gateway's own part of the whole, microseconds.
    pub fn own_us(&self) -> Option<u64> {
        own_us(self.total_us, [self.provider_us, self.tools_us, self.client_us])
    }
}

/// Tokens by class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Tokens {
    /// Neither read from nor written to a cache.
    pub input: u64,
    /// Written by the model, thinking included.
    pub output: u64,
    /// Read from caches.
    pub cache_read: u64,
    /// Written to caches.
    pub cache_write: u64,
    /// Of the output, thinking.
    pub reasoning: u64,
}

/// The columns, and where they come from; then the ids.
const ROWS: &str = "SELECT i.*, p.user_name, c.key_name, c.group_names FROM interceptions i \
     LEFT JOIN people p ON p.id = i.person LEFT JOIN callers c ON c.id = i.caller WHERE i.id IN (";

/// A page of interceptions.
pub async fn interceptions(
    store: &Store,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<Interception>, sqlx::Error> {
    let mut keys = Sql::new("SELECT i.id FROM interceptions i WHERE true");
    Conditions::of(store, filter).await?.restrict_interceptions(&mut keys);
    let place = |row: &Interception| Cursor::new(row.started_at, row.id);
    Page::fetch(store, keys, ROWS, ("i.started_at", "i.id"), request, read, place).await
}

/// One interception.
pub async fn interception(store: &Store, id: InterceptionId) -> Result<Option<Interception>, sqlx::Error> {
    Ok(of_ids(store, &[id]).await?.pop())
}

/// These interceptions, as far as they are there, in the order of their beginnings.
pub async fn of_ids(store: &Store, ids: &[InterceptionId]) -> Result<Vec<Interception>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let mut sql = Sql::new(ROWS);
    sql.list(&ids).push(") ORDER BY i.started_at, i.id");
    sql.fetch(store, read).await
}

/// The ids that begin or end with this piece of an id, at most so many, newest first.
pub async fn ids_like(store: &Store, piece: &str, limit: u32) -> Result<Vec<InterceptionId>, sqlx::Error> {
    let mut sql = Sql::new("SELECT id FROM interceptions WHERE SUBSTR(id, 1, LENGTH(");
    sql.value(piece).push(")) = ").value(piece);
    sql.push(" OR SUBSTR(id, LENGTH(id) - LENGTH(").value(piece).push(") + 1) = ").value(piece);
    sql.push(" ORDER BY id DESC LIMIT ").value(i64::from(limit));
    sql.fetch(store, |row| read_parsed(row, "id")).await
}

fn read(row: &AnyRow) -> Result<Interception, sqlx::Error> {
    let end = read_end(row)?;
    Ok(Interception {
        id: read_parsed(row, "id")?,
        instance: row.try_get("instance")?,
        epoch: number(row, "epoch")?.unwrap_or_default(),
        caller_user: row.try_get("user_name")?,
        caller_key: row.try_get("key_name")?,
        caller_groups: match row.try_get::<Option<String>, _>("group_names")? {
            Some(_) => read_list(row, "group_names")?,
            None => Vec::new(),
        },
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
        injection: row.try_get("injection")?,
        left_out: read_list(row, "left_out")?,
        hosted: read_list(row, "hosted")?,
        continuity: read_list(row, "continuity")?,
        repeats: read_parsed_if_any(row, "repeats")?,
        policy: row.try_get("policy")?,
        started_at: read_parsed(row, "started_at")?,
        outcome: end.as_ref().map_or(RUNNING, |end| &end.outcome).to_owned(),
        end: end.map(Ended::from),
    })
}

impl From<End> for Ended {
    fn from(end: End) -> Self {
        Self {
            ended_at: end.ended_at,
            status: end.status,
            error: end.error,
            stop_reason: end.stop_reason,
            answered_by: end.answered_by,
            first_byte_us: end.first_byte_us,
            total_us: end.total_us,
            provider_us: end.provider_us,
            tools_us: end.tools_us,
            client_us: end.client_us,
            rounds: end.rounds,
            injected_calls: end.injected_calls,
            client_calls: end.client_calls,
            tokens: Tokens {
                input: end.input,
                output: end.output,
                cache_read: end.cache_read,
                cache_write: end.cache_write,
                reasoning: end.reasoning,
            },
        }
    }
}

/// The columns of this name, summed up or not.
pub(super) fn tokens(row: &AnyRow) -> Result<Tokens, sqlx::Error> {
    let count = |name| number(row, name).map(Option::unwrap_or_default);
    Ok(Tokens {
        input: count("input")?,
        output: count("output")?,
        cache_read: count("cache_read")?,
        cache_write: count("cache_write")?,
        reasoning: count("reasoning")?,
    })
}
