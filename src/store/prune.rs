//! What is taken away because it is old, or because somebody is to be forgotten.
//!
//! Records are old by their ids, which sort by the time at which they were made and stand in the chains, so that it can
//! be checked later that nothing else was taken away.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::{AnyConnection, AssertSqlSafe, Executor, Row};
use tokio::time::{Duration, sleep};
use uuid::Uuid;

use super::batch::render;
use super::column::{read_count, time_text};
use super::{Database, Store, search};

/// The tables whose rows belong to an interception, and its own at the end.
const OF_INTERCEPTIONS: [&str; 6] = [
    "DELETE FROM search_rows WHERE interception_id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    "DELETE FROM tool_usage WHERE interception_id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    "DELETE FROM prompt_usage WHERE interception_id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    "DELETE FROM token_usage WHERE interception_id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    "DELETE FROM model_thought WHERE interception_id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    "DELETE FROM interceptions WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
];

/// Nothing speaks of this person (`p`) any more.
const UNKNOWN: &str = "NOT EXISTS (SELECT 1 FROM callers c WHERE c.person = p.id) \
    AND NOT EXISTS (SELECT 1 FROM interceptions i WHERE i.person = p.id) \
    AND NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.person = p.id) \
    AND NOT EXISTS (SELECT 1 FROM content t WHERE t.person = p.id)";

/// How often SQLite's log is tried to be emptied, and the pause between two tries.
const EMPTYING: u32 = 20;
const EMPTYING_PAUSE: Duration = Duration::from_millis(50);

/// The least id that was made at this time or later.
pub fn first_id(at: Timestamp) -> Uuid {
    let millis = u128::try_from(at.as_millisecond().max(0)).unwrap_or(0);
    Uuid::from_u128((millis & 0xffff_ffff_ffff) << 80 | 7 << 76 | 2 << 62)
}

/// When an id was made, milliseconds; `None` where it does not tell.
pub fn made_at(id: Uuid) -> Option<i64> {
    (id.get_version_num() == 7).then(|| i64::try_from(id.as_u128() >> 80).unwrap_or(i64::MAX))
}

/// Interceptions that have ended, made before this time: the oldest, at most so many.
pub async fn oldest_ended(store: &Store, before: Timestamp, limit: u32) -> Result<Vec<String>, sqlx::Error> {
    ids(
        store,
        "SELECT id FROM interceptions WHERE id < $1 AND outcome IS NOT NULL ORDER BY id LIMIT $2",
        before,
        limit,
    )
    .await
}

/// Events made before this time: the oldest, at most so many.
pub async fn oldest_events(store: &Store, before: Timestamp, limit: u32) -> Result<Vec<String>, sqlx::Error> {
    ids(store, "SELECT id FROM audit_events WHERE id < $1 ORDER BY id LIMIT $2", before, limit).await
}

async fn ids(
    store: &Store,
    sql: &'static str,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(sql)
        .bind(first_id(before).to_string())
        .bind(i64::from(limit))
        .fetch_all(store.readers())
        .await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}

/// Takes away these interceptions with all that belongs to them; says how many there were.
pub async fn interceptions(connection: &mut AnyConnection, ids: &[String]) -> Result<u64, sqlx::Error> {
    let ids = rendered(ids)?;
    let mut last = 0;
    for sql in OF_INTERCEPTIONS {
        last = sqlx::query(sql).bind(&ids).execute(&mut *connection).await?.rows_affected();
    }
    Ok(last)
}

/// Takes away these events.
pub async fn events(connection: &mut AnyConnection, ids: &[String]) -> Result<u64, sqlx::Error> {
    sqlx::query("DELETE FROM audit_events WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))")
        .bind(rendered(ids)?)
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

/// Takes away texts last used before the day of this time, at most so many.
pub async fn content(
    connection: &mut AnyConnection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM content WHERE used_at < $1 \
         AND id IN (SELECT id FROM content WHERE used_at < $1 ORDER BY used_at LIMIT $2)",
    )
    .bind(day(before))
    .bind(i64::from(limit))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Takes away what can be searched for of interceptions made before this time, of at most so many texts.
pub async fn words(
    connection: &mut AnyConnection,
    before: Timestamp,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM search_rows WHERE interception_id IN \
         (SELECT interception_id FROM search_rows WHERE interception_id < $1 ORDER BY interception_id LIMIT $2)",
    )
    .bind(first_id(before).to_string())
    .bind(i64::from(limit))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Interceptions and events that say who it was, made between these times: the oldest, at most so many.
pub async fn named(
    store: &Store,
    from: Timestamp,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<String>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id FROM (SELECT id FROM interceptions WHERE id >= $1 AND id < $2 AND person IS NOT NULL \
         UNION ALL SELECT id FROM audit_events WHERE id >= $1 AND id < $2 AND person IS NOT NULL) named \
         ORDER BY id LIMIT $3",
    )
    .bind(first_id(from).to_string())
    .bind(first_id(before).to_string())
    .bind(i64::from(limit))
    .fetch_all(store.readers())
    .await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}

