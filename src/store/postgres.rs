//! What is PostgreSQL's own: connections and their settings, and migrations under a lock.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor};

use super::patience::in_time;
use super::schema::{self, Schema};
use super::{Database, QUESTIONS, Store, StoreError, apart};
use crate::config::{Durability, Postgres};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

const WRITERS: u32 = 4;
const READERS: u32 = 8;
/// A server to which there is no connection by then is away; requests wait no longer for what they can do without.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

const SCHEMA: &str = "SELECT COUNT(*) FROM information_schema.tables \
    WHERE table_name = '_sqlx_migrations' AND table_schema = current_schema()";

const ALL: &str = "SET application_name = 'toolgate'; SET jit = off";
/// A connection of the audit that was idle for longer may be broken, and is asked for a sign of life.
const IDLE: Duration = Duration::from_secs(1);

/// Without these a statement of the gateway could wait for ever for another one's lock.
const LIMITS: &str = "SET statement_timeout = '30s'; SET lock_timeout = '10s'; \
    SET idle_in_transaction_session_timeout = '60s'";
/// A commit's statement is planned once, not each time for its parameters.
const WRITER_PROCESS: &str = "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = off";
const WRITER_POWER: &str = "SET plan_cache_mode = force_generic_plan; SET synchronous_commit = on";
/// Less than a batch is waited for: a connection without an answer by then has nobody at its other end.
///
/// What a commit looks up it looks up by its key: the planner, which expects a hundred rows in every batch, would else
/// read whole tables for one.
const COMMITS: &str = "SET statement_timeout = '8s'; SET lock_timeout = '8s'; \
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
const READER: &str = "SET default_transaction_read_only = on";

pub(super) async fn open(at: &Postgres, durability: Durability) -> Result<Store, StoreError> {
    migrate(at).await?;
    let settings = match durability {
        Durability::Process => WRITER_PROCESS,
        Durability::Power => WRITER_POWER,
    };
    // The audit has a connection of its own. It tries again after an error, so nothing is asked before each commit.
    let commits = connect(at, &[LIMITS, settings, COMMITS], Use { connections: 1, tested: false }).await?;
    let writer = connect(at, &[LIMITS, settings], Use { connections: WRITERS, tested: true }).await?;
    let readers = connect(at, &[LIMITS, READER], Use { connections: READERS, tested: true }).await?;
    let questions = apart(&readers, QUESTIONS);
    Ok(Store {
        database: Database::Postgres,
        commits,
        writer,
        readers,
        questions,
        longest: None,
        path: None,
        wal: None,
    })
}

pub(super) async fn open_read_only(at: &Postgres) -> Result<Store, StoreError> {
    let readers = connect(at, &[READER], Use { connections: READERS, tested: true }).await?;
    match schema::compare(&readers, SCHEMA, &MIGRATIONS).await? {
        Schema::Missing => Err(StoreError::Foreign(at.shown.clone())),
        Schema::Behind => Err(StoreError::Behind(at.shown.clone())),
        Schema::Ahead => Err(StoreError::Ahead(at.shown.clone())),
        Schema::Current => Ok(Store {
            database: Database::Postgres,
            commits: readers.clone(),
            writer: readers.clone(),
            questions: readers.clone(),
            readers,
            longest: None,
            path: None,
            wal: None,
        }),
    }
}

pub(super) async fn settings(pool: &AnyPool) -> Result<Vec<(String, String)>, sqlx::Error> {
    let names = ["server_version", "synchronous_commit", "statement_timeout", "lock_timeout"];
    let mut settings = Vec::new();
    for name in names {
        let value = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(pool).await?;
        settings.push((name.to_owned(), value));
    }
    Ok(settings)
}

/// What is broken, as far as the server knows.
pub(super) async fn broken(pool: &AnyPool) -> Result<Vec<String>, sqlx::Error> {
    let mut broken: Vec<String> = sqlx::query_scalar(
        "SELECT 'the index ' || CAST(CAST(indexrelid AS regclass) AS TEXT) || ' is not valid' FROM pg_index \
         JOIN pg_class ON pg_class.oid = indrelid WHERE NOT indisvalid \
         AND relnamespace = CAST(current_schema() AS regnamespace)",
    )
    .fetch_all(pool)
    .await?;
    let failures: i64 = sqlx::query_scalar(
        "SELECT COALESCE(checksum_failures, 0) FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(pool)
    .await?;
    if failures > 0 {
        broken.push(format!("{failures} pages of the database had a wrong checksum"));
    }
    Ok(broken)
}

pub(super) async fn bytes(pool: &AnyPool) -> Result<u64, sqlx::Error> {
    let bytes: i64 = sqlx::query_scalar(
        "SELECT CAST(COALESCE(SUM(pg_total_relation_size(oid)), 0) AS BIGINT) FROM pg_class \
         WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS regnamespace)",
    )
    .fetch_one(pool)
    .await?;
    Ok(bytes.unsigned_abs())
}

/// On a connection without a time-out, which waits for another gateway's migrations.
async fn migrate(at: &Postgres) -> Result<(), StoreError> {
    let mut connection = first(at).await?;
    let migrated = MIGRATIONS.run(&mut connection).await;
    let closed = connection.close().await;
    migrated.map_err(|source| migration_error(at, source))?;
    Ok(closed?)
}

async fn first(at: &Postgres) -> Result<AnyConnection, StoreError> {
    install_default_drivers();
    AnyConnection::connect(at.url.expose_secret()).await.map_err(|source| open_error(at, source))
}

struct Use {
    connections: u32,
    /// Whether a connection is asked for a sign of life before it is used, and afterwards: one that was given up
    /// while it waited for an answer would else keep its place in the pool for as long as TCP hopes for one.
    tested: bool,
}

async fn connect(at: &Postgres, settings: &[&str], wanted: Use) -> Result<AnyPool, StoreError> {
    // A pool tries again until its time-out and then tells only of that; one connection tells what is wrong.
    first(at).await?.close().await?;
    let settings = format!("{ALL}; {}", settings.join("; "));
    let options = AnyPoolOptions::new()
        .max_connections(wanted.connections)
        // To keep more up, the pool would take a place for itself, and try for minutes, with pauses of up to one, while
        // the server is away: with a pool of one connection nobody else could have any, long after the server is back.
        .min_connections(0)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(wanted.tested)
        .after_connect(move |connection, _| {
            let settings = AssertSqlSafe(settings.clone());
            Box::pin(async move { connection.execute(settings).await.map(drop) })
        });
    let options = if wanted.tested {
        options.after_release(|connection, _| {
            Box::pin(async move { in_time(connection.ping()).await.map(|()| true) })
        })
    } else {
        options.before_acquire(|connection, used| {
            Box::pin(async move {
                if used.idle_for > IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
    };
    options.connect(at.url.expose_secret()).await.map_err(|source| open_error(at, source))
}

fn open_error(at: &Postgres, source: sqlx::Error) -> StoreError {
    StoreError::Open { at: at.shown.clone(), source }
}

fn migration_error(at: &Postgres, source: MigrateError) -> StoreError {
    match source {
        MigrateError::Execute(source) => open_error(at, source),
        source => StoreError::Schema { at: at.shown.clone(), source },
    }
}
