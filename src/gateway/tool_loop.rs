//! What becomes of a round's calls: run, refused, or left to the client.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;

use super::decision::Decision;
use super::ending::Stop;
use super::line::Interruption;
use super::result_size::{cap, size};
use super::rounds::Rounds;
use super::searching::Subject;
use super::stopwatch::On;
use crate::audit::{CallReport, Clearance, Intent, ToolOutcome, ToolUse};
use crate::dialect::{NextRound, Round};
use crate::domain::{Failure, FailureKind, ToolCall, ToolResult, ToolUseId};
use crate::mcp::{self, CallEnd};
use crate::policy::Ruling;

/// What the model is told of a call that was left out.
const NOT_RUN: &str = "Not run.";

/// What comes after a round.
#[derive(Debug, Default)]
pub struct Verdict {
    /// One for each injected call, in call order.
    pub answered: Vec<Answered>,
    /// Which tools the next round may call; `None` where the message is complete.
    pub next: Option<NextRound>,
    /// A cap was reached.
    pub capped: bool,
}

/// A call that has its answer.
#[derive(Debug)]
pub struct Answered {
    /// What the model gets.
    pub result: ToolResult,
    /// From the call to its result; `None` where it did not run.
    pub duration: Option<Duration>,
}

impl Verdict {
    /// The results of the injected calls, in call order.
    pub fn results(&self) -> Vec<ToolResult> {
        self.answered.iter().map(|answered| answered.result.clone()).collect()
    }
}

impl Answered {
    fn not_run() -> Self {
        Self { result: ToolResult::error(NOT_RUN), duration: None }
    }
}