/// Takes out of these interceptions and events who it was.
pub async fn names(connection: &mut AnyConnection, ids: &[String]) -> Result<(), sqlx::Error> {
    let ids = rendered(ids)?;
    for sql in [
        "UPDATE interceptions SET person = NULL, caller = NULL \
         WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
        "UPDATE audit_events SET person = NULL, caller = NULL \
         WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    ] {
        sqlx::query(sql).bind(&ids).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Takes away callers of whom nothing speaks any more, at most so many.
pub async fn callers(connection: &mut AnyConnection, limit: u32) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM callers WHERE id IN (SELECT c.id FROM callers c \
         WHERE NOT EXISTS (SELECT 1 FROM interceptions i WHERE i.caller = c.id) \
         AND NOT EXISTS (SELECT 1 FROM audit_events e WHERE e.person = c.person) LIMIT $1)",
    )
    .bind(i64::from(limit))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// Forgets the names and keys of people first seen before this time of whom nothing speaks any more. The rows
/// themselves go a run later: somebody may just be coming back.
pub async fn people(
    connection: &mut AnyConnection,
    before: Timestamp,
    now: Timestamp,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    let gone = format!(
        "DELETE FROM people WHERE id IN (SELECT p.id FROM people p WHERE p.user_name IS NULL \
         AND p.sealed_key IS NULL AND p.erased_at < $1 AND {UNKNOWN} LIMIT $2)"
    );
    let gone = sqlx::query(AssertSqlSafe(gone))
        .bind(time_text(before))
        .bind(i64::from(limit))
        .execute(&mut *connection)
        .await?;
    let forgotten = format!(
        "UPDATE people SET user_name = NULL, sealed_key = NULL, erased_at = COALESCE(erased_at, $3) WHERE id IN \
         (SELECT p.id FROM people p WHERE (p.user_name IS NOT NULL OR p.sealed_key IS NOT NULL) \
         AND p.created_at < $1 AND {UNKNOWN} LIMIT $2)"
    );
    let forgotten = sqlx::query(AssertSqlSafe(forgotten))
        .bind(time_text(before))
        .bind(i64::from(limit))
        .bind(time_text(now))
        .execute(connection)
        .await?;
    Ok(gone.rows_affected() + forgotten.rows_affected())
}

/// Takes away runs that ended before this time and have no links any more, but for the last of each gateway: the next
/// one is counted on from it.
pub async fn runs(connection: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM instances WHERE ended_at < $1 \
         AND epoch < (SELECT MAX(n.epoch) FROM instances n WHERE n.instance = instances.instance) \
         AND NOT EXISTS (SELECT 1 FROM links l WHERE l.instance = instances.instance AND l.epoch = instances.epoch)",
    )
    .bind(time_text(before))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// What is kept for a time of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Records.
    Metadata,
    /// Texts.
    Content,
    /// Who it was.
    Identity,
}

/// How many interceptions, texts or names there are from before this time.
pub async fn old(store: &Store, class: Class, before: Timestamp) -> Result<u64, sqlx::Error> {
    let (sql, bound) = match class {
        Class::Metadata => (
            "SELECT COUNT(*) AS many FROM interceptions WHERE id < $1 AND outcome IS NOT NULL",
            first_id(before).to_string(),
        ),
        Class::Content => ("SELECT COUNT(*) AS many FROM content WHERE used_at < $1", day(before)),
        Class::Identity => (
            "SELECT COUNT(*) AS many FROM interceptions WHERE id < $1 AND person IS NOT NULL",
            first_id(before).to_string(),
        ),
    };
    let row = sqlx::query(sql).bind(bound).fetch_one(store.readers()).await?;
    read_count(&row, "many")
}

/// How days stand in the store.
pub fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

/// Throws away the key of a person's texts, and the texts with what can be searched for of them; forgets who it was
/// where `identity` says so. Says how many texts there were.
pub async fn person(
    connection: &mut AnyConnection,
    id: &str,
    identity: bool,
    now: Timestamp,
) -> Result<u64, sqlx::Error> {
    sqlx::query("UPDATE people SET sealed_key = NULL, erased_at = $2 WHERE id = $1")
        .bind(id)
        .bind(time_text(now))
        .execute(&mut *connection)
        .await?;
    search::forget_person(connection, id).await?;
    let texts =
        sqlx::query("DELETE FROM content WHERE person = $1").bind(id).execute(&mut *connection).await?;
    if identity {
        sqlx::query("UPDATE people SET user_name = NULL WHERE id = $1")
            .bind(id)
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE callers SET key_name = '', group_names = '[]' WHERE person = $1")
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(texts.rows_affected())
}

/// Sees to it that what is gone is not in SQLite's write-ahead log any more either; false where somebody reads it, or
/// brings it over, all the time.
pub async fn empty_log(store: &Store) -> Result<bool, sqlx::Error> {
    if store.database() != Database::Sqlite {
        return Ok(true);
    }
    let mut connection = store.writer.acquire().await?;
    // Nobody can write while a try waits for those who read.
    connection.execute("PRAGMA busy_timeout = 20").await?;
    let emptied = try_to_empty(&mut connection).await;
    connection.execute("PRAGMA busy_timeout = 2000").await?;
    emptied
}

async fn try_to_empty(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    for _ in 0..EMPTYING {
        let empty = sqlx::query_scalar::<_, i64>("PRAGMA wal_checkpoint(TRUNCATE)");
        if empty.fetch_one(&mut *connection).await? == 0 {
            return Ok(true);
        }
        sleep(EMPTYING_PAUSE).await;
    }
    Ok(false)
}

fn rendered(ids: &[String]) -> Result<String, sqlx::Error> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }

    render(&ids.iter().map(|id| Id { id }).collect::<Vec<_>>())
}
