//! `oauth_clients`: what authorization servers call the gateway, sealed.

use jiff::Timestamp;
use sqlx::Row;

use super::Store;
use super::column::time_text;

/// Where a registration holds.
#[derive(Debug, Clone, Copy)]
pub struct Registration<'a> {
    /// The server for which it was made.
    pub server: &'a str,
    /// The authorization server.
    pub issuer: &'a str,
    /// Where browsers come back to.
    pub redirect_uri: &'a str,
}

/// Keeps a client in place of the one before.
pub async fn put(store: &Store, of: Registration<'_>, sealed: &str) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "INSERT INTO oauth_clients (server, issuer, redirect_uri, sealed, updated_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (server, issuer, redirect_uri) DO UPDATE \
         SET sealed = EXCLUDED.sealed, updated_at = EXCLUDED.updated_at",
    )
    .bind(of.server)
    .bind(of.issuer)
    .bind(of.redirect_uri)
    .bind(sealed)
    .bind(time_text(Timestamp::now()))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}

/// The client that was registered there.
pub async fn get(store: &Store, of: Registration<'_>) -> Result<Option<String>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT sealed FROM oauth_clients WHERE server = $1 AND issuer = $2 AND redirect_uri = $3",
    )
    .bind(of.server)
    .bind(of.issuer)
    .bind(of.redirect_uri)
    .fetch_optional(store.readers())
    .await?;
    row.map(|row| row.try_get("sealed")).transpose()
}

/// Forgets this client, if it is still that one.
pub async fn delete(store: &Store, of: Registration<'_>, sealed: &str) -> Result<(), sqlx::Error> {
    let mut transaction = store.begin().await?;
    sqlx::query(
        "DELETE FROM oauth_clients WHERE server = $1 AND issuer = $2 AND redirect_uri = $3 AND sealed = $4",
    )
    .bind(of.server)
    .bind(of.issuer)
    .bind(of.redirect_uri)
    .bind(sealed)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
