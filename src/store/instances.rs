//! `instances`: the runs of gateways, each with a lease that it renews while it lives.

use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::column::{count, read_count, read_number, read_parsed, time_text};
use super::links::Run;
use super::{Database, Store};
use crate::domain::{InterceptionId, ToolUseId};

/// How often the next epoch is tried for, when others of the same name begin at the same time.
const TRIES: u32 = 16;

/// What a run has begun and not ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Open {
    /// Interceptions without an end.
    pub interceptions: Vec<InterceptionId>,
    /// Calls without an outcome.
    pub calls: Vec<OpenCall>,
}

/// A call without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenCall {
    /// The call.
    pub id: ToolUseId,
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
}

impl Open {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.interceptions.is_empty() && self.calls.is_empty()
    }
}

/// The time by which leases are kept: that of a server which several gateways share, for their clocks may differ, else
/// the gateway's own.
pub async fn time_of_leases(store: &Store, own: Timestamp) -> Result<Timestamp, sqlx::Error> {
    match store.database() {
        Database::Sqlite => Ok(own),
        Database::Postgres => {
            let row = sqlx::query(
                "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS time",
            );
            read_parsed(&row.fetch_one(store.readers()).await?, "time")
        }
    }
}

/// Begins the next run of a gateway.
pub async fn begin(
    store: &Store,
    instance: &str,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Run, sqlx::Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match try_to_begin(store, instance, now, lease_until).await {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() && tries < TRIES => {}
            epoch => return Ok(Run { instance: instance.to_owned(), epoch: epoch? }),
        }
    }
}

async fn try_to_begin(
    store: &Store,
    instance: &str,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<u64, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let begun = sqlx::query(
        "INSERT INTO instances (instance, epoch, started_at, lease_until) \
         SELECT CAST($1 AS TEXT), COALESCE(MAX(epoch), 0) + 1, CAST($2 AS TEXT), CAST($3 AS TEXT) \
         FROM instances WHERE instance = $1 RETURNING epoch",
    )
    .bind(instance)
    .bind(time_text(now))
    .bind(time_text(lease_until))
    .fetch_one(&mut *transaction)
    .await?;
    let epoch = read_count(&begun, "epoch")?;
    transaction.commit().await?;
    Ok(epoch)
}

/// Makes sure that the store knows of a run: one that it lacks has ended by now, and is to be closed.
pub async fn know(store: &Store, run: &Run, now: Timestamp) -> Result<(), sqlx::Error> {
    let sql = "INSERT INTO instances (instance, epoch, started_at, lease_until) VALUES ($1, $2, $3, $3) \
        ON CONFLICT (instance, epoch) DO NOTHING";
    write(store, sql, run, now).await.map(drop)
}

/// Holds a run that nobody ever has to end, until the end of the transaction: whoever else wants it waits.
pub async fn hold(connection: &mut AnyConnection, run: &Run, now: Timestamp) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO instances (instance, epoch, started_at, lease_until, ended_at) VALUES ($1, $2, $3, $3, $3) \
         ON CONFLICT (instance, epoch) DO UPDATE SET lease_until = EXCLUDED.lease_until",
    )
    .bind(&run.instance)
    .bind(count(run.epoch))
    .bind(time_text(now))
    .execute(connection)
    .await
    .map(drop)
}

/// Renews the lease of a run; false where somebody has ended it meanwhile.
pub async fn renew(store: &Store, run: &Run, lease_until: Timestamp) -> Result<bool, sqlx::Error> {
    let sql = "UPDATE instances SET lease_until = $3 WHERE instance = $1 AND epoch = $2 AND ended_at IS NULL";
    Ok(write(store, sql, run, lease_until).await? > 0)
}

/// Notes that a run has ended, unless that is known.
pub async fn end(store: &Store, run: &Run, now: Timestamp) -> Result<(), sqlx::Error> {
    let sql = "UPDATE instances SET ended_at = $3 WHERE instance = $1 AND epoch = $2 AND ended_at IS NULL";
    write(store, sql, run, now).await.map(drop)
}

/// Writes something of a run (`$1`, `$2`) and a time (`$3`), in a transaction of its own; gives how many rows that were.
async fn write(store: &Store, sql: &'static str, run: &Run, time: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let query = sqlx::query(sql).bind(&run.instance).bind(count(run.epoch)).bind(time_text(time));
    let written = query.execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(written.rows_affected())
}

