//! The records, read past the gateway by a connection of our own.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::{AnyPool, Row as _};

/// How many ids go into one question.
const AT_ONCE: usize = 500;

/// The store, as an auditor's own tools see it.
#[derive(Debug, Clone)]
pub struct Ledger {
    pool: AnyPool,
}

/// What is looked at of a table: the rows' ids, what has to stay once it is there, and the newest first. A link names
/// every row of its commit with its digest: while links stay, what verification finds sound is what was committed.
const TABLES: [(&str, &str, &str, &str); 3] = [
    ("interceptions", "id", "outcome", "id DESC"),
    ("tool_usage", "id", "outcome", "id DESC"),
    ("links", "instance || '/' || epoch || '/' || seq", "hash", "epoch DESC, seq DESC"),
];

/// Rows that were seen committed, by table and id, each with what has to stay of it, if it was there by then.
#[derive(Debug, Default)]
pub struct Sample {
    rows: BTreeMap<(&'static str, String), Option<String>>,
}

impl Sample {
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn add(&mut self, other: Self) {
        for (row, stays) in other.rows {
            let known = self.rows.entry(row).or_default();
            *known = stays.or_else(|| known.take());
        }
    }
}

impl Ledger {
    /// Connects; what is there is only read.
    pub async fn open(url: &str) -> Self {
        install_default_drivers();
        let pool = AnyPoolOptions::new().max_connections(1).connect(url).await.unwrap();
        Self { pool }
    }

    pub async fn close(self) {
        self.pool.close().await;
    }

    /// The newest interceptions, calls and links that are committed now.
    pub async fn newest(&self) -> Sample {
        let mut sample = Sample::default();
        for (table, id, stays, newest) in TABLES {
            let question = format!("SELECT {id}, {stays} FROM {table} ORDER BY {newest} LIMIT 200");
            for row in sqlx::query(sqlx::AssertSqlSafe(question)).fetch_all(&self.pool).await.unwrap() {
                sample.rows.insert((table, row.get(0)), row.get(1));
            }
        }
        sample
    }

    /// What is not there any more of what was once seen, or says something else.
    pub async fn missing(&self, sample: &Sample) -> Vec<String> {
        let mut missing = Vec::new();
        for (table, id, stays, _) in TABLES {
            let seen: Vec<_> = sample.rows.iter().filter(|((of, _), _)| *of == table).collect();
            for some in seen.chunks(AT_ONCE) {
                let ids: Vec<&str> = some.iter().map(|((_, id), _)| id.as_str()).collect();
                let question = format!("SELECT {id}, {stays} FROM {table} WHERE {id} IN ({})", quoted(&ids));
                let rows = sqlx::query(sqlx::AssertSqlSafe(question)).fetch_all(&self.pool).await.unwrap();
                let there: BTreeMap<String, Option<String>> =
                    rows.iter().map(|row| (row.get(0), row.get(1))).collect();
                missing.extend(some.iter().filter_map(|((_, id), before)| match there.get(id) {
                    None => Some(format!("{table} {id} is gone")),
                    Some(now) if before.is_some() && now != *before => {
                        Some(format!("{table} {id} had {before:?}, and has {now:?}"))
                    }
                    Some(_) => None,
                }));
            }
        }
        missing
    }

    /// Which of these calls have no intent on record.
    pub async fn without_intent(&self, calls: &[String]) -> Vec<String> {
        self.without(calls, "SELECT call_id FROM tool_usage WHERE intended_at IS NOT NULL AND call_id IN")
            .await
    }

    /// Which of these have no row in the answer to a question.
    pub async fn without(&self, wanted: &[String], question: &str) -> Vec<String> {
        let mut without = Vec::new();
        for some in wanted.chunks(AT_ONCE) {
            let ids: Vec<&str> = some.iter().map(String::as_str).collect();
            let found = self.words(&format!("{question} ({})", quoted(&ids))).await;
            without.extend(some.iter().filter(|id| !found.contains(*id)).cloned());
        }
        without
    }

    /// The first column of the answer.
    pub async fn words(&self, question: &str) -> BTreeSet<String> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(question.to_owned())).fetch_all(&self.pool).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many rows fit.
    pub async fn count(&self, from: &str) -> i64 {
        let question = format!("SELECT COUNT(*) FROM {from}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(question)).fetch_one(&self.pool).await.unwrap()
    }

    /// Runs of which more than one closed what was open. Who is killed just after closing is followed by one that finds
    /// nothing to close.
    pub async fn closed_twice(&self) -> i64 {
        let closed = "SELECT instance, epoch FROM audit_events WHERE action = 'close' \
                      AND detail NOT LIKE '%\"interceptions\":0,\"calls\":0,%' GROUP BY instance, epoch";
        self.count(&format!("({closed} HAVING COUNT(*) > 1) twice")).await
    }

    /// Interceptions without an end, and calls without an outcome.
    pub async fn open_rows(&self) -> i64 {
        let calls = self.count("tool_usage WHERE outcome IS NULL").await;
        calls + self.count("interceptions WHERE outcome IS NULL").await
    }
}

/// As a list of SQL texts. All that comes here was made here, or is an id.
fn quoted(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("'{}'", id.replace('\'', "''"))).collect::<Vec<_>>().join(",")
}
