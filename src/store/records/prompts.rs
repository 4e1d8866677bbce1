//! `prompt_usage`: what was said to the model.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Body;
use crate::domain::InterceptionId;
use crate::store::column::micros;

/// One row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// Whose words.
    pub role: Role,
    /// The text.
    pub body: Body,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

/// Whose words a prompt is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The application's instructions.
    System,
    /// The last that the user wrote.
    User,
}
