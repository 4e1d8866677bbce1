use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::bounds::{self, cut};
use super::entry::{Entry, Record, without_result};
use super::queue::{Queue, stopped};
use super::{
    AuditUnavailable, CallReport, Clearance, Intent, InterceptionEnd, OUTCOME_UNKNOWN, Outcome, Times,
    TokenUsage, ToolOutcome, ToolUse, log,
};
use crate::domain::{InterceptionId, ToolUseId};
use crate::store::model_thought::ModelThought;
use crate::store::prompt_usage::PromptUsage;
use crate::store::records::prompts::Role;
use crate::store::{token_usage, tool_usage};

/// The most content that is gathered between two flushes, bytes; the rest is cut.
const GATHERED: usize = 4 << 20;

/// The records of one interception, from its start to its one end.
///
/// Dropped without an end, it writes one that says "interrupted".
#[derive(Debug)]
pub struct Trail {
    id: InterceptionId,
    queue: Arc<Queue>,
    gathered: Vec<Record>,
    gathered_bytes: usize,
    next_seq: u64,
    open_calls: Vec<OpenCall>,
    /// The reserved place of the end; gone when the end is sent.
    end_place: Option<OwnedSemaphorePermit>,
}

/// A call whose intent is recorded, and whose outcome is not.
#[derive(Debug)]
struct OpenCall {
    id: ToolUseId,
    cleared: bool,
}

impl Trail {
    pub(super) fn new(queue: Arc<Queue>, id: InterceptionId, end_place: OwnedSemaphorePermit) -> Self {
        Self {
            id,
            queue,
            gathered: Vec::new(),
            gathered_bytes: 0,
            next_seq: 0,
            open_calls: Vec::new(),
            end_place: Some(end_place),
        }
    }

    /// The interception.
    pub fn id(&self) -> InterceptionId {
        self.id
    }

    /// `prompt_usage`: what was said to the model.
    pub fn prompt(&mut self, _role: Role, prompt: String) {
        log::prompt(self.id, prompt.len());
        let row = PromptUsage {
            interception_id: self.id,
            seq: self.seq(),
            prompt: self.content(prompt),
            recorded_at: self.queue.clock.now(),
        };
        self.gathered.push(Record::Prompt(row));
    }

    /// `token_usage` of one round.
    pub fn tokens(&mut self, usage: TokenUsage) {
        let row = token_usage::TokenUsage {
            interception_id: self.id,
            seq: self.seq(),
            round: usage.round,
            model: cut(usage.model, bounds::NAME),
            response_id: cut(usage.response_id, bounds::NAME),
            usage: usage.usage,
            recorded_at: self.queue.clock.now(),
        };
        log::tokens(&row);
        self.gathered.push(Record::Tokens(row));
    }

    /// `model_thought`: what the model thought in one round, as far as the provider shows it.
    pub fn thought(&mut self, round: u32, text: String) {
        log::thought(self.id, round, text.len());
        let row = ModelThought {
            interception_id: self.id,
            seq: self.seq(),
            round,
            thought: self.content(text),
            recorded_at: self.queue.clock.now(),
        };
        self.gathered.push(Record::Thought(row));
    }

    /// `tool_usage` of a call that the gateway does not run.
    pub fn tool_use(&mut self, tool_use: ToolUse) {
        let id = ToolUseId::new();
        let outcome = tool_usage::Outcome {
            result_bytes: tool_use.result.as_ref().map(|result| result.len() as u64),
            result: tool_use.result.map(|result| self.content(result)),
            duration_ms: tool_use.duration.and_then(|duration| u64::try_from(duration.as_millis()).ok()),
            ..without_result(id, tool_use.outcome.as_str(), self.queue.clock.now())
        };
        let row = tool_usage::ToolUsage {
            id,
            interception_id: self.id,
            seq: self.seq(),
            round: tool_use.round,
            call_id: cut(tool_use.call_id, bounds::NAME),
            tool: cut(tool_use.tool, bounds::NAME),
            server: tool_use.definition.as_ref().map(|tool| tool.source.server.clone()),
            server_tool: tool_use.definition.as_ref().map(|tool| tool.source.tool.clone()),
            server_url: tool_use.definition.as_ref().map(|tool| tool.server_url.clone()),
            injected: tool_use.definition.is_some(),
            via: tool_use.via.map(|via| via.word().to_owned()),
            arguments: self.content(tool_use.arguments),
            rule: tool_use.rule,
            intended_at: None,
            outcome: Some(outcome),
        };
        log::tool(&row);
        self.gathered.push(Record::Tool(Box::new(row)));
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
        for call in &mut self.open_calls {
            call.cleared = true;
        }
        Ok(clearances)
    }

