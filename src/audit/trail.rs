mod sums;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Duration, Instant};

use super::bounds::{self, count, cut};
use super::entry::{Entry, Record, Waiting};
use super::queue::{Queue, stopped};
use super::recording::Recording;
use super::{
    AuditUnavailable, CallReport, Clearance, Intent, InterceptionEnd, OUTCOME_UNKNOWN, Outcome, Times,
    TokenUsage, ToolOutcome, ToolUse,
};
use crate::config::Record as Keep;
use crate::domain::{Caller, InterceptionId, ToolDefinition, ToolUseId, Usage};
use crate::store::records::prompts::Role;
use crate::store::records::{self, Body, Prompt, Row, Thought, Tokens};
use sums::Sums;

/// The most content that is gathered between two flushes, bytes; for the rest there is no room.
const GATHERED: usize = 4 << 20;

/// The records of one interception, from its start to its one end.
///
/// Dropped without an end, it writes one that says "interrupted".
#[derive(Debug)]
pub struct Trail {
    id: InterceptionId,
    caller: Arc<Caller>,
    /// The digest of the policy that decides on its calls.
    policy: String,
    recording: Arc<Recording>,
    /// What is kept of prompts, thoughts and answers.
    keep: Keep,
    queue: Arc<Queue>,
    gathered: Vec<Record>,
    gathered_bytes: usize,
    next_seq: u32,
    open_calls: Vec<OpenCall>,
    began: Instant,
    sums: Sums,
    /// The reserved place of the end; gone when the end is sent.
    end_place: Option<OwnedSemaphorePermit>,
}

/// A call whose intent is recorded, and whose outcome is not.
#[derive(Debug)]
struct OpenCall {
    id: ToolUseId,
    seq: u32,
    /// What is kept of its result.
    keep: Keep,
    cleared: bool,
}

/// What a trail is made of.
#[derive(Debug)]
pub(super) struct Beginning {
    pub id: InterceptionId,
    pub caller: Arc<Caller>,
    pub provider: String,
    pub policy: String,
    pub began: Instant,
    pub recording: Arc<Recording>,
    pub end_place: OwnedSemaphorePermit,
}

impl Trail {
    pub(super) fn new(queue: Arc<Queue>, beginning: Beginning) -> Self {
        let Beginning { id, caller, provider, policy, began, recording, end_place } = beginning;
        Self {
            id,
            caller,
            policy,
            keep: recording.of_provider(&provider),
            recording,
            queue,
            gathered: Vec::new(),
            gathered_bytes: 0,
            next_seq: 0,
            open_calls: Vec::new(),
            began,
            sums: Sums::default(),
            end_place: Some(end_place),
        }
    }

    /// The interception.
    pub fn id(&self) -> InterceptionId {
        self.id
    }

    /// `prompt_usage`: what was said to the model.
    pub fn prompt(&mut self, role: Role, prompt: String) {
        let row = Prompt {
            interception_id: self.id,
            seq: self.seq(),
            role,
            body: body_of(&prompt),
            recorded_at: self.queue.clock.now(),
        };
        self.gather(Row::Prompt(row), prompt, self.keep);
    }

    /// `token_usage` of one round.
    pub fn tokens(&mut self, usage: TokenUsage) {
        let tokens = capped(usage.usage);
        self.sums.add(usage.round, &usage.model, tokens);
        let row = Tokens {
            interception_id: self.id,
            seq: self.seq(),
            round: usage.round,
            model: cut(usage.model, bounds::NAME),
            response_id: cut(usage.response_id, bounds::NAME),
            request_id: usage.request_id.map(|id| cut(id, bounds::NAME)),
            status: usage.status,
            stop_reason: usage.stop_reason.map(|reason| cut(reason, bounds::NAME)),
            input: tokens.input,
            output: tokens.output,
            cache_read: tokens.cache_read,
            cache_write_short: tokens.cache_write_short,
            cache_write_long: tokens.cache_write_long,
            reasoning: tokens.reasoning,
            body: body_of(&usage.text),
            first_byte_us: usage.first_byte.map(micros),
            duration_us: usage.duration.map(micros),
            recorded_at: self.queue.clock.now(),
        };
        self.gather(Row::Tokens(Box::new(row)), usage.text, self.keep);
    }

