//! `oauth_tokens`: what users granted for servers, sealed.

use jiff::Timestamp;
use sqlx::Row;

use super::Store;
use super::column::time_text;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthToken {
    /// The authorization server that it comes from.
    pub issuer: String,
    /// Base64.
    pub sealed: String,
}

/// Keeps a token in place of the one before.
pub async fn put(store: &Store, server: &str, user: &str, token: &OAuthToken) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "INSERT INTO oauth_tokens (server, user_name, issuer, sealed, updated_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (server, user_name) DO UPDATE \
         SET issuer = EXCLUDED.issuer, sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at",
    )
    .bind(server)
    .bind(user)
    .bind(&token.issuer)
    .bind(&token.sealed)
    .bind(time_text(Timestamp::now()))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// Keeps a token in place of this one; tells whether it was still there.
pub async fn replace(
    store: &Store,
    server: &str,
    user: &str,
    former: &str,
    token: &OAuthToken,
) -> Result<bool, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let replaced = sqlx::query(
        "UPDATE oauth_tokens SET issuer = $4, sealed = $5, updated_at = $6 \
         WHERE server = $1 AND user_name = $2 AND sealed = $3",
    )
    .bind(server)
    .bind(user)
    .bind(former)
    .bind(&token.issuer)
    .bind(&token.sealed)
    .bind(time_text(Timestamp::now()))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(replaced.rows_affected() > 0)
}

/// The token of this user for this server.
pub async fn get(store: &Store, server: &str, user: &str) -> Result<Option<OAuthToken>, sqlx::Error> {
    let row = sqlx::query("SELECT issuer, sealed FROM oauth_tokens WHERE server = $1 AND user_name = $2")
        .bind(server)
        .bind(user)
        .fetch_optional(store.readers())
        .await?;
    row.map(|row| Ok(OAuthToken { issuer: row.try_get("issuer")?, sealed: row.try_get("sealed")? }))
        .transpose()
}

/// Forgets a token; tells whether there was one. With `sealed`, only if it is still that one.
pub async fn delete(
    store: &Store,
    server: &str,
    user: &str,
    sealed: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = store.begin().await?;
    let deleted = sqlx::query(
        "DELETE FROM oauth_tokens WHERE server = $1 AND user_name = $2 AND sealed = COALESCE($3, sealed)",
    )
    .bind(server)
    .bind(user)
    .bind(sealed)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(deleted.rows_affected() > 0)
}
