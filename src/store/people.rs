//! `people` and `callers`: whose content it is, and with which keys and groups they came.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::Store;
use super::batch::render;
use super::column::{micros, read_list, read_parsed, read_time_if_any};

/// One person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Made at random.
    pub id: String,
    /// The user's name; `None` once erased.
    pub user_name: Option<String>,
    /// The key of this person's content, sealed, base64; `None` once erased.
    pub sealed_key: Option<String>,
    /// When the person was first seen.
    pub created_at: Timestamp,
    /// When the content was made unreadable.
    pub erased_at: Option<Timestamp>,
}

/// A person as it is first written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRow {
    /// Made at random.
    pub id: String,
    /// The user's name.
    pub user_name: String,
    /// The key of this person's content, sealed, base64.
    pub sealed_key: String,
    /// When the person was first seen.
    #[serde(with = "micros")]
    pub created_at: Timestamp,
}

/// A person's key and groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerRow {
    /// A digest of the three.
    pub id: String,
    /// Who.
    pub person: String,
    /// The name of the key.
    pub key: String,
    /// The groups.
    pub groups: Vec<String>,
}

pub(super) const INSERT_CALLERS: &str = "INSERT INTO callers (id, person, key_name, group_names) \
    SELECT value->>'id', value->>'person', value->>'key', value->>'groups' FROM json_each($rows) WHERE true \
    ON CONFLICT (id) DO NOTHING";

/// Of two gateways that meet a person at the same time each may add one: a user may have several rows.
pub(super) const INSERT: &str = "INSERT INTO people (id, user_name, sealed_key, created_at) \
    SELECT value->>'id', value->>'user_name', value->>'sealed_key', value->>'created_at' FROM json_each($rows) \
    WHERE true ON CONFLICT (id) DO NOTHING";

/// The oldest person with this name whose content can be read.
pub async fn by_name(store: &Store, user_name: &str) -> Result<Option<Person>, sqlx::Error> {
    sqlx::query(
        "SELECT * FROM people WHERE user_name = $1 AND sealed_key IS NOT NULL ORDER BY created_at, id LIMIT 1",
    )
    .bind(user_name)
    .fetch_optional(store.readers())
    .await?
    .map(|row| person(&row))
    .transpose()
}

/// Everybody with this name, also those who were erased before.
pub async fn named(connection: &mut AnyConnection, user_name: &str) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query("SELECT * FROM people WHERE user_name = $1 ORDER BY created_at, id")
        .bind(user_name)
        .fetch_all(connection)
        .await?
        .iter()
        .map(person)
        .collect()
}

/// The people with these ids, as far as they are there.
pub async fn some(store: &Store, ids: &[&str]) -> Result<Vec<Person>, sqlx::Error> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }

    let ids: Vec<Id<'_>> = ids.iter().map(|id| Id { id }).collect();
    sqlx::query("SELECT * FROM people WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT)))")
        .bind(render(&ids)?)
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(person)
        .collect()
}

/// The person with this id.
pub async fn get(store: &Store, id: &str) -> Result<Option<Person>, sqlx::Error> {
    sqlx::query("SELECT * FROM people WHERE id = $1")
        .bind(id)
        .fetch_optional(store.readers())
        .await?
        .map(|row| person(&row))
        .transpose()
}

/// All of them, by name; those who were erased last.
pub async fn all(store: &Store) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query("SELECT * FROM people ORDER BY CASE WHEN user_name IS NULL THEN 1 ELSE 0 END, user_name, created_at, id")
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(person)
        .collect()
}

/// The callers with these ids, as far as they are there.
pub async fn callers(store: &Store, ids: &[&str]) -> Result<Vec<CallerRow>, sqlx::Error> {
    #[derive(Serialize)]
    struct Id<'a> {
        id: &'a str,
    }

    let ids: Vec<Id<'_>> = ids.iter().map(|id| Id { id }).collect();
    sqlx::query(
        "SELECT * FROM callers WHERE id IN (SELECT value->>'id' FROM json_each(CAST($1 AS TEXT))) ORDER BY id",
    )
    .bind(render(&ids)?)
    .fetch_all(store.readers())
    .await?
    .iter()
    .map(caller)
    .collect()
}

fn person(row: &AnyRow) -> Result<Person, sqlx::Error> {
    Ok(Person {
        id: row.try_get("id")?,
        user_name: row.try_get("user_name")?,
        sealed_key: row.try_get("sealed_key")?,
        created_at: read_parsed(row, "created_at")?,
        erased_at: read_time_if_any(row, "erased_at")?,
    })
}

fn caller(row: &AnyRow) -> Result<CallerRow, sqlx::Error> {
    Ok(CallerRow {
        id: row.try_get("id")?,
        person: row.try_get("person")?,
        key: row.try_get("key_name")?,
        groups: read_list(row, "group_names")?,
    })
}