impl Rounds<'_> {
    /// Decides on a round's calls and runs the injected ones. Where the client has calls of its own to run, the
    /// message is complete with that.
    pub async fn answer_calls(&mut self, round: &Round) -> Result<Verdict, Stop> {
        for call in round.client_calls() {
            self.record_call(call, ToolOutcome::Released, None, None);
        }
        let injected: Vec<&ToolCall> = round.injected_calls().collect();
        if injected.is_empty() {
            return Ok(Verdict::default());
        }
        let is_mixed = round.client_calls().next().is_some();
        let is_exhausted = self.is_exhausted();
        if is_exhausted || !round.wants_results {
            for call in &injected {
                self.record_call(call, ToolOutcome::NotExecuted, None, None);
            }
            let answered = injected.iter().map(|_| Answered::not_run()).collect();
            return Ok(Verdict { answered, next: None, capped: is_exhausted });
        }
        let answered = self.answer_injected(&injected).await?;
        let next = if self.is_exhausted() { NextRound::MayNotCall } else { NextRound::MayCall };
        Ok(Verdict { answered, next: (!is_mixed).then_some(next), capped: false })
    }

    /// Whether the model has been told twice that a cap is reached: the first time it may still answer with
    /// the client's tools, after the second it may call nothing.
    fn is_exhausted(&self) -> bool {
        self.capped > 1
    }

    /// The answers to injected calls, in call order: those that may run do so at once, side by side.
    async fn answer_injected(&mut self, calls: &[&ToolCall]) -> Result<Vec<Answered>, Stop> {
        self.with_calls += 1;
        let mut earlier = self.repeated_results().await?.into_iter();
        let mut answers: Vec<Option<Answered>> = Vec::with_capacity(calls.len());
        let (mut intents, mut places, mut capped) = (Vec::new(), Vec::new(), false);
        for (place, call) in calls.iter().enumerate() {
            let earlier = earlier.next().flatten().filter(|_| self.may_join(call));
            let decision = match earlier {
                Some(result) => Decision::Reuse(result),
                None => self.decide(call, intents.len()),
            };
            let result = match decision {
                Decision::Run(intent) => {
                    intents.push(*intent);
                    places.push(place);
                    None
                }
                Decision::Answer(result) => {
                    self.calls_run = self.calls_run.saturating_add(1);
                    self.record_call(call, ToolOutcome::Ok, Some(mcp::write_result(&result)), None);
                    Some(cap(result, self.gateway.limits.max_result_bytes).0)
                }
                Decision::Reuse(result) => {
                    self.calls_run = self.calls_run.saturating_add(1);
                    self.record_call(call, ToolOutcome::Reused, None, None);
                    Some(result)
                }
                Decision::Refuse { outcome, told, ruling } => {
                    capped |= outcome == ToolOutcome::CapReached;
                    self.record_call(call, outcome, Some(told.clone()), ruling);
                    Some(ToolResult::error(told))
                }
            };
            if let Some(result) = &result {
                self.past.note_result(place, result);
            }
            answers.push(result.map(|result| Answered { result, duration: None }));
        }
        self.capped += u32::from(capped);
        self.clear_and_run(intents, &places, &mut answers).await?;
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(Answered::not_run)).collect())
    }

    /// Has the intents recorded, and runs what they are cleared for; each answer goes to its place.
    async fn clear_and_run(
        &mut self,
        intents: Vec<Intent>,
        places: &[usize],
        answers: &mut [Option<Answered>],
    ) -> Result<(), Stop> {
        let unrecorded = |error| {
            let message = "the audit cannot record tool calls now, so none is run";
            Stop::Failed(Failure::new(FailureKind::Unavailable, message).with_detail(error))
        };
        if intents.is_empty() {
            self.trail.flush().await;
            return Ok(());
        }
        // What these calls bring is new to the model: how it went on before is of no use any more.
        self.past.go_own_way();
        let cleared = self.line.attend(On::Own, self.trail.clear(intents)).await?;
        let clearances = cleared.map_err(unrecorded)?;
        if let Err(why) = self.line.still_wanted() {
            self.trail.give_back(clearances);
            return Err(why.into());
        }
        self.run_cleared(clearances, places, answers).await?;
        // The next round's calls do not have to wait for what these gave.
        self.trail.flush_if_room();
        Ok(())
    }

    /// Runs cleared calls side by side. When the client goes away, only those that change nothing are
    /// cancelled; the others finish, and every outcome is recorded.
    async fn run_cleared(
        &mut self,
        clearances: Vec<Clearance>,
        places: &[usize],
        answers: &mut [Option<Answered>],
    ) -> Result<(), Stop> {
        let count = u32::try_from(clearances.len()).unwrap_or(u32::MAX);
        self.calls_run = self.calls_run.saturating_add(count);
        let cancel = CancellationToken::new();
        let (fleet, behalf) = (&self.gateway.fleet, self.behalf.clone());
        let behalf = &behalf;
        let running = clearances.into_iter().zip(places).map(|(clearance, place)| {
            let may_stop = clearance.tool().read_only;
            let token = if may_stop { cancel.clone() } else { CancellationToken::new() };
            let id = clearance.id();
            async move { (*place, id, fleet.call(clearance, behalf, &token).await) }
        });
        let mut running: FuturesUnordered<_> = running.collect();
        let mut interruption = None;
        while !running.is_empty() {
            let ended = match interruption {
                None => match self.line.attend(On::Tools, running.next()).await {
                    Ok(ended) => ended,
                    Err(why) => {
                        interruption = Some(why);
                        cancel.cancel();
                        self.tell_before_waiting(why).await;
                        continue;
                    }
                },
                Some(_) => self.line.watch.count(On::Tools, running.next()).await,
            };
            if let Some((place, id, end)) = ended {
                let (duration, was_cancelled) = (Some(end.duration), end.outcome == ToolOutcome::Cancelled);
                let result = self.record_end(id, end);
                if !was_cancelled {
                    self.past.note_result(place, &result);
                }
                answers[place] = Some(Answered { result, duration });
            }
        }
        interruption.map_or(Ok(()), |why| Err(why.into()))
    }

    /// The client does not wait for calls that go on only for the sake of their effects.
    async fn tell_before_waiting(&mut self, why: Interruption) {
        self.note_leaving();
        if why == Interruption::OutOfTime {
            self.told = Some(self.cut_short().await);
        }
    }

    fn record_end(&mut self, id: ToolUseId, end: CallEnd) -> ToolResult {
        let (result_bytes, kept) = (size(&end.result) as u64, mcp::write_result(&end.result));
        let (result, truncated) = cap(end.result, self.gateway.limits.max_result_bytes);
        let report = CallReport {
            outcome: end.outcome,
            result: kept,
            result_bytes,
            truncated,
            duration: end.duration,
        };
        self.trail.outcome(id, report);
        result
    }

    pub(super) fn record_call(
        &mut self,
        call: &ToolCall,
        outcome: ToolOutcome,
        result: Option<String>,
        ruling: Option<Ruling>,
    ) {
        let (tool, arguments) = match self.subject(call) {
            _ if outcome == ToolOutcome::Released => (None, call.arguments.clone()),
            Subject::Found(tool, arguments) => (Some(Arc::clone(&tool.definition)), arguments),
            _ => {
                let shown = self.injection.tool(&call.name);
                (shown.map(|tool| Arc::clone(tool.in_force())), call.arguments.clone())
            }
        };
        self.trail.tool_use(ToolUse {
            round: self.number,
            call_id: call.id.clone(),
            tool: tool.as_ref().map_or_else(|| call.name.clone(), |tool| tool.name.clone()),
            definition: tool,
            via: None,
            arguments,
            outcome,
            result,
            duration: None,
            ruling,
        });
    }
}
