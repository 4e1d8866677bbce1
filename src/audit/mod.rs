//! What happened: the records of every interception, and the clearances that calls need.
//!
//! One [`Audit`] per gateway, one [`Trail`] per interception. Records go through one bounded queue to one
//! writer; only an intent waits until it is durable.

mod clearance;
mod record;

pub use clearance::Clearance;
pub use record::{
    CallReport, Intent, InterceptionEnd, InterceptionStart, Outcome, TokenUsage, ToolOutcome, ToolUse,
};

use crate::domain::{InterceptionId, ToolUseId};

/// The records cannot be written now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the audit cannot record now: {0}")]
pub struct AuditUnavailable(pub String);

/// The gateway's end of the records; cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {}

impl Audit {
    /// Admits an interception: queues its start and reserves the place of its end. Waits while the queue is
    /// full; that is the back-pressure.
    pub async fn begin(&self, _start: InterceptionStart) -> Result<Trail, AuditUnavailable> {
        unimplemented!()
    }
}

/// The records of one interception, from its start to its one end.
///
/// Dropped without an end, it writes one that says "interrupted".
#[derive(Debug)]
pub struct Trail {}

impl Trail {
    /// The interception.
    pub fn id(&self) -> InterceptionId {
        unimplemented!()
    }

    /// `prompt_usage`: the last text that the user wrote.
    pub fn prompt(&mut self, _prompt: String) {}

    /// `token_usage` of one round.
    pub fn tokens(&mut self, _usage: TokenUsage) {}

    /// `model_thought`: what the model thought in one round, as far as the provider shows it.
    pub fn thought(&mut self, _round: u32, _text: String) {}

    /// `tool_usage` of a call that the gateway does not run.
    pub fn tool_use(&mut self, _tool_use: ToolUse) {}

    /// `tool_usage` of the calls that are about to run: returns when all are durable, in one commit.
    pub async fn clear(&mut self, _intents: Vec<Intent>) -> Result<Vec<Clearance>, AuditUnavailable> {
        unimplemented!()
    }

    /// The outcome of a cleared call.
    pub fn outcome(&mut self, _id: ToolUseId, _report: CallReport) {}

    /// Queues what has been gathered since the last time; called between rounds, where waiting is allowed.
    pub async fn flush(&mut self) -> Result<(), AuditUnavailable> {
        Ok(())
    }

    /// `interception_end`, in its reserved place: never waits.
    pub fn end(self, _end: InterceptionEnd) {}
}
