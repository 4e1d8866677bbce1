//! `issued_ids`: which response ids a caller was given, and where the provider goes on from each.

use jiff::Timestamp;

use super::Store;
use super::column::time_text;

/// Remembers pairs of an issued id and the id of the last round behind it; durable when it returns.
///
/// An id that was issued before gets the new last id.
pub async fn remember(store: &Store, caller_key: &str, ids: &[(String, String)]) -> Result<(), sqlx::Error> {
    let now = time_text(Timestamp::now());
    let mut transaction = store.begin().await?;
    for (id, last_id) in ids {
        sqlx::query(
            "INSERT INTO issued_ids (caller_key, id, last_id, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (caller_key, id) DO UPDATE SET last_id = EXCLUDED.last_id",
        )
        .bind(caller_key)
        .bind(id)
        .bind(last_id)
        .bind(&now)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}

/// The last round's id behind an id that was issued to this caller; `None` if it was not.
pub async fn last_of(store: &Store, caller_key: &str, id: &str) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT last_id FROM issued_ids WHERE caller_key = $1 AND id = $2")
        .bind(caller_key)
        .bind(id)
        .fetch_optional(store.readers())
        .await
}