    /// `model_thought`: what the model thought in one round, as far as the provider shows it.
    pub fn thought(&mut self, round: u32, text: String) {
        let row = Thought {
            interception_id: self.id,
            seq: self.seq(),
            round,
            body: body_of(&text),
            recorded_at: self.queue.clock.now(),
        };
        self.gather(Row::Thought(row), text, self.keep);
    }

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
            policy: tool_use.rule.is_some().then(|| self.policy.clone()),
            rule: tool_use.rule.map(|rule| cut(rule, bounds::NAME)),
            ..self.call(ToolUseId::new(), tool_use.round, tool_use.definition.as_deref())
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

    /// Queues what has been gathered since the last time; called between rounds, where waiting is allowed.
    ///
    /// Where nothing can be written now, everything stays gathered, and goes with the next flush or the end.
    pub async fn flush(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        if let Ok(place) = self.queue.place(&mut self.gathered, &mut self.gathered_bytes).await {
            let entry = self.take_gathered(place);
            self.queue.send(entry);
        }
    }

    /// `interception_end`, in its reserved place: never waits.
    pub fn end(mut self, end: InterceptionEnd) {
        self.finish(end);
    }

    fn finish(&mut self, end: InterceptionEnd) {
        let Some(place) = self.end_place.take() else { return };
        self.give_up_uncleared_calls();
        for call in std::mem::take(&mut self.open_calls) {
            self.gather_outcome(&call, OUTCOME_UNKNOWN);
        }
        let sums = std::mem::take(&mut self.sums);
        let end = sums.end(self.id, end, self.queue.clock.now(), self.began.elapsed());
        self.gathered.push(Record::of(Row::End(Box::new(end))));
        let room = self.queue.more_room(&mut self.gathered, self.gathered_bytes);
        let mut entry = self.take_gathered(place);
        entry.places.1 = room;
        self.queue.send(entry);
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
            rule: Some(cut(intent.permit.rule().to_owned(), bounds::NAME)),
            policy: Some(self.policy.clone()),
            intended_at: Some(self.queue.clock.now()),
            ..self.call(id, intent.round, Some(&tool))
        };
        self.open_calls.push(OpenCall { id, seq: row.seq, keep, cleared: false });
        self.gather(Row::ToolUse(Box::new(row)), arguments, keep);
        Clearance::new(id, caller, tool, intent.arguments)
    }

    /// A call's row, as far as its tool tells.
    fn call(&mut self, id: ToolUseId, round: u32, tool: Option<&ToolDefinition>) -> records::ToolUse {
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
            definition: tool.map(|tool| tool.digest.to_string()),
            injected: tool.is_some(),
            via: None,
            body: Body::default(),
            rule: None,
            policy: None,
            approver: None,
            intended_at: None,
            recorded_at: self.queue.clock.now(),
        }
    }

    /// Queues what is gathered and waits until it is durable.
    async fn commit(&mut self) -> Result<(), AuditUnavailable> {
        let place = self.queue.place(&mut self.gathered, &mut self.gathered_bytes).await?;
        let (durable, done) = oneshot::channel();
        let waiting = Some(Waiting { interception: Some(self.id), durable });
        let entry = Entry { waiting, ..self.take_gathered(place) };
        self.queue.send(entry);
        done.await.unwrap_or_else(|_lost| Err(stopped()))
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

    fn seq(&mut self) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// What is kept of the arguments and the result of a call.
    fn keep_of(&self, tool: Option<&ToolDefinition>) -> Keep {
        tool.map_or(self.keep, |tool| self.recording.of_tool(&tool.source))
    }

    fn gather(&mut self, row: Row, text: String, keep: Keep) {
        let room = GATHERED.saturating_sub(self.gathered_bytes);
        let record = Record::with_text(row, text, keep, room);
        self.queue.count_dropped(u64::from(record.was_dropped()));
        self.gathered_bytes += record.text.as_ref().map_or(0, |text| text.text.len());
        self.gathered.push(record);
    }

    fn take_gathered(&mut self, place: OwnedSemaphorePermit) -> Entry {
        self.gathered_bytes = 0;
        Entry::new(Some(Arc::clone(&self.caller)), std::mem::take(&mut self.gathered), place)
    }
}

/// What a row says of a text before it is known what is kept of it.
fn body_of(text: &str) -> Body {
    Body { bytes: count(text.len() as u64), ..Body::default() }
}

fn capped(usage: Usage) -> Usage {
    Usage {
        input: count(usage.input),
        output: count(usage.output),
        cache_read: count(usage.cache_read),
        cache_write_short: count(usage.cache_write_short),
        cache_write_long: count(usage.cache_write_long),
        reasoning: count(usage.reasoning),
    }
}

fn micros(duration: Duration) -> u64 {
    count(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
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