/// The runs that nobody has ended and whose lease is over.
pub async fn gone(store: &Store, now: Timestamp) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query(
        "SELECT instance, epoch FROM instances WHERE ended_at IS NULL AND lease_until < $1 \
         ORDER BY instance, epoch",
    )
    .bind(time_text(now))
    .fetch_all(store.readers())
    .await?
    .iter()
    .map(run)
    .collect()
}

/// Whether a run ended before this time, or nobody knows of it.
pub async fn has_ended(store: &Store, run: &Run, before: Timestamp) -> Result<bool, sqlx::Error> {
    let alive = sqlx::query(
        "SELECT 1 FROM instances WHERE instance = $1 AND epoch = $2 AND (ended_at IS NULL OR ended_at >= $3)",
    )
    .bind(&run.instance)
    .bind(count(run.epoch))
    .bind(time_text(before))
    .fetch_optional(store.readers())
    .await?;
    Ok(alive.is_none())
}

/// Whether somebody has closed a run, which may not have ended yet.
pub async fn is_closed(store: &Store, run: &Run) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query(
        "SELECT 1 FROM audit_events WHERE action = 'close' AND instance = $1 AND epoch = $2 LIMIT 1",
    )
    .bind(&run.instance)
    .bind(count(run.epoch))
    .fetch_optional(store.readers())
    .await?;
    Ok(closed.is_some())
}

/// Runs that have ended and left something open all the same.
pub async fn ended_with_open(store: &Store) -> Result<Vec<(Run, String)>, sqlx::Error> {
    sqlx::query(
        "SELECT i.instance, i.epoch, i.id FROM interceptions i JOIN instances r \
         ON r.instance = i.instance AND r.epoch = i.epoch \
         WHERE i.outcome IS NULL AND r.ended_at IS NOT NULL ORDER BY i.id LIMIT 1000",
    )
    .fetch_all(store.readers())
    .await?
    .iter()
    .map(|row| Ok((run(row)?, row.try_get("id")?)))
    .collect()
}

/// The runs that nobody has ended.
pub async fn unended(store: &Store) -> Result<Vec<Run>, sqlx::Error> {
    sqlx::query("SELECT instance, epoch FROM instances WHERE ended_at IS NULL ORDER BY instance, epoch")
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(run)
        .collect()
}

/// What this run, and those of the same name before it that have ended, left open: at most `limit` of each kind.
pub async fn open_of(store: &Store, run: &Run, limit: u32) -> Result<Open, sqlx::Error> {
    let interceptions = sqlx::query(
        "SELECT i.id FROM interceptions i WHERE i.instance = $1 AND i.epoch <= $2 AND i.outcome IS NULL \
         AND NOT EXISTS (SELECT 1 FROM instances r WHERE r.instance = i.instance AND r.epoch = i.epoch \
         AND r.epoch <> $2 AND r.ended_at IS NULL) ORDER BY i.id LIMIT $3",
    )
    .bind(&run.instance)
    .bind(count(run.epoch))
    .bind(i64::from(limit))
    .fetch_all(store.readers())
    .await?;
    let calls = sqlx::query(
        "SELECT t.id, t.interception_id, t.seq FROM tool_usage t JOIN interceptions i ON i.id = t.interception_id \
         WHERE t.outcome IS NULL AND i.instance = $1 AND i.epoch <= $2 \
         AND NOT EXISTS (SELECT 1 FROM instances r WHERE r.instance = i.instance AND r.epoch = i.epoch \
         AND r.epoch <> $2 AND r.ended_at IS NULL) ORDER BY t.id LIMIT $3",
    )
    .bind(&run.instance)
    .bind(count(run.epoch))
    .bind(i64::from(limit))
    .fetch_all(store.readers())
    .await?;
    Ok(Open {
        interceptions: interceptions.iter().map(|row| read_parsed(row, "id")).collect::<Result<_, _>>()?,
        calls: calls.iter().map(open_call).collect::<Result<_, _>>()?,
    })
}

fn open_call(row: &AnyRow) -> Result<OpenCall, sqlx::Error> {
    Ok(OpenCall {
        id: read_parsed(row, "id")?,
        interception_id: read_parsed(row, "interception_id")?,
        seq: read_number(row, "seq")?,
    })
}

fn run(row: &AnyRow) -> Result<Run, sqlx::Error> {
    Ok(Run { instance: row.try_get("instance")?, epoch: read_count(row, "epoch")? })
}
