//! Conversations: interceptions that go on from one another.

use std::collections::HashMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::{micros, read_parsed};
use super::compose::number;
use super::conditions::Conditions;
use super::interceptions::tokens;
use super::{Cursor, Filter, Page, PageRequest, Sql, Tokens};
use crate::domain::InterceptionId;

/// One conversation, in sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Thread {
    /// Its first interception.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: InterceptionId,
    /// The caller's user; null once identities are pruned or the person is erased.
    pub caller_user: Option<String>,
    /// The client program.
    pub client: String,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// The provider of its first interception.
    pub provider: String,
    /// The model that its first interception requested.
    pub model: String,
    /// When the first of its interceptions that are still recorded began.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub started_at: Timestamp,
    /// When its last interception began.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub last_at: Timestamp,
    /// Its interceptions.
    pub interceptions: u64,
    /// Those that run.
    pub running: u64,
    /// Injected calls that ran.
    pub injected_calls: u64,
    /// Calls of the client's own tools.
    pub client_calls: u64,
    /// Tokens of all that have ended.
    pub tokens: Tokens,
}

/// The first interception of each conversation that is still recorded.
const ROWS: &str = "SELECT f.id, f.thread, f.client, f.client_session, f.provider, f.model, f.started_at, p.user_name \
     FROM interceptions f LEFT JOIN people p ON p.id = f.person WHERE f.id IN (";
const FIRST: &str = "SELECT f.id FROM interceptions f WHERE NOT EXISTS (SELECT 1 FROM interceptions e \
     WHERE e.thread = f.thread AND (e.started_at, e.id) < (f.started_at, f.id))";

const SUMS: &str = "SELECT i.thread, MAX(i.started_at) AS last_at, COUNT(*) AS interceptions, \
     CAST(SUM(CASE WHEN i.outcome IS NULL THEN 1 ELSE 0 END) AS BIGINT) AS running, \
     CAST(SUM(i.injected_calls) AS BIGINT) AS injected_calls, CAST(SUM(i.client_calls) AS BIGINT) AS client_calls, \
     CAST(SUM(i.input) AS BIGINT) AS input, CAST(SUM(i.output) AS BIGINT) AS output, \
     CAST(SUM(i.cache_read) AS BIGINT) AS cache_read, CAST(SUM(i.cache_write) AS BIGINT) AS cache_write, \
     CAST(SUM(i.reasoning) AS BIGINT) AS reasoning FROM interceptions i WHERE i.thread IN (";

/// A page of conversations, by their beginnings, the newest first: those with an interception that fits.
pub async fn threads(
    store: &Store,
    filter: &Filter,
    request: &PageRequest,
) -> Result<Page<Thread>, sqlx::Error> {
    let mut keys = Sql::new(FIRST);
    // A conversation is one person's: who it was need not be looked for in all of its interceptions.
    let (user, from, to) = (filter.user.clone(), filter.from, filter.to);
    let of_first = Filter { user, from, to, ..Filter::default() };
    let conditions = Conditions::of(store, &of_first).await?;
    conditions.restrict_who(&mut keys, "f");
    conditions.restrict_started(&mut keys, "f", "started_at");
    if let Some(thread) = filter.thread {
        keys.and("f.thread =", thread.to_string());
    }
    let in_any = Filter { user: None, from: None, to: None, thread: None, ..filter.clone() };
    if in_any != Filter::default() {
        keys.push(" AND EXISTS (SELECT 1 FROM interceptions i WHERE i.thread = f.thread");
        Conditions::of(store, &in_any).await?.within_thread().restrict_interceptions(&mut keys);
        keys.push(")");
    }
    let place = |row: &First| Cursor::new(row.started_at, row.id);
    let page = Page::fetch(store, keys, ROWS, ("f.started_at", "f.id"), request, first, place).await?;
    let mut sums = sums(store, &page.items).await?;
    let items = page.items.into_iter().map(|first| {
        let known = sums.remove(&first.thread.id);
        known.unwrap_or_default().of(first.thread)
    });
    Ok(Page { items: items.collect(), older: page.older, newer: page.newer })
}

/// One conversation.
pub async fn thread(store: &Store, id: InterceptionId) -> Result<Option<Thread>, sqlx::Error> {
    let filter = Filter { thread: Some(id), ..Filter::default() };
    Ok(threads(store, &filter, &PageRequest::newest(1)).await?.items.pop())
}

/// The first row of a conversation.
struct First {
    id: InterceptionId,
    started_at: Timestamp,
    thread: Thread,
}

/// What all rows of a conversation tell.
#[derive(Default)]
struct Sums {
    last_at: Option<Timestamp>,
    interceptions: u64,
    running: u64,
    injected_calls: u64,
    client_calls: u64,
    tokens: Tokens,
}

impl Sums {
    fn of(self, thread: Thread) -> Thread {
        Thread {
            last_at: self.last_at.unwrap_or(thread.last_at),
            interceptions: self.interceptions,
            running: self.running,
            injected_calls: self.injected_calls,
            client_calls: self.client_calls,
            tokens: self.tokens,
            ..thread
        }
    }
}

async fn sums(store: &Store, firsts: &[First]) -> Result<HashMap<InterceptionId, Sums>, sqlx::Error> {
    if firsts.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<String> = firsts.iter().map(|first| first.thread.id.to_string()).collect();
    let mut sql = Sql::new(SUMS);
    sql.list(&ids).push(") GROUP BY i.thread");
    let count = |row: &AnyRow, name| number(row, name).map(Option::unwrap_or_default);
    let sums = sql.fetch(store, |row| {
        let sums = Sums {
            last_at: Some(read_parsed(row, "last_at")?),
            interceptions: count(row, "interceptions")?,
            running: count(row, "running")?,
            injected_calls: count(row, "injected_calls")?,
            client_calls: count(row, "client_calls")?,
            tokens: tokens(row)?,
        };
        Ok((read_parsed(row, "thread")?, sums))
    });
    Ok(sums.await?.into_iter().collect())
}

fn first(row: &AnyRow) -> Result<First, sqlx::Error> {
    let started_at = read_parsed(row, "started_at")?;
    Ok(First {
        id: read_parsed(row, "id")?,
        started_at,
        thread: Thread {
            id: read_parsed(row, "thread")?,
            caller_user: row.try_get("user_name")?,
            client: row.try_get("client")?,
            client_session: row.try_get("client_session")?,
            provider: row.try_get("provider")?,
            model: row.try_get("model")?,
            started_at,
            last_at: started_at,
            interceptions: 0,
            running: 0,
            injected_calls: 0,
            client_calls: 0,
            tokens: Tokens::default(),
        },
    })
}
