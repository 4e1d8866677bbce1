//! `tool_usage`: one row a tool call, the intent first, its outcome later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Body;
use crate::domain::{InterceptionId, ToolUseId};
use crate::store::column::{micros, micros_if_any};

/// A call, as it is known before it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolUse {
    /// The call.
    pub id: ToolUseId,
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its place among the interception's records.
    pub seq: u32,
    /// The round, from 1.
    pub round: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool's name as the model sees it.
    pub tool: String,
    /// The server's name in the configuration.
    pub server: Option<String>,
    /// The tool's name as its server lists it.
    pub server_tool: Option<String>,
    /// The server's URL, or `stdio:` and its command.
    pub server_url: Option<String>,
    /// The digest of the tool's definition as the model was shown it.
    pub definition: Option<String>,
    /// A tool of the catalogue, not the client's.
    pub injected: bool,
    /// How a call that runs here came to be; `None` for all others.
    pub via: Option<String>,
    /// The arguments as JSON text, or as the model wrote them.
    pub body: Body,
    /// The policy rule that decided.
    pub rule: Option<String>,
    /// The digest of the policy that the rule belongs to.
    pub policy: Option<String>,
    /// Who approved the call, where somebody had to.
    pub approver: Option<String>,
    /// When the gateway recorded that it is about to run the call; `None` where it never meant to.
    #[serde(with = "micros_if_any")]
    pub intended_at: Option<Timestamp>,
    /// When it was recorded.
    #[serde(with = "micros")]
    pub recorded_at: Timestamp,
}

/// How a call went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The call.
    pub id: ToolUseId,
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// The call's place among the interception's records.
    pub seq: u32,
    /// One of the audit's words for it.
    pub outcome: String,
    /// What came back; its size is that of the whole result. `None` where nothing did.
    pub body: Option<Body>,
    /// Whether the model got less than the whole result.
    pub truncated: bool,
    /// From the call to the result, microseconds.
    pub duration_us: Option<u64>,
    /// When the outcome was known.
    #[serde(with = "micros")]
    pub ended_at: Timestamp,
}
