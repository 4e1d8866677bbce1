//! Whether the tables are those that this program knows.

use sqlx::migrate::Migrator;
use sqlx::{AnyPool, Row};

/// How the migrations that were applied compare with those that this program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Schema {
    /// None was applied: the database is new, or another program's.
    Missing,
    /// Some are still to be applied.
    Behind,
    /// All were applied.
    Current,
    /// There are some that this program does not know.
    Ahead,
}

/// `exists` counts the tables in which sqlx keeps what was applied: none or one.
pub(super) async fn compare(
    pool: &AnyPool,
    exists: &'static str,
    migrations: &Migrator,
) -> Result<Schema, sqlx::Error> {
    let tables: i64 = sqlx::query_scalar(exists).fetch_one(pool).await?;
    if tables == 0 {
        return Ok(Schema::Missing);
    }
    let applied = sqlx::query("SELECT version FROM _sqlx_migrations").fetch_all(pool).await?;
    let applied = applied.iter().map(|row| row.try_get("version")).collect::<Result<Vec<i64>, _>>()?;
    Ok(if applied.iter().any(|version| !migrations.version_exists(*version)) {
        Schema::Ahead
    } else if migrations.iter().any(|migration| !applied.contains(&migration.version)) {
        Schema::Behind
    } else {
        Schema::Current
    })
}
