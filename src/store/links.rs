//! `links`: the hash chain of each run of a gateway, one link a commit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::Store;
use super::column::{count, hex, micros, read_count, read_parsed};

/// One run of a gateway, which has a chain of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it, from 1.
    pub epoch: u64,
}

/// One row: what one commit added to the chain of its run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    #[serde(with = "micros")]
    pub made_at: Timestamp,
    /// Which rows, each with its digest.
    #[serde(with = "hex")]
    pub leaves: Vec<u8>,
    /// SHA-256 over the hash before it and all of the above, hexadecimal.
    pub hash: String,
}

/// Without `ON CONFLICT`: that another link has this place must not be missed.
pub(super) const INSERT: &str = "INSERT INTO links (instance, epoch, seq, made_at, leaves, hash) \
    SELECT value->>'instance', CAST(value->>'epoch' AS BIGINT), CAST(value->>'seq' AS BIGINT), value->>'made_at', \
    unhex(value->>'leaves'), value->>'hash' FROM json_each($rows)";

/// As [`INSERT`], where the database may have lost what it acknowledged, as PostgreSQL may with `synchronous_commit` off:
/// a link without the one before it is refused, for it has no hash. With `EXISTS` the planner would read all links for it.
pub(super) const INSERT_BEHIND: &str = "INSERT INTO links (instance, epoch, seq, made_at, leaves, hash) \
    SELECT value->>'instance', CAST(value->>'epoch' AS BIGINT), CAST(value->>'seq' AS BIGINT), value->>'made_at', \
    unhex(value->>'leaves'), CASE WHEN CAST(value->>'seq' AS BIGINT) = 1 OR (SELECT l.seq FROM links l \
    WHERE l.instance = value->>'instance' AND l.epoch = CAST(value->>'epoch' AS BIGINT) \
    AND l.seq = CAST(value->>'seq' AS BIGINT) - 1) IS NOT NULL THEN value->>'hash' END FROM json_each($rows)";

/// The hash of the link at a place.
pub async fn hash_at(store: &Store, run: &Run, seq: u64) -> Result<Option<String>, sqlx::Error> {
    sqlx::query("SELECT hash FROM links WHERE instance = $1 AND epoch = $2 AND seq = $3")
        .bind(&run.instance)
        .bind(count(run.epoch))
        .bind(count(seq))
        .fetch_optional(store.readers())
        .await?
        .map(|row| row.try_get("hash"))
        .transpose()
}

/// Place and hash of the last link of a run.
pub async fn head(store: &Store, run: &Run) -> Result<Option<(u64, String)>, sqlx::Error> {
    let last = last_in(&mut *store.readers().acquire().await?, run).await?;
    Ok(last.map(|link| (link.seq, link.hash)))
}

/// The last link of a run, as a transaction sees it.
pub async fn last_in(connection: &mut AnyConnection, run: &Run) -> Result<Option<Link>, sqlx::Error> {
    sqlx::query("SELECT * FROM links WHERE instance = $1 AND epoch = $2 ORDER BY seq DESC LIMIT 1")
        .bind(&run.instance)
        .bind(count(run.epoch))
        .fetch_optional(connection)
        .await?
        .map(|row| read(&row))
        .transpose()
}

/// The runs that have links, in order.
pub async fn runs(store: &Store) -> Result<Vec<Run>, sqlx::Error> {
    let mut runs = Vec::new();
    let mut last = Run { instance: String::new(), epoch: 0 };
    // From one run to the next, so that not every link is looked at.
    while let Some(row) = sqlx::query(
        "SELECT instance, epoch FROM links WHERE (instance, epoch) > ($1, $2) ORDER BY instance, epoch LIMIT 1",
    )
    .bind(&last.instance)
    .bind(count(last.epoch))
    .fetch_optional(store.readers())
    .await?
    {
        last = Run { instance: row.try_get("instance")?, epoch: read_count(&row, "epoch")? };
        runs.push(last.clone());
    }
    Ok(runs)
}

/// The links of a run behind this place, in order, at most so many.
pub async fn after(store: &Store, run: &Run, seq: u64, limit: u32) -> Result<Vec<Link>, sqlx::Error> {
    sqlx::query("SELECT * FROM links WHERE instance = $1 AND epoch = $2 AND seq > $3 ORDER BY seq LIMIT $4")
        .bind(&run.instance)
        .bind(count(run.epoch))
        .bind(count(seq))
        .bind(i64::from(limit))
        .fetch_all(store.readers())
        .await?
        .iter()
        .map(read)
        .collect()
}

/// Takes away the first links of a run, up to this one.
pub async fn prune(connection: &mut AnyConnection, run: &Run, seq: u64) -> Result<u64, sqlx::Error> {
    sqlx::query("DELETE FROM links WHERE instance = $1 AND epoch = $2 AND seq <= $3")
        .bind(&run.instance)
        .bind(count(run.epoch))
        .bind(count(seq))
        .execute(connection)
        .await
        .map(|done| done.rows_affected())
}

fn read(row: &AnyRow) -> Result<Link, sqlx::Error> {
    Ok(Link {
        instance: row.try_get("instance")?,
        epoch: read_count(row, "epoch")?,
        seq: read_count(row, "seq")?,
        made_at: read_parsed(row, "made_at")?,
        leaves: row.try_get("leaves")?,
        hash: row.try_get("hash")?,
    })
}
