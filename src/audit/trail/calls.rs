//! Tool calls: what is to run, what became of it, and what did not run.

use std::sync::Arc;

use super::{Trail, body_of, micros};
use crate::audit::bounds::{self, count, cut};
use crate::audit::entry::Record;
use crate::audit::{AuditUnavailable, CallReport, Clearance, Intent, OUTCOME_UNKNOWN, ToolOutcome, ToolUse};
use crate::config::Record as Keep;
use crate::domain::{Digest, ToolDefinition, ToolUseId};
use crate::policy::Ruling;
use crate::store::records::{self, Body, Row};

/// A call whose intent is recorded, and whose outcome is not.
#[derive(Debug)]
pub(super) struct OpenCall {
    id: ToolUseId,
    seq: u32,
    /// What is kept of its result.
    keep: Keep,
    cleared: bool,
}

impl Trail {
    /// `tool_usage` of a call that the gateway does not run.
    pub fn tool_use(&mut self, tool_use: ToolUse) {
        if tool_use.definition.is_none() && tool_use.outcome == ToolOutcome::Released {
            self.sums.client_calls = self.sums.client_calls.saturating_add(1);
        }
        let keep = self.keep_of(tool_use.definition.as_deref());
        let now = self.queue.clock.now();
        let call = records::ToolUse {
            call_id: cut(tool_use.call_id, bounds::NAME),
            tool: cut(tool_use.tool, bounds::NAME),
            via: tool_use.via.map(|via| via.word().to_owned()),
            body: body_of(&tool_use.arguments),
            ..self.call(
                ToolUseId::new(),
                tool_use.round,
                tool_use.definition.as_deref(),
                tool_use.ruling.as_ref(),
            )
        };
        let outcome = records::Outcome {
            id: call.id,
            interception_id: self.id,
            seq: call.seq,
            outcome: tool_use.outcome.as_str().to_owned(),
            body: tool_use.result.as_deref().map(body_of),
            truncated: false,
            duration_us: tool_use.duration.map(micros),
            ended_at: now,
        };
        self.gather(Row::ToolUse(Box::new(call)), tool_use.arguments, keep);
        self.gather(Row::Outcome(outcome), tool_use.result.unwrap_or_default(), keep);
    }

    /// `tool_usage` of the calls that are about to run: returns when all are durable, in one commit.
    ///
    /// After an error none of them may run, and the records say `not_executed`.
    pub async fn clear(&mut self, intents: Vec<Intent>) -> Result<Vec<Clearance>, AuditUnavailable> {
        if intents.is_empty() {
            return Ok(Vec::new());
        }
        // From here on, also if this future is dropped half-way, the trail knows these calls.
        let clearances: Vec<Clearance> = intents.into_iter().map(|intent| self.intend(intent)).collect();
        if let Err(unavailable) = self.commit().await {
            self.give_up_uncleared_calls();
            return Err(unavailable);
        }
        for call in self.open_calls.iter_mut().filter(|call| !call.cleared) {
            call.cleared = true;
            self.sums.injected_calls = self.sums.injected_calls.saturating_add(1);
        }
        Ok(clearances)
    }

    /// The outcome of a cleared call.
    pub fn outcome(&mut self, id: ToolUseId, report: CallReport) {
        let Some(at) = self.open_calls.iter().position(|call| call.id == id) else {
            tracing::error!(target: "toolgate::audit", tool_use = %id, "a call that is not open has an outcome");
            return;
        };
        let call = self.open_calls.swap_remove(at);
        let outcome = records::Outcome {
            body: Some(Body { bytes: count(report.result_bytes), ..Body::default() }),
            truncated: report.truncated,
            duration_us: Some(micros(report.duration)),
            ..self.without_result(&call, report.outcome.as_str())
        };
        self.gather(Row::Outcome(outcome), report.result, call.keep);
    }