    /// The outcome of a cleared call.
    pub fn outcome(&mut self, id: ToolUseId, report: CallReport) {
        self.open_calls.retain(|call| call.id != id);
        let outcome = tool_usage::Outcome {
            result: Some(self.content(report.result)),
            result_bytes: Some(report.result_bytes),
            truncated: report.truncated,
            duration_ms: Some(u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX)),
            ..without_result(id, report.outcome.as_str(), self.queue.clock.now())
        };
        self.gather_outcome(outcome);
    }

    /// Queues what has been gathered since the last time; called between rounds, where waiting is allowed.
    ///
    /// After an error everything stays gathered, and goes with the next flush or the end.
    pub async fn flush(&mut self) -> Result<(), AuditUnavailable> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let place = self.queue.place(self.gathered_bytes).await?;
        let records = self.take_gathered();
        self.queue.send(Entry { records, ..Entry::new(place) });
        Ok(())
    }

    /// `interception_end`, in its reserved place: never waits.
    pub fn end(mut self, end: InterceptionEnd) {
        self.finish(end);
    }

    fn finish(&mut self, end: InterceptionEnd) {
        let Some(place) = self.end_place.take() else { return };
        self.give_up_uncleared_calls();
        for call in std::mem::take(&mut self.open_calls) {
            self.gather_outcome(without_result(call.id, OUTCOME_UNKNOWN, self.queue.clock.now()));
        }
        let end = end.into_row(self.id, self.queue.clock.now());
        log::end(&end);
        let records = self.take_gathered();
        self.queue.send(Entry { records, end: Some(end), ..Entry::new(place) });
    }

    /// Gathers the intent of a call, and makes the clearance that becomes good with its commit.
    fn intend(&mut self, intent: Intent) -> Clearance {
        let id = ToolUseId::new();
        let (caller, tool) = (Arc::clone(intent.permit.caller()), Arc::clone(intent.permit.tool()));
        let arguments = serde_json::to_string(&intent.arguments)
            .unwrap_or_else(|error| format!("arguments that cannot be written: {error}"));
        let row = tool_usage::ToolUsage {
            id,
            interception_id: self.id,
            seq: self.seq(),
            round: intent.round,
            call_id: cut(intent.call_id, bounds::NAME),
            tool: tool.name.clone(),
            server: Some(tool.source.server.clone()),
            server_tool: Some(tool.source.tool.clone()),
            server_url: Some(tool.server_url.clone()),
            injected: true,
            via: Some(intent.via.word().to_owned()),
            arguments: self.content(arguments),
            rule: Some(intent.permit.rule().to_owned()),
            intended_at: Some(self.queue.clock.now()),
            outcome: None,
        };
        log::tool(&row);
        self.gathered.push(Record::Tool(Box::new(row)));
        self.open_calls.push(OpenCall { id, cleared: false });
        Clearance::new(id, caller, tool, intent.arguments)
    }

    /// Queues what is gathered and waits until it is durable.
    async fn commit(&mut self) -> Result<(), AuditUnavailable> {
        let place = self.queue.place(self.gathered_bytes).await?;
        let (durable, done) = oneshot::channel();
        let records = self.take_gathered();
        self.queue.send(Entry { records, durable: Some(durable), ..Entry::new(place) });
        done.await.unwrap_or_else(|_lost| Err(stopped()))
    }

    fn give_up_uncleared_calls(&mut self) {
        let uncleared: Vec<_> = self.open_calls.extract_if(.., |call| !call.cleared).collect();
        for call in uncleared {
            let outcome = without_result(call.id, ToolOutcome::NotExecuted.as_str(), self.queue.clock.now());
            self.gather_outcome(outcome);
        }
    }

    fn gather_outcome(&mut self, outcome: tool_usage::Outcome) {
        log::outcome(self.id, &outcome);
        self.gathered.push(Record::Outcome(outcome));
    }

    fn seq(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// A text of content, cut to what one text and what the trail may hold.
    fn content(&mut self, text: String) -> String {
        let room = GATHERED.saturating_sub(self.gathered_bytes);
        let text = cut(text, bounds::CONTENT.min(room));
        self.gathered_bytes += text.len();
        text
    }

    fn take_gathered(&mut self) -> Vec<Record> {
        self.gathered_bytes = 0;
        std::mem::take(&mut self.gathered)
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        self.finish(InterceptionEnd {
            outcome: Outcome::Interrupted,
            status: None,
            error: Some("the gateway lost this interception before its end".to_owned()),
            stop_reason: None,
            times: Times::default(),
        });
    }
}
