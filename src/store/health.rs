//! How a store is: what is in it, how large it is, and whether it is sound.

use jiff::Timestamp;
use serde::Serialize;
use sqlx::AssertSqlSafe;

use super::column::{read_count, read_time_if_any};
use super::{Database, Store, postgres, sqlite};

/// The tables that `check` tells of.
const TABLES: [&str; 14] = [
    "interceptions",
    "prompt_usage",
    "token_usage",
    "model_thought",
    "tool_usage",
    "audit_events",
    "content",
    "people",
    "callers",
    "links",
    "checkpoints",
    "instances",
    "continuations",
    "pins",
];

/// The texts that rows speak of and that should be there.
const USED: &str = "WITH used (id) AS (\
    SELECT content FROM prompt_usage WHERE kept IN ('full', 'redacted', 'cut') \
    UNION SELECT content FROM token_usage WHERE kept IN ('full', 'redacted', 'cut') \
    UNION SELECT content FROM model_thought WHERE kept IN ('full', 'redacted', 'cut') \
    UNION SELECT content FROM tool_usage WHERE kept IN ('full', 'redacted', 'cut') \
    UNION SELECT result_content FROM tool_usage WHERE result_kept IN ('full', 'redacted', 'cut'))";

/// How a store is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What is broken, in the database's words; empty where nothing is.
    pub broken: Vec<String>,
    /// Rows by table.
    pub tables: Vec<Count>,
    /// When the oldest interception began.
    pub oldest: Option<Timestamp>,
    /// When the newest one did.
    pub newest: Option<Timestamp>,
    /// Size of all, bytes.
    pub bytes: u64,
    /// The same for each interception.
    pub bytes_per_interception: Option<u64>,
    /// Texts of which no row speaks.
    pub orphaned_texts: u64,
    /// Texts that rows speak of and that are gone, because they were too old or their person was erased.
    pub missing_texts: u64,
}

/// Rows of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Count {
    /// The table.
    pub table: &'static str,
    /// How many.
    pub rows: u64,
}

/// Looks at everything; this may take a while.
pub async fn examine(store: &Store) -> Result<Health, sqlx::Error> {
    let (broken, bytes) = match store.database {
        Database::Sqlite => (sqlite::broken(&store.readers).await?, sqlite::bytes(&store.readers).await?),
        Database::Postgres => {
            (postgres::broken(&store.readers).await?, postgres::bytes(&store.readers).await?)
        }
    };
    let mut tables = Vec::with_capacity(TABLES.len());
    for table in TABLES {
        tables.push(Count { table, rows: count(store, format!("SELECT COUNT(*) AS n FROM {table}")).await? });
    }
    let times = sqlx::query("SELECT MIN(started_at) AS oldest, MAX(started_at) AS newest FROM interceptions");
    let times = times.fetch_one(store.readers()).await?;
    let orphans = format!(
        "{USED} SELECT COUNT(*) AS n FROM content LEFT JOIN used ON used.id = content.id WHERE used.id IS NULL"
    );
    let missing = format!(
        "{USED} SELECT COUNT(*) AS n FROM used LEFT JOIN content ON content.id = used.id WHERE content.id IS NULL"
    );
    Ok(Health {
        broken,
        oldest: read_time_if_any(&times, "oldest")?,
        newest: read_time_if_any(&times, "newest")?,
        bytes,
        bytes_per_interception: bytes.checked_div(tables[0].rows),
        tables,
        orphaned_texts: count(store, orphans).await?,
        missing_texts: count(store, missing).await?,
    })
}

async fn count(store: &Store, query: String) -> Result<u64, sqlx::Error> {
    // Made of constants.
    let row = sqlx::query(AssertSqlSafe(query)).fetch_one(store.readers()).await?;
    read_count(&row, "n")
}
