//! `links`: the hash chain of each run of a gateway, one link a commit.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::Row;

use super::Store;
use super::column::{count, hex, micros, read_count};

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
    sqlx::query("SELECT seq, hash FROM links WHERE instance = $1 AND epoch = $2 ORDER BY seq DESC LIMIT 1")
        .bind(&run.instance)
        .bind(count(run.epoch))
        .fetch_optional(store.readers())
        .await?
        .map(|row| Ok((read_count(&row, "seq")?, row.try_get("hash")?)))
        .transpose()
}
