//! Which rows there are, without what they say.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use super::Kind;
use crate::store::Store;
use crate::store::column::read_count;

/// A table of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// What its rows are.
    pub kind: Kind,
    /// What stands beside in the same row, as soon as it is known.
    pub beside: Option<Kind>,
    id: &'static str,
    /// Whether rows have a place among those of their interception.
    has_seq: bool,
}

/// All of them.
pub const TABLES: [Table; 6] = [
    Table { name: "interceptions", kind: Kind::Start, beside: Some(Kind::End), id: "id", has_seq: false },
    Table { name: "prompt_usage", kind: Kind::Prompt, beside: None, id: "interception_id", has_seq: true },
    Table { name: "token_usage", kind: Kind::Tokens, beside: None, id: "interception_id", has_seq: true },
    Table { name: "model_thought", kind: Kind::Thought, beside: None, id: "interception_id", has_seq: true },
    Table {
        name: "tool_usage",
        kind: Kind::ToolUse,
        beside: Some(Kind::Outcome),
        id: "interception_id",
        has_seq: true,
    },
    Table { name: "audit_events", kind: Kind::Event, beside: None, id: "id", has_seq: false },
];

/// One row, by its key as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Present {
    /// The interception's id, or an event's own.
    pub id: String,
    /// Its place.
    pub seq: i64,
    /// Whether what stands beside is known.
    pub has_beside: bool,
}

impl Table {
    /// The table of such rows.
    pub fn of(kind: Kind) -> &'static str {
        TABLES
            .iter()
            .find(|table| table.kind == kind || table.beside == Some(kind))
            .map_or("", |table| table.name)
    }

    /// Whether such rows have a place among those of their interception.
    pub fn has_seq(kind: Kind) -> bool {
        TABLES.iter().any(|table| table.has_seq && (table.kind == kind || table.beside == Some(kind)))
    }

    /// The rows behind this one, in order, at most so many.
    pub async fn after(
        &self,
        store: &Store,
        last: &Present,
        limit: u32,
    ) -> Result<Vec<Present>, sqlx::Error> {
        let Self { name, id, .. } = self;
        let beside = if self.beside.is_some() { "CASE WHEN outcome IS NULL THEN 0 ELSE 1 END" } else { "0" };
        let (seq, behind, order) = if self.has_seq {
            ("seq", format!("({id}, seq) > ($1, $3)"), format!("{id}, seq"))
        } else {
            ("CAST($3 AS BIGINT)", format!("{id} > $1"), (*id).to_owned())
        };
        let sql = format!(
            "SELECT {id} AS id, {seq} AS seq, CAST({beside} AS BIGINT) AS has_beside FROM {name} \
             WHERE {behind} ORDER BY {order} LIMIT $2"
        );
        let last_seq = if self.has_seq { last.seq } else { 0 };
        sqlx::query(AssertSqlSafe(sql))
            .bind(&last.id)
            .bind(i64::from(limit))
            .bind(last_seq)
            .fetch_all(store.readers())
            .await?
            .iter()
            .map(present)
            .collect()
    }

    /// How many rows there are, those that stand beside included.
    pub async fn count(&self, store: &Store) -> Result<u64, sqlx::Error> {
        let beside = if self.beside.is_some() { "COUNT(outcome)" } else { "0" };
        let sql = format!("SELECT CAST(COUNT(*) + {beside} AS BIGINT) AS many FROM {}", self.name);
        read_count(&sqlx::query(AssertSqlSafe(sql)).fetch_one(store.readers()).await?, "many")
    }
}

fn present(row: &AnyRow) -> Result<Present, sqlx::Error> {
    Ok(Present {
        id: row.try_get("id")?,
        seq: row.try_get("seq")?,
        has_beside: row.try_get::<i64, _>("has_beside")? == 1,
    })
}
