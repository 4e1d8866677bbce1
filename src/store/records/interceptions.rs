//! `interceptions`: one row a client request, from its start to its one end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Who;
use crate::domain::InterceptionId;
use crate::store::column::micros;

/// What is known when an interception begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The interception.
    pub id: InterceptionId,
    /// Which gateway.
    pub instance: String,
    /// Which run of it.
    pub epoch: u64,
    /// Who asked.
    pub who: Who,
    /// The provider's name in the configuration; empty where the request did not get that far.
    pub provider: String,
    /// `chat`, `responses`, `messages` or `mcp`.
    pub dialect: String,
    /// The requested model.
    pub model: String,
    /// The client program.
    pub client: String,
    /// Its version, as it says.
    pub client_version: Option<String>,
    /// The client's own session id.
    pub client_session: Option<String>,
    /// Which agent of the session.
    pub agent: Option<String>,
    /// The agent that this one works for.
    pub parent_agent: Option<String>,
    /// The client's own id of the request.
    pub request_id: Option<String>,
    /// W3C trace id and the id of this interception's span, `{trace}-{span}`, hexadecimal.
    pub trace: Option<String>,
    /// The first interception of the conversation that this one belongs to; its own id, where it is the first.
    pub thread: InterceptionId,
    /// The interception whose answer this one goes on from.
    pub parent: Option<InterceptionId>,
    /// The digest by which the next request of the conversation finds this one.
    pub place: Option<String>,
    /// Whether tools were injected, or why not.
    pub injection: String,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
    /// Types of the tools that the client let the provider run.
    pub hosted: Vec<String>,
    /// What became of earlier turns of the conversation on the way up, in words.
    pub continuity: Vec<String>,
    /// The interception whose request came again, where this one goes on with it.
    pub repeats: Option<InterceptionId>,
    /// The digest of the policy in force.
    pub policy: String,
    /// When it began.
    #[serde(with = "micros")]
    pub started_at: Timestamp,
}

/// What is known when it has ended. Times of one interception add up: what `total_us` has beyond `provider_us` and
/// `tools_us` is the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// The interception.
    pub id: InterceptionId,
    /// When it ended, or when that was found out.
    #[serde(with = "micros")]
    pub ended_at: Timestamp,
    /// One of the audit's words for it.
    pub outcome: String,
    /// The HTTP status that the client got.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The stop reason that the client got.
    pub stop_reason: Option<String>,
    /// The model that answered the last round.
    pub answered_by: Option<String>,
    /// From the start to the first byte for the client, microseconds.
    pub first_byte_us: Option<u64>,
    /// From the start to the end, microseconds; `None` where nobody saw the end.
    pub total_us: Option<u64>,
    /// Waited for the provider, microseconds.
    pub provider_us: u64,
    /// Waited for tools and for nothing else, microseconds.
    pub tools_us: u64,
    /// Rounds.
    pub rounds: u32,
    /// Injected calls that ran.
    pub injected_calls: u32,
    /// Calls of the client's own tools.
    pub client_calls: u32,
    /// Input tokens of all rounds, neither read from nor written to a cache.
    pub input: u64,
    /// Output tokens of all rounds.
    pub output: u64,
    /// Tokens read from caches.
    pub cache_read: u64,
    /// Tokens written to caches, short- and long-lived.
    pub cache_write: u64,
    /// Of the output, tokens of thinking.
    pub reasoning: u64,
}
