//! `links`: the hash chain of each run of a gateway, one link a commit.

use jiff::Timestamp;

/// One run of a gateway, which has a chain of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Run {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it, from 1.
    pub epoch: u64,
}

/// One row: what one commit added to the chain of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub made_at: Timestamp,
    /// Which rows, each with its digest.
    pub leaves: Vec<u8>,
    /// SHA-256 over the hash before it and all of the above, hexadecimal.
    pub hash: String,
}
