//! Rows as they were written.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use sqlx::any::AnyRow;
use uuid::Uuid;

use super::{Kind, Row, RowKey, events, interceptions, prompts, thoughts, tokens, tools};
use crate::domain::InterceptionId;
use crate::store::Store;
use crate::store::batch::render;

/// A table, and how its rows are found by keys and by interception.
struct Table {
    kinds: &'static [Kind],
    by_key: &'static str,
    of_interception: Option<&'static str>,
    read: fn(&AnyRow) -> Result<Vec<Row>, sqlx::Error>,
}

const TABLES: [Table; 6] = [
    Table {
        kinds: &[Kind::Start, Kind::End],
        by_key: "SELECT * FROM interceptions WHERE id IN \
            (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
        of_interception: Some("SELECT * FROM interceptions WHERE id = $1"),
        read: |row| {
            let start = Row::Start(Box::new(interceptions::read_start(row)?));
            let end = interceptions::read_end(row)?.map(|end| Row::End(Box::new(end)));
            Ok([start].into_iter().chain(end).collect())
        },
    },
    Table {
        kinds: &[Kind::Prompt],
        by_key: "SELECT * FROM prompt_usage WHERE (interception_id, seq) IN \
            (SELECT value->>'id', CAST(value->>'seq' AS BIGINT) FROM json_each(CAST($1 AS TEXT)))",
        of_interception: Some("SELECT * FROM prompt_usage WHERE interception_id = $1 ORDER BY seq"),
        read: |row| Ok(vec![Row::Prompt(prompts::read(row)?)]),
    },
    Table {
        kinds: &[Kind::Tokens],
        by_key: "SELECT * FROM token_usage WHERE (interception_id, seq) IN \
            (SELECT value->>'id', CAST(value->>'seq' AS BIGINT) FROM json_each(CAST($1 AS TEXT)))",
        of_interception: Some("SELECT * FROM token_usage WHERE interception_id = $1 ORDER BY seq"),
        read: |row| Ok(vec![Row::Tokens(Box::new(tokens::read(row)?))]),
    },
    Table {
        kinds: &[Kind::Thought],
        by_key: "SELECT * FROM model_thought WHERE (interception_id, seq) IN \
            (SELECT value->>'id', CAST(value->>'seq' AS BIGINT) FROM json_each(CAST($1 AS TEXT)))",
        of_interception: Some("SELECT * FROM model_thought WHERE interception_id = $1 ORDER BY seq"),
        read: |row| Ok(vec![Row::Thought(thoughts::read(row)?)]),
    },
    Table {
        kinds: &[Kind::ToolUse, Kind::Outcome],
        by_key: "SELECT * FROM tool_usage WHERE (interception_id, seq) IN \
            (SELECT value->>'id', CAST(value->>'seq' AS BIGINT) FROM json_each(CAST($1 AS TEXT)))",
        of_interception: Some("SELECT * FROM tool_usage WHERE interception_id = $1 ORDER BY seq"),
        read: |row| {
            let call = Row::ToolUse(Box::new(tools::read(row)?));
            let outcome = tools::read_outcome(row)?.map(Row::Outcome);
            Ok([call].into_iter().chain(outcome).collect())
        },
    },
    Table {
        kinds: &[Kind::Event],
        by_key: "SELECT * FROM audit_events WHERE id IN \
            (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
        of_interception: None,
        read: |row| Ok(vec![Row::Event(Box::new(events::read(row)?))]),
    },
];

/// The rows with these keys, as far as they are there.
pub async fn fetch(store: &Store, keys: &[RowKey]) -> Result<HashMap<RowKey, Row>, sqlx::Error> {
    #[derive(Serialize)]
    struct Wanted {
        id: Uuid,
        seq: u32,
    }

    let wanted: HashSet<&RowKey> = keys.iter().collect();
    let mut found = HashMap::with_capacity(keys.len());
    for table in TABLES {
        let keys = keys.iter().filter(|key| table.kinds.contains(&key.kind));
        let keys: Vec<Wanted> = keys.map(|key| Wanted { id: key.id, seq: key.seq }).collect();
        if keys.is_empty() {
            continue;
        }
        for row in sqlx::query(table.by_key).bind(render(&keys)?).fetch_all(store.readers()).await? {
            let rows = (table.read)(&row)?.into_iter().map(|row| (row.key(), row));
            found.extend(rows.filter(|(key, _)| wanted.contains(key)));
        }
    }
    Ok(found)
}

/// All rows of one interception: its start, its end, then table by table in the order in which they were recorded.
pub async fn of(store: &Store, id: InterceptionId) -> Result<Vec<Row>, sqlx::Error> {
    let mut found = Vec::new();
    for table in TABLES {
        let Some(query) = table.of_interception else { continue };
        let rows = sqlx::query(query).bind(id.to_string()).fetch_all(store.readers());
        for row in store.wait(rows).await? {
            found.extend((table.read)(&row)?);
        }
    }
    Ok(found)
}