    /// Takes back clearances that are not spent: their calls do not run.
    #[expect(clippy::needless_pass_by_value, reason = "what is given back is spent")]
    pub fn give_back(&mut self, clearances: Vec<Clearance>) {
        let ids: Vec<ToolUseId> = clearances.iter().map(Clearance::id).collect();
        let given_back: Vec<_> = self.open_calls.extract_if(.., |call| ids.contains(&call.id)).collect();
        for call in given_back {
            self.sums.injected_calls = self.sums.injected_calls.saturating_sub(1);
            self.gather_outcome(&call, ToolOutcome::NotExecuted.as_str());
        }
    }

    /// Gathers the intent of a call, and makes the clearance that becomes good with its commit.
    fn intend(&mut self, intent: Intent) -> Clearance {
        let id = ToolUseId::new();
        let (caller, tool) = (Arc::clone(intent.permit.caller()), Arc::clone(intent.permit.tool()));
        let arguments = serde_json::to_string(&intent.arguments)
            .unwrap_or_else(|error| format!("arguments that cannot be written: {error}"));
        let keep = self.keep_of(Some(&tool));
        let row = records::ToolUse {
            call_id: cut(intent.call_id, bounds::NAME),
            tool: tool.name.clone(),
            via: Some(intent.via.word().to_owned()),
            body: body_of(&arguments),
            intended_at: Some(self.queue.clock.now()),
            ..self.call(id, intent.round, Some(&tool), Some(intent.permit.ruling()))
        };
        self.open_calls.push(OpenCall { id, seq: row.seq, keep, cleared: false });
        self.gather(Row::ToolUse(Box::new(row)), arguments, keep);
        Clearance::new(id, caller, tool, intent.arguments)
    }

    /// A call's row, as far as its tool tells, and policy.
    fn call(
        &mut self,
        id: ToolUseId,
        round: u32,
        tool: Option<&ToolDefinition>,
        ruling: Option<&Ruling>,
    ) -> records::ToolUse {
        records::ToolUse {
            id,
            interception_id: self.id,
            seq: self.seq(),
            round,
            call_id: String::new(),
            tool: String::new(),
            server: tool.map(|tool| tool.source.server.clone()),
            server_tool: tool.map(|tool| cut(tool.source.tool.clone(), bounds::NAME)),
            server_url: tool.map(|tool| cut(tool.server_url.clone(), bounds::REASON)),
            definition: tool.map(|tool| tool.digest).filter(is_known).map(|digest| digest.to_string()),
            injected: tool.is_some(),
            via: None,
            body: Body::default(),
            rule: ruling.map(|ruling| cut(ruling.rule.clone(), bounds::NAME)),
            policy: ruling.map(|ruling| ruling.policy.clone()),
            approver: None,
            intended_at: None,
            recorded_at: self.queue.clock.now(),
        }
    }

    /// Ends the calls that are still open: those that were not cleared did not run, what became of the others nobody saw.
    pub(super) fn close_calls(&mut self) {
        self.give_up_uncleared_calls();
        for call in std::mem::take(&mut self.open_calls) {
            self.gather_outcome(&call, OUTCOME_UNKNOWN);
        }
    }

    fn give_up_uncleared_calls(&mut self) {
        let uncleared: Vec<_> = self.open_calls.extract_if(.., |call| !call.cleared).collect();
        for call in uncleared {
            self.gather_outcome(&call, ToolOutcome::NotExecuted.as_str());
        }
    }

    fn gather_outcome(&mut self, call: &OpenCall, outcome: &str) {
        let row = self.without_result(call, outcome);
        self.gathered.push(Record::of(Row::Outcome(row)));
    }

    /// An outcome of a call that brought nothing back.
    fn without_result(&self, call: &OpenCall, outcome: &str) -> records::Outcome {
        records::Outcome {
            id: call.id,
            interception_id: self.id,
            seq: call.seq,
            outcome: outcome.to_owned(),
            body: None,
            truncated: false,
            duration_us: None,
            ended_at: self.queue.clock.now(),
        }
    }

    /// What is kept of the arguments and the result of a call.
    fn keep_of(&self, tool: Option<&ToolDefinition>) -> Keep {
        tool.map_or(self.keep, |tool| self.recording.of_tool(&tool.source))
    }
}

/// Whether a definition has a digest: what was pinned before there was one, or is no tool, has none.
fn is_known(digest: &Digest) -> bool {
    *digest != Digest::default()
}
