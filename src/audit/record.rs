//! The records, as the gateway reports them. Times are made when a record is made.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::time::{Duration, Instant};

use super::bounds::{NAME, NAMES, cut};
use crate::domain::{Caller, Digest, InterceptionId, ToolDefinition, Usage, Via};
use crate::policy::{Permit, Ruling};
use crate::store::records::{self, Who};

/// `interception_start`: a known caller's request was admitted or refused; either way it has a record.
#[derive(Debug, Clone)]
pub struct InterceptionStart {
    /// Made by the gateway, also sent to the client in `x-toolgate-interception`.
    pub id: InterceptionId,
    /// Who asked.
    pub caller: Arc<Caller>,
    /// The provider's name in the configuration; empty where the request did not get that far.
    pub provider: String,
    /// `chat`, `responses` or `messages`.
    pub dialect: &'static str,
    /// The requested model; empty where the request did not name one.
    pub model: String,
    /// Which client program, as far as its headers tell; bounded.
    pub client: String,
    /// Its version, as its headers tell; bounded.
    pub client_version: Option<String>,
    /// The client's own session id; bounded.
    pub client_session: Option<String>,
    /// Which agent of that session; bounded.
    pub agent: Option<String>,
    /// The agent that this one works for; bounded.
    pub parent_agent: Option<String>,
    /// The client's own id of the request; bounded.
    pub request_id: Option<String>,
    /// W3C trace id and the id of this interception's span, `{trace}-{span}`, hexadecimal.
    pub trace: Option<String>,
    /// By what the next request of the conversation finds this one.
    pub place: Option<Digest>,
    /// What this request goes on from.
    pub follows: Follows,
    /// The digest of the policy in force.
    pub policy: String,
    /// Whether tools were injected, and if not, why: one of a fixed set of words.
    pub injection: &'static str,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
    /// Types of the tools that the client lets the provider run, such as `web_search`.
    pub hosted: Vec<String>,
    /// What became of earlier turns of the conversation on the way up, in words.
    pub continuity: Vec<String>,
    /// The interception whose request came again, where this one goes on with it.
    pub repeats: Option<InterceptionId>,
    /// When the request came.
    pub began: Instant,
}

/// What a request goes on from, as far as it tells: the audit finds the interceptions.
#[derive(Debug, Clone, Default)]
pub struct Follows {
    /// The ids of the client's calls whose results it brings; bounded.
    pub call_ids: Vec<String>,
    /// The place of the last answer in its history, which is that of all whose conversations began alike.
    pub place: Option<Digest>,
    /// Stands for that answer in its place, as the client tells it.
    pub echo: Option<Digest>,
}

impl InterceptionStart {
    /// Of an interception of which nothing more is known yet.
    pub fn new(id: InterceptionId, caller: Arc<Caller>, dialect: &'static str) -> Self {
        Self {
            id,
            caller,
            provider: String::new(),
            dialect,
            model: String::new(),
            client: String::new(),
            client_version: None,
            client_session: None,
            agent: None,
            parent_agent: None,
            request_id: None,
            trace: None,
            place: None,
            follows: Follows::default(),
            policy: String::new(),
            injection: "",
            left_out: Vec::new(),
            hosted: Vec::new(),
            continuity: Vec::new(),
            repeats: None,
            began: Instant::now(),
        }
    }

    /// The row, as far as the gateway itself can tell; and by what its place in a conversation is found.
    pub(super) fn into_row(self, started_at: Timestamp) -> (records::Start, Follows) {
        let name = |name: String| cut(name, NAME);
        let start = records::Start {
            id: self.id,
            instance: String::new(),
            epoch: 0,
            who: Who::default(),
            provider: name(self.provider),
            dialect: self.dialect.to_owned(),
            model: name(self.model),
            client: name(self.client),
            client_version: self.client_version.map(name),
            client_session: self.client_session.map(name),
            agent: self.agent.map(name),
            parent_agent: self.parent_agent.map(name),
            request_id: self.request_id.map(name),
            trace: self.trace.map(name),
            thread: self.id,
            parent: None,
            place: self.place.map(|place| place.to_string()),
            injection: self.injection.to_owned(),
            left_out: some(self.left_out),
            hosted: some(self.hosted),
            continuity: some(self.continuity),
            repeats: self.repeats,
            policy: name(self.policy),
            started_at,
        };
        (start, self.follows)
    }
}

/// Names that the client chose, bounded.
fn some(names: Vec<String>) -> Vec<String> {
    names.into_iter().take(NAMES).map(|name| cut(name, NAME)).collect()
}

