//! `content`: texts, each once a person, compressed and sealed.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::Store;
use super::batch::render;
use super::column::hex;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// A digest of the text under its person's key.
    pub id: String,
    /// Whose key.
    pub person: String,
    /// The text, compressed and sealed.
    #[serde(with = "hex")]
    pub body: Vec<u8>,
}

/// How a row goes to the database.
#[derive(Serialize)]
pub(super) struct ContentInJson<'a> {
    pub id: &'a str,
    person: &'a str,
    #[serde(with = "hex")]
    body: &'a [u8],
    used_at: String,
}

impl<'a> ContentInJson<'a> {
    pub(super) fn new(content: &'a Content, used_at: Timestamp) -> Self {
        let Content { id, person, body } = content;
        // To the day, so that a text that is used often is written to once a day.
        Self { id, person, body, used_at: used_at.strftime("%Y-%m-%d").to_string() }
    }
}

/// Nothing of who was erased meanwhile.
pub(super) const INSERT: &str = "INSERT INTO content (id, person, body, used_at) \
    SELECT value->>'id', value->>'person', unhex(value->>'body'), value->>'used_at' FROM json_each($rows) \
    WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.id = value->>'person' AND p.erased_at IS NOT NULL) \
    ON CONFLICT (id) DO UPDATE SET used_at = EXCLUDED.used_at WHERE content.used_at < EXCLUDED.used_at";

/// The texts with these ids, by id, as far as they are there.
pub async fn fetch(store: &Store, ids: &[&str]) -> Result<HashMap<String, Content>, sqlx::Error> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }

    let ids: Vec<Id<'_>> = ids.iter().map(|id| Id { id }).collect();
    let found = sqlx::query(
        "SELECT id, person, body FROM content WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))",
    )
    .bind(render(&ids)?)
    .fetch_all(store.readers())
    .await?;
    let content = |row: &sqlx::any::AnyRow| {
        let id: String = row.try_get("id")?;
        let content = Content { id: id.clone(), person: row.try_get("person")?, body: row.try_get("body")? };
        Ok((id, content))
    };
    found.iter().map(content).collect()
}

/// Which of these texts are there.
pub async fn present(store: &Store, ids: &[&str]) -> Result<HashSet<String>, sqlx::Error> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }

    let ids: Vec<Id<'_>> = ids.iter().map(|id| Id { id }).collect();
    let sql = "SELECT id FROM content WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))";
    let found = sqlx::query(sql).bind(render(&ids)?).fetch_all(store.readers()).await?;
    found.iter().map(|row| row.try_get("id")).collect()
}

/// The texts behind this one, in order, at most so many.
pub async fn after(store: &Store, id: &str, limit: u32) -> Result<Vec<Content>, sqlx::Error> {
    let sql = "SELECT id, person, body FROM content WHERE id > $1 ORDER BY id LIMIT $2";
    let found = sqlx::query(sql).bind(id).bind(i64::from(limit)).fetch_all(store.readers()).await?;
    let content = |row: &AnyRow| {
        Ok(Content { id: row.try_get("id")?, person: row.try_get("person")?, body: row.try_get("body")? })
    };
    found.iter().map(content).collect()
}
