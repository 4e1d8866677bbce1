//! `model_thought`: what the model thought in one round, as far as its provider shows it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::micros;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
    pub round: u32,
    /// The text.
    pub body: Body,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}
