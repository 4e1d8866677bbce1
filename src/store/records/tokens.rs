//! `token_usage`: one round of an interception: its tokens by class, its answer, its times.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::micros;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
    pub round: u32,
    /// The answering model.
    pub model: String,
    /// The provider's id of the answer.
    pub response_id: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// The stop reason in the provider's words.
    pub stop_reason: Option<String>,
    /// Input tokens neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written to a cache, short-lived.
    pub cache_write_short: u64,
    /// Written to a cache, long-lived.
    pub cache_write_long: u64,
    /// Of the output, tokens of thinking.
    pub reasoning: u64,
    /// What the model said to the client.
    pub body: Body,
    /// From the request to the first byte of the answer, microseconds.
    pub first_byte_us: Option<u64>,
    /// From the request to the last byte, microseconds.
    pub duration_us: Option<u64>,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}
