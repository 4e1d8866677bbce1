//! `pins` and `tool_sets`: which definitions of tools a conversation is shown, and the conversations that a list
//! of a client's tools belongs to.

use jiff::Timestamp;
use sqlx::Row;

use super::Store;
use super::column::{read_parsed, time_text};
use crate::domain::Digest;

/// What is pinned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The definitions, as a JSON array.
    pub tools: String,
    /// When it was last used, as far as the store was told.
    pub used_at: Timestamp,
}

/// Pins a set of tools (a JSON array) to a conversation; durable when it returns. A conversation that has a set
/// already keeps it.
pub async fn remember(
    store: &Store,
    conversation: Digest,
    set: Digest,
    tools: &str,
) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query("INSERT INTO tool_sets (id, tools) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING")
        .bind(set.to_string())
        .bind(tools)
        .execute(&mut *transaction)
        .await?;
    sqlx::query(
        "INSERT INTO pins (conversation, tool_set, used_at) VALUES ($1, $2, $3) \
         ON CONFLICT (conversation) DO UPDATE SET used_at = EXCLUDED.used_at",
    )
    .bind(conversation.to_string())
    .bind(set.to_string())
    .bind(time_text(Timestamp::now()))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Lets a list of a client's tools stand for what is pinned to this conversation, whatever it stood for before.
pub async fn follow(store: &Store, list: Digest, conversation: Digest) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "INSERT INTO pins (conversation, tool_set, used_at) \
         SELECT $1, tool_set, $2 FROM pins WHERE conversation = $3 \
         ON CONFLICT (conversation) DO UPDATE SET tool_set = EXCLUDED.tool_set, used_at = EXCLUDED.used_at",
    )
    .bind(list.to_string())
    .bind(time_text(Timestamp::now()))
    .bind(conversation.to_string())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// What is pinned to a conversation.
pub async fn find(store: &Store, conversation: Digest) -> Result<Option<Pin>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT tools, used_at FROM pins JOIN tool_sets ON tool_sets.id = pins.tool_set WHERE conversation = $1",
    )
    .bind(conversation.to_string())
    .fetch_optional(store.readers())
    .await?;
    row.map(|row| Ok(Pin { tools: row.try_get("tools")?, used_at: read_parsed(&row, "used_at")? }))
        .transpose()
}

/// Counts a conversation's pin as used at this time.
pub async fn touch(store: &Store, conversation: Digest, at: Timestamp) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query("UPDATE pins SET used_at = $1 WHERE conversation = $2")
        .bind(time_text(at))
        .bind(conversation.to_string())
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Forgets the pins that were last used before this time, and the sets that none has any more.
pub async fn prune(store: &Store, before: Timestamp) -> Result<u64, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let pruned = sqlx::query("DELETE FROM pins WHERE used_at < $1")
        .bind(time_text(before))
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM tool_sets WHERE NOT EXISTS (SELECT 1 FROM pins WHERE tool_set = tool_sets.id)")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(pruned.rows_affected())
}