/// `interception_end`: how it went out.
#[derive(Debug, Clone)]
pub struct InterceptionEnd {
    /// How it ended.
    pub outcome: Outcome,
    /// The HTTP status that the client got, if it got one.
    pub status: Option<u16>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The stop reason that the client got, in its dialect's words.
    pub stop_reason: Option<String>,
    /// Where its time went.
    pub times: Times,
}

/// Where the time of an interception went; what is left of the whole is the gateway's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Times {
    /// From the start to the first byte for the client.
    pub first_byte: Option<Duration>,
    /// Waited for the provider.
    pub provider: Duration,
    /// Waited for tools.
    pub tools: Duration,
    /// Waited for the client.
    pub client: Duration,
}

/// How an interception ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The answer was complete.
    Completed,
    /// Refused before any round, by the gateway.
    Refused,
    /// Failed: the provider's error, a broken stream, an internal fault.
    Failed,
    /// The client went away.
    Cancelled,
    /// A cap ended the turn.
    Capped,
    /// The gateway was killed or lost the task; written afterwards.
    Interrupted,
}

impl Outcome {
    /// The word for it in the records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Capped => "capped",
            Self::Interrupted => "interrupted",
        }
    }
}

/// `token_usage`: one a round, also of rounds that broke off.
#[derive(Debug, Clone, Default)]
pub struct TokenUsage {
    /// From 1.
    pub round: u32,
    /// The answering model as the provider names it.
    pub model: String,
    /// The provider's id of this answer.
    pub response_id: String,
    /// The provider's id of the request.
    pub request_id: Option<String>,
    /// The provider's HTTP status.
    pub status: Option<u16>,
    /// The stop reason in the provider's words.
    pub stop_reason: Option<String>,
    /// What the model said to the client.
    pub text: String,
    /// From the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From the request to the last byte.
    pub duration: Option<Duration>,
    /// Tokens by class.
    pub usage: Usage,
}

/// One tool call in the records that is not run by the gateway, or not any more.
#[derive(Debug, Clone)]
pub struct ToolUse {
    /// The round in which the model made the call, from 1.
    pub round: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The tool's name as the model sees it.
    pub tool: String,
    /// The tool, where it is one of the catalogue and not the client's.
    pub definition: Option<Arc<ToolDefinition>>,
    /// How a call that was run came to be; `None` where it was not.
    pub via: Option<Via>,
    /// The arguments as the model wrote them.
    pub arguments: String,
    /// What became of it.
    pub outcome: ToolOutcome,
    /// The error text that the model got instead of a result, where there is one.
    pub result: Option<String>,
    /// From the call to its result, where it ran.
    pub duration: Option<Duration>,
    /// The policy rule that decided, where one did.
    pub ruling: Option<Ruling>,
}

/// What became of a tool call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToolOutcome {
    /// The server answered with a result.
    Ok,
    /// The server answered with an error (`isError` or a protocol error).
    ToolError,
    /// The call took too long.
    TimedOut,
    /// The server was down or broke off.
    Unreachable,
    /// A credential is missing, or the server refuses it: the result says what to do.
    Unauthorized,
    /// Cancelled because the client went away or a cap was reached.
    Cancelled,
    /// Policy said no.
    Denied,
    /// The conversation still lists the tool, which is not approved any more.
    Withdrawn,
    /// The arguments did not fit the tool's schema, or were not JSON.
    InvalidArguments,
    /// A cap on rounds or calls was reached first.
    CapReached,
    /// An injected call that was not run: past a cap, at a length limit, or because its intent could not be
    /// recorded.
    NotExecuted,
    /// The client's own call, handed to the client.
    Released,
    /// The same request had come before, and the result that the call got then is used again.
    Reused,
}

impl ToolOutcome {
    /// The word for it in the records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ToolError => "tool_error",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Unauthorized => "unauthorized",
            Self::Cancelled => "cancelled",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::InvalidArguments => "invalid_arguments",
            Self::CapReached => "cap_reached",
            Self::NotExecuted => "not_executed",
            Self::Released => "released",
            Self::Reused => "reused",
        }
    }
}

/// An injected call that is about to run.
#[derive(Debug)]
pub struct Intent {
    /// Policy's word.
    pub permit: Permit,
    /// How the call came to be.
    pub via: Via,
    /// The round in which the model made the call, from 1.
    pub round: u32,
    /// The provider's id of the call.
    pub call_id: String,
    /// The arguments, validated.
    pub arguments: Map<String, Value>,
}

/// How a cleared call went.
#[derive(Debug, Clone)]
pub struct CallReport {
    /// What became of it.
    pub outcome: ToolOutcome,
    /// The result as JSON text, as far as it is kept.
    pub result: String,
    /// Size of the whole result, bytes.
    pub result_bytes: u64,
    /// Whether the model got less than the whole result.
    pub truncated: bool,
    /// From the call to the result.
    pub duration: Duration,
}
