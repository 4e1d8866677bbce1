//! One record as it goes out: flat, under names that collectors of this kind know, with the gateway's own beside them.
//! Log lines and webhooks say the same; `examples/schemas/audit-log.schema.json` is made from this file, and
//! `fill.rs` fills it in.

mod fill;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::InterceptionId;

/// What every line's message is.
#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[schemars(inline)]
pub enum Message {
    /// The only one.
    #[serde(rename = "interception log")]
    InterceptionLog,
}

/// One record of the audit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "record_type", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "One line of Toolgate's audit log")]
pub enum Line {
    /// A request of a known caller was admitted or refused.
    InterceptionStart {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request's id, also sent to the client as `x-toolgate-interception`.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// The provider's name in the configuration; empty where the request did not get that far.
        provider: String,
        /// The requested model.
        model: String,
        /// The client program, as far as its headers tell.
        client: String,
        /// When it began.
        #[schemars(with = "String", extend("format" = "date-time"))]
        started_at: Timestamp,
        /// The name of the key.
        key: Option<String>,
        /// The user's groups.
        groups: Vec<String>,
        /// `chat`, `responses`, `messages` or `mcp`.
        dialect: String,
        /// The client's version, as it says.
        client_version: Option<String>,
        /// The client's own session id.
        client_session: Option<String>,
        /// Which agent of the session.
        agent: Option<String>,
        /// The agent that this one works for.
        parent_agent: Option<String>,
        /// The client's own id of the request.
        request_id: Option<String>,
        /// The W3C trace, hexadecimal.
        trace_id: Option<String>,
        /// The interception's span in it, hexadecimal.
        span_id: Option<String>,
        /// The first interception of the conversation.
        #[schemars(with = "String")]
        thread_id: InterceptionId,
        /// The interception that this one goes on from.
        #[schemars(with = "Option<String>")]
        parent_id: Option<InterceptionId>,
        /// The interception whose request came again.
        #[schemars(with = "Option<String>")]
        repeats: Option<InterceptionId>,
        /// Whether tools were injected, or why not.
        injection: String,
        /// Tools that were left out, each with its reason.
        left_out: Vec<String>,
        /// Tools that the client lets the provider run.
        hosted: Vec<String>,
        /// The digest of the policy in force.
        policy: String,
        /// Which gateway.
        instance: String,
    },
    /// How a request went out.
    InterceptionEnd {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// When it ended, or when that was found out.
        #[schemars(with = "String", extend("format" = "date-time"))]
        ended_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// `completed`, `refused`, `failed`, `cancelled`, `capped` or `interrupted`.
        outcome: String,
        /// The HTTP status that the client got.
        status: Option<u16>,
        /// What went wrong.
        error: Option<String>,
        /// The stop reason that the client got.
        stop_reason: Option<String>,
        /// The model that answered the last round.
        answered_by: Option<String>,
        /// From the start to the first byte for the client, microseconds.
        first_byte_us: Option<u64>,
        /// From the start to the end, microseconds.
        total_us: Option<u64>,
        /// Waited for the provider, microseconds.
        provider_us: u64,
        /// Waited for tools and for nothing else, microseconds.
        tools_us: u64,
        /// Waited for the client, which sent its request or took its answer slowly, microseconds.
        client_us: u64,
        /// The gateway's own part of the whole, microseconds.
        overhead_us: Option<u64>,
        /// Upstream calls.
        rounds: u32,
        /// Injected calls that ran.
        injected_calls: u32,
        /// Calls of the client's own tools.
        client_calls: u32,
        /// Input tokens of all rounds, neither read from nor written to a cache.
        input_tokens: u64,
        /// Output tokens of all rounds, reasoning included.
        output_tokens: u64,
        /// Tokens read from caches.
        cache_read_tokens: u64,
        /// Tokens written to caches.
        cache_write_tokens: u64,
        /// Of the output, tokens of thinking.
        reasoning_tokens: u64,
    },
    /// One upstream call and its tokens.
    TokenUsage {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// Input tokens neither read from nor written to a cache.
        input_tokens: u64,
        /// Output tokens, reasoning included.
        output_tokens: u64,
        /// When it was recorded.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// The upstream call, from 1.
        round: u32,
        /// The model that answered.
        model: String,
        /// The provider's id of the answer.
        response_id: String,
        /// The provider's id of the request.
        request_id: Option<String>,
        /// The provider's HTTP status.
        status: Option<u16>,
        /// The stop reason in the provider's words.
        stop_reason: Option<String>,
        /// Tokens read from a cache.
        cache_read_tokens: u64,
        /// Tokens written to a cache, short-lived.
        cache_write_short_tokens: u64,
        /// Tokens written to a cache, long-lived.
        cache_write_long_tokens: u64,
        /// Of the output, tokens of thinking.
        reasoning_tokens: u64,
        /// What the model said to the client, as far as it goes out here.
        text: Option<String>,
        /// How much that was, and what is kept of it.
        body: Body,
        /// From the request to the first byte of the answer, microseconds.
        first_byte_us: Option<u64>,
        /// From the request to the last byte, microseconds.
        duration_us: Option<u64>,
    },
    /// What was said to the model.
    PromptUsage {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// The text, as far as it goes out here.
        prompt: Option<String>,
        /// When it was recorded.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// `system` or `user`.
        role: &'static str,
        /// How much that was, and what is kept of it.
        body: Body,
    },
    /// A tool call: one line a call, before it runs or when it is handed to the client.
    ToolUsage {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// The tool's name as the model sees it.
        tool: String,
        /// The arguments as JSON text, as far as they go out here.
        input: Option<String>,
        /// The server's URL, or `stdio:` and its command; of injected calls alone.
        server_url: Option<String>,
        /// A tool of the gateway's, not the client's.
        injected: bool,
        /// When it was recorded.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// The call's own id, which its `tool_outcome` has too.
        tool_use_id: String,
        /// The upstream call in which the model made it, from 1.
        round: u32,
        /// The provider's id of the call.
        call_id: String,
        /// The server's name in the configuration.
        server: Option<String>,
        /// The tool's name as its server lists it.
        server_tool: Option<String>,
        /// The digest of the tool's definition, as it stands in `tools.lock`.
        definition: Option<String>,
        /// How a call that runs here came to be: `injected`, `search` or `mcp`.
        via: Option<String>,
        /// The policy rule that decided.
        rule: Option<String>,
        /// The digest of the policy that the rule belongs to.
        policy: Option<String>,
        /// Who approved the call, where somebody had to.
        approver: Option<String>,
        /// How much the arguments were, and what is kept of them.
        body: Body,
    },
    /// How a tool call went.
    ToolOutcome {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// The call.
        tool_use_id: String,
        /// `ok`, `tool_error`, `timed_out`, `denied`, `released`, `unknown` and others.
        outcome: String,
        /// The result as JSON text, as far as it goes out here.
        result: Option<String>,
        /// When it was known.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// Whether the model got less than the whole result.
        truncated: bool,
        /// From the call to the result, microseconds.
        duration_us: Option<u64>,
        /// How much the result was, and what is kept of it; none where nothing came back.
        body: Option<Body>,
    },
    /// What the model thought in one round.
    ModelThought {
        /// What all lines of the audit have in common.
        message: Message,
        /// The request.
        #[schemars(with = "String")]
        interception_id: InterceptionId,
        /// The text, as far as it goes out here.
        content: Option<String>,
        /// When it was recorded.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// The user of the key that was presented.
        initiator_id: Option<String>,
        /// The upstream call, from 1.
        round: u32,
        /// How much that was, and what is kept of it.
        body: Body,
    },
    /// Something that was done with the records themselves.
    AuditEvent {
        /// What all lines of the audit have in common.
        message: Message,
        /// The event's own id.
        event_id: String,
        /// Who did it; nobody, where the gateway did it by itself.
        initiator_id: Option<String>,
        /// `read`, `export`, `prune`, `erase`, `close`, `late` or `lost`.
        action: &'static str,
        /// The particulars.
        detail: Value,
        /// Which gateway, or `cli`.
        instance: String,
        /// When.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
    },
    /// A signed statement of how far the chains of all gateways had come.
    AuditCheckpoint {
        /// What all lines of the audit have in common.
        message: Message,
        /// The checkpoint's own id.
        checkpoint_id: String,
        /// When it was made.
        #[schemars(with = "String", extend("format" = "date-time"))]
        created_at: Timestamp,
        /// JSON, signed to the byte as it stands here.
        body: String,
        /// Ed25519 over the body, base64.
        signature: String,
    },
}

/// A text, as far as it is known here without being said.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Size of the whole text, bytes.
    bytes: u64,
    /// What goes out here: `none`, `digest`, `redacted`, `full`, `cut` (its beginning) or `dropped` (there was no room).
    kept: &'static str,
    /// Its digest under its person's key, where one is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl Body {
    pub(super) fn new(bytes: u64, kept: &'static str, digest: Option<String>) -> Self {
        Self { bytes, kept, digest }
    }
}
