//! `issued_ids`: which response ids a caller was given, and where the provider goes on from each.

use jiff::Timestamp;
use sqlx::Row;

use super::Store;
use super::column::{list_text, read_list, time_text};
use crate::domain::IssuedId;

/// Remembers ids; durable when it returns. An id that was issued before gets what stands for it now.
pub async fn remember(store: &Store, caller_key: &str, ids: &[IssuedId]) -> Result<(), sqlx::Error> {
    let now = time_text(Timestamp::now());
    let mut transaction = store.begin().await?;
    for issued in ids {
        sqlx::query(
            "INSERT INTO issued_ids (caller_key, id, last_id, unanswered, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (caller_key, id) DO UPDATE SET last_id = EXCLUDED.last_id, unanswered = EXCLUDED.unanswered",
        )
        .bind(caller_key)
        .bind(&issued.id)
        .bind(&issued.upstream)
        .bind(list_text(&issued.unanswered))
        .bind(&now)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}

/// What an id stands for, if it was issued to this caller.
pub async fn find(store: &Store, caller_key: &str, id: &str) -> Result<Option<IssuedId>, sqlx::Error> {
    let row = sqlx::query("SELECT last_id, unanswered FROM issued_ids WHERE caller_key = $1 AND id = $2")
        .bind(caller_key)
        .bind(id)
        .fetch_optional(store.readers())
        .await?;
    let issued = |row| {
        let (upstream, unanswered) = (Row::try_get(&row, "last_id")?, read_list(&row, "unanswered")?);
        Ok(IssuedId { id: id.to_owned(), upstream, unanswered })
    };
    row.map(issued).transpose()
}

/// Forgets the ids that were issued before this time; tells how many those were.
pub async fn prune(store: &Store, before: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let pruned = sqlx::query("DELETE FROM issued_ids WHERE created_at < $1")
        .bind(time_text(before))
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(pruned.rows_affected())
}
