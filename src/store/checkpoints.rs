//! `checkpoints`: the signed heads of all chains.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::Store;
use super::column::{micros, read_parsed, time_text};

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its own id, which sorts by time.
    pub id: String,
    /// When it was made.
    #[serde(with = "micros")]
    pub made_at: Timestamp,
    /// JSON, signed as it stands here.
    pub body: String,
    /// Ed25519, base64.
    pub signature: String,
}

/// Adds one.
pub async fn insert(store: &Store, checkpoint: &Checkpoint) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO checkpoints (id, made_at, body, signature) VALUES ($1, $2, $3, $4)")
        .bind(&checkpoint.id)
        .bind(time_text(checkpoint.made_at))
        .bind(&checkpoint.body)
        .bind(&checkpoint.signature)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// The newest one.
pub async fn newest(store: &Store) -> Result<Option<Checkpoint>, sqlx::Error> {
    sqlx::query("SELECT * FROM checkpoints ORDER BY made_at DESC, id DESC LIMIT 1")
        .fetch_optional(store.readers())
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// Those behind this id, in order, at most so many.
pub async fn after(store: &Store, id: &str, limit: u32) -> Result<Vec<Checkpoint>, sqlx::Error> {
    sqlx::query("SELECT * FROM checkpoints WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(read)
        .collect()
}

/// Takes away those made before this time, but never the newest.
pub async fn prune(connection: &mut AnyConnection, before: Timestamp) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM checkpoints WHERE made_at < $1 AND made_at < (SELECT MAX(made_at) FROM checkpoints)",
    )
    .bind(time_text(before))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

fn read(row: &AnyRow) -> Result<Checkpoint, sqlx::Error> {
    Ok(Checkpoint {
        id: row.try_get("id")?,
        made_at: read_parsed(row, "made_at")?,
        body: row.try_get("body")?,
        signature: row.try_get("signature")?,
    })
}
