//! `continuations`: what answers hid from their clients, sealed, by the place where it goes back.

use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use super::Store;
use super::column::time_text;
use crate::domain::Digest;

/// How many places one query asks for.
const AT_ONCE: usize = 200;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Continuation {
    /// Whose, and after what.
    pub place: Digest,
    /// Of the content.
    pub id: Digest,
    /// Base64.
    pub sealed: String,
}

/// Remembers rows, and forgets others (place and id) for them; durable when it returns. What is there already
/// counts as used now.
pub async fn remember(
    store: &Store,
    rows: &[Continuation],
    outdone: &[(Digest, Digest)],
) -> Result<(), sqlx::Error> {
    let now = time_text(Timestamp::now());
    let mut transaction = store.begin().await?;
    for row in rows {
        sqlx::query(
            "INSERT INTO continuations (place, id, sealed, used_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (place, id) DO UPDATE SET used_at = EXCLUDED.used_at",
        )
        .bind(row.place.to_string())
        .bind(row.id.to_string())
        .bind(&row.sealed)
        .bind(&now)
        .execute(&mut *transaction)
        .await?;
    }
    for (place, id) in outdone {
        sqlx::query("DELETE FROM continuations WHERE place = $1 AND id = $2")
            .bind(place.to_string())
            .bind(id.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// All rows at these places: each place by its number in the list, with what is sealed.
pub async fn find(store: &Store, places: &[Digest]) -> Result<Vec<(usize, String)>, sqlx::Error> {
    let mut found = Vec::new();
    for (chunk, places) in places.chunks(AT_ONCE).enumerate() {
        let texts: Vec<String> = places.iter().map(ToString::to_string).collect();
        let query =
            format!("SELECT place, sealed FROM continuations WHERE place IN ({})", marks(texts.len()));
        let mut query = sqlx::query(AssertSqlSafe(query));
        for text in &texts {
            query = query.bind(text);
        }
        for row in query.fetch_all(store.readers()).await? {
            let place: String = row.try_get("place")?;
            if let Some(number) = texts.iter().position(|text| *text == place) {
                found.push((chunk * AT_ONCE + number, row.try_get("sealed")?));
            }
        }
    }
    Ok(found)
}

/// Counts what is at these places as used now.
pub async fn touch(store: &Store, places: &[Digest]) -> Result<(), sqlx::Error> {
    let now = time_text(Timestamp::now());
    let mut transaction = store.begin().await?;
    for place in places {
        sqlx::query("UPDATE continuations SET used_at = $1 WHERE place = $2")
            .bind(&now)
            .bind(place.to_string())
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Forgets what was last used before this time; tells how much that was.
pub async fn prune(store: &Store, before: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let pruned = sqlx::query("DELETE FROM continuations WHERE used_at < $1")
        .bind(time_text(before))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(pruned.rows_affected())
}

/// `$1, $2, …`
fn marks(count: usize) -> String {
    (1..=count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}
