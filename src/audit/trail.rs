mod calls;
mod sums;

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Duration, Instant};

use super::bounds::{self, count, cut};
use super::entry::{Entry, Record, Waiting};
use super::queue::{Queue, stopped};
use super::recording::Recording;
use super::{AuditUnavailable, InterceptionEnd, Outcome, Times, TokenUsage};
use crate::config::Record as Keep;
use crate::domain::{Caller, Digest, InterceptionId, Usage};
use crate::store::records::prompts::Role;
use crate::store::records::{Body, Prompt, Row, Thought, Tokens};
use calls::OpenCall;
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
    /// Stands for the answer, as the next request tells it.
    echo: Option<Digest>,
    /// The reserved place of the end; gone when the end is sent.
    end_place: Option<OwnedSemaphorePermit>,
}

/// What a trail is made of.
#[derive(Debug)]
pub(super) struct Beginning {
    pub id: InterceptionId,
    pub caller: Arc<Caller>,
    pub provider: String,
    pub began: Instant,
    pub recording: Arc<Recording>,
    pub end_place: OwnedSemaphorePermit,
}

impl Trail {
    pub(super) fn new(queue: Arc<Queue>, beginning: Beginning) -> Self {
        let Beginning { id, caller, provider, began, recording, end_place } = beginning;
        Self {
            id,
            caller,
            keep: recording.of_provider(&provider),
            recording,
            queue,
            gathered: Vec::new(),
            gathered_bytes: 0,
            next_seq: 0,
            open_calls: Vec::new(),
            began,
            sums: Sums::default(),
            echo: None,
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

    /// The same where it can be done at once: what stays gathered goes with the next flush, intent or end.
    pub fn flush_if_room(&mut self) {
        if self.gathered.is_empty() || self.queue.trouble().is_some() {
            return;
        }
        if let Some(place) = self.queue.place_at_once(self.gathered_bytes) {
            let entry = self.take_gathered(place);
            self.queue.send(entry);
        }
    }

    /// How the next request tells the answer, if it goes on from it: by this it finds the interception.
    pub fn answered(&mut self, echo: Option<Digest>) {
        self.echo = echo;
    }

    /// `interception_end`, in its reserved place: never waits.
    pub fn end(mut self, end: InterceptionEnd) {
        self.finish(end);
    }

    fn finish(&mut self, end: InterceptionEnd) {
        let Some(place) = self.end_place.take() else { return };
        self.close_calls();
        let sums = std::mem::take(&mut self.sums);
        let end = sums.end(self.id, end, self.queue.clock.now(), self.began.elapsed());
        self.gathered.push(Record { echo: self.echo, ..Record::of(Row::End(Box::new(end))) });
        let room = self.queue.more_room(&mut self.gathered, self.gathered_bytes);
        let mut entry = self.take_gathered(place);
        entry.places.1 = room;
        self.queue.send(entry);
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

    fn seq(&mut self) -> u32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
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
