//! Whether one injected call may run: caps, policy, arguments, in this order.

use super::rounds::Rounds;
use super::searching::Subject;
use crate::audit::{Intent, ToolOutcome};
use crate::domain::{Repeat, ToolCall, ToolDefinition, ToolResult, Via};
use crate::mcp::Tool;
use crate::policy::Ruling;

/// What is decided on one injected call.
pub enum Decision {
    /// Policy allows it, and its arguments fit.
    Run(Box<Intent>),
    /// The gateway answers it itself.
    Answer(ToolResult),
    /// It ran when the same request came before.
    Reuse(ToolResult),
    /// The model gets this instead of a result.
    Refuse {
        /// For the records.
        outcome: ToolOutcome,
        /// For the model.
        told: String,
        /// The rule of policy that decided.
        ruling: Option<Ruling>,
    },
}

impl Decision {
    fn refuse(outcome: ToolOutcome, told: impl Into<String>) -> Self {
        Self::Refuse { outcome, told: told.into(), ruling: None }
    }
}

impl Rounds<'_> {
    /// Whether a call of an earlier try counts for this one too.
    pub(super) fn may_join(&self, call: &ToolCall) -> bool {
        let repeat = match self.subject(call) {
            Subject::Listed(injected) => injected.in_force().repeat,
            Subject::Found(tool, _) => tool.definition.repeat,
            Subject::Search | Subject::Lost(_) | Subject::Unknown => Repeat::Join,
        };
        repeat == Repeat::Join
    }

    /// Decides on one call; `planned` calls of this round are to run already.
    pub(super) fn decide(&self, call: &ToolCall, planned: usize) -> Decision {
        if let Some(told) = self.cap_reached(planned) {
            return Decision::refuse(ToolOutcome::CapReached, told);
        }
        match self.subject(call) {
            Subject::Listed(injected) => match &injected.live {
                Some(tool) => self.weigh(tool, &call.name, &call.arguments, call, Via::Injected),
                None => self.refuse_withdrawn(&injected.definition),
            },
            Subject::Found(tool, arguments) => {
                self.weigh(&tool, &tool.definition.name, &arguments, call, Via::Search)
            }
            Subject::Search => match self.find(&call.arguments) {
                Ok(result) => Decision::Answer(result),
                Err(told) => Decision::refuse(ToolOutcome::InvalidArguments, told),
            },
            Subject::Lost(lost) => self.refuse_lost(lost),
            Subject::Unknown => {
                Decision::refuse(ToolOutcome::Denied, format!("There is no tool {}.", call.name))
            }
        }
    }

    fn cap_reached(&self, planned: usize) -> Option<String> {
        let limits = &self.gateway.limits;
        let cap = if self.with_calls > limits.max_rounds {
            format!("{} rounds of tool calls", limits.max_rounds)
        } else if self.calls_run as usize + planned >= limits.max_calls as usize {
            format!("{} tool calls", limits.max_calls)
        } else {
            return None;
        };
        Some(format!("Not run: the limit of {cap} for one answer is reached. Answer with what you have."))
    }

    /// Asks policy, then the tool's schema, which is nothing to who may not call it: a conversation may still list a
    /// tool that its caller may not even see by now.
    fn weigh(&self, tool: &Tool, name: &str, arguments: &str, call: &ToolCall, via: Via) -> Decision {
        let (policy, caller) = (&self.gateway.policy, &self.incoming.caller);
        let seen = policy.may_see(caller, &tool.definition.source);
        let permit = match seen.and_then(|()| policy.permit(caller, &tool.definition)) {
            Ok(permit) => permit,
            Err(denial) => {
                let told = format!("Not run: policy does not allow {name} to be called.");
                return Decision::Refuse { outcome: ToolOutcome::Denied, told, ruling: denial.by };
            }
        };
        match tool.check(arguments) {
            Ok(arguments) => {
                let (round, call_id) = (self.number, call.id.clone());
                Decision::Run(Box::new(Intent { permit, via, round, call_id, arguments }))
            }
            Err(told) => Decision::refuse(ToolOutcome::InvalidArguments, told),
        }
    }

    /// A tool that the conversation was shown may be gone by now, or its server not up since the gateway started.
    fn refuse_withdrawn(&self, tool: &ToolDefinition) -> Decision {
        let (name, server) = (&tool.name, self.gateway.fleet.status(&tool.source.server));
        let may_know = self.gateway.policy.may_see(&self.incoming.caller, &tool.source).is_ok();
        if let Some(told) = self.gateway.fleet.quarantine(&tool.source).filter(|_| may_know) {
            Decision::refuse(ToolOutcome::Withdrawn, told)
        } else if may_know && server.is_some_and(|server| !server.is_up()) {
            let told = format!("Not run: the server of {name} cannot be reached now.");
            Decision::refuse(ToolOutcome::Unreachable, told)
        } else {
            let told = format!("Not run: {name} is not offered any more. Go on without it.");
            Decision::refuse(ToolOutcome::Withdrawn, told)
        }
    }
}
