//! Plain data, below every other room: no IO, no policy, no wire formats.

mod behalf;
mod call;
mod caller;
mod digest;
mod failure;
mod hex;
mod ids;
mod issued;
mod tool;
mod trace;
mod usage;
mod visible;

pub use behalf::{Behalf, CALLER_HEADER_PREFIX, CallerHeaders};
pub use call::{Content, ToolCall, ToolResult};
pub use caller::{Caller, Form, Inject, Render, ToolSettings};
pub use digest::Digest;
pub use failure::{Failure, FailureKind};
pub use ids::{EventId, InterceptionId, ToolUseId};
pub use issued::IssuedId;
pub use tool::{OWN_SERVER, Repeat, ToolDefinition, ToolRef, Via};
pub use trace::{BAGGAGE, NoTrace, SpanId, TRACEPARENT, TRACESTATE, Trace};
pub use usage::Usage;
pub use visible::{first_hidden, hidden, on_one_line, visible, visible_json};
