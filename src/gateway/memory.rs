//! What an interception remembers of itself, for the next request of its conversation and for the same one again.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use super::answer::AnswerHead;
use super::continuity::{Conversation, Entry, Scope};
use super::journal::{Journal, Next, OpenJournal};
use super::rounds::{Rounds, Stop};
use crate::dialect::{Delivery, KeptRound, Round};
use crate::domain::{Digest, ToolResult};

/// What the model is told of a call that had no result when its answer broke off.
const BROKEN_OFF: &str =
    "No result: the answer broke off before the call had one. What the call did is not known.";

/// What an interception remembers of itself.
pub struct Memory<'a> {
    /// What the answer adds to its conversation.
    pub conversation: Conversation,
    /// What has been done so far; `None` where no tools are injected.
    pub journal: Option<OpenJournal<'a>>,
    /// What was done when the same request came before, as far as this one has not caught up with it.
    pub earlier: Option<Arc<Journal>>,
}

impl Memory<'_> {
    /// Notes the result of an injected call of the round under way, by its number among these.
    pub fn note_result(&self, number: usize, result: &ToolResult) {
        if let Some(journal) = &self.journal {
            journal.add_result(number, result.clone());
        }
    }
}

impl Rounds<'_> {
    /// Notes a round of the model's, whose calls are about to run.
    pub(super) fn note_round(&self, round: &Arc<Round>) {
        if let Some(journal) = &self.memory.journal {
            journal.add_round(Arc::clone(round));
        }
    }

    /// Takes a round that is done into the conversation.
    pub(super) fn take_in(&mut self, round: &Round, results: &[ToolResult]) -> KeptRound {
        let kept = self.incoming.operation.dialect.keep(round, results);
        if self.memory.journal.is_some() {
            self.memory.conversation.add(round, kept.clone());
        }
        kept
    }

    /// The next round as it went when the same request came before; `None` where it did not come so far.
    pub(super) async fn repeated_round(&mut self) -> Result<Option<Arc<Round>>, Stop> {
        let Some(earlier) = self.memory.earlier.clone() else { return Ok(None) };
        match self.line.attend(earlier.round(self.number as usize - 1)).await? {
            Next::Is(round) => {
                self.show_again(&earlier, &round).await?;
                Ok(Some(round))
            }
            Next::Never => {
                self.memory.earlier = None;
                Ok(None)
            }
        }
    }

    /// The results of this round's injected calls when the same request came before.
    pub(super) async fn repeated_results(&mut self) -> Result<Vec<Option<ToolResult>>, Stop> {
        match self.memory.earlier.clone() {
            Some(earlier) => Ok(self.line.attend(earlier.results(self.number as usize - 1)).await?),
            None => Ok(Vec::new()),
        }
    }

    /// Lets the client see a round that its earlier request had seen.
    async fn show_again(&mut self, earlier: &Journal, round: &Round) -> Result<(), Stop> {
        let dialect = self.incoming.operation.dialect;
        let delivery = self.request.delivery;
        let content_type = match delivery {
            Delivery::Streamed => "text/event-stream; charset=utf-8",
            Delivery::Whole => "application/json",
        };
        if self.line.splicer.is_none() {
            self.line.splicer = Some(dialect.splicer(&self.request, content_type, self.settings));
            let mut headers = earlier.headers();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            self.line.answer.set_head(AnswerHead { status: StatusCode::OK, headers });
        }
        let bytes = dialect.replay(round, delivery);
        self.splice(|splicer, out| splicer.feed(&bytes, out)).await?;
        self.splice(|splicer, out| splicer.end_round(out)).await.map(drop)
    }

    /// Keeps what the whole answer hides, before its last frame is sent.
    pub(super) async fn keep_answer(&mut self) {
        self.remember_ids().await;
        if self.memory.journal.is_none() {
            return;
        }
        let Some(entry) = self.memory.conversation.entry() else { return };
        let mut places = vec![self.memory.conversation.place()];
        // Who goes on from a stored response says nothing of what came before it.
        let hides = entry.rounds.last().is_some_and(|round| round.results().next().is_some());
        places.extend(self.answer_place().filter(|_| hides));
        self.keep(&places, &entry).await;
    }

    /// Keeps what an answer hid that broke off, so that its calls need not run again.
    pub(super) async fn keep_cut(&mut self) {
        let Some(journal) = &self.memory.journal else { return };
        if journal.rounds() > self.memory.conversation.added()
            && let Some(done) = journal.last()
            // A round of which nothing ran is the model's to make again.
            && done.results.iter().any(Option::is_some)
        {
            let result = |result: Option<ToolResult>| result.unwrap_or_else(|| ToolResult::error(BROKEN_OFF));
            let results: Vec<ToolResult> = done.results.into_iter().map(result).collect();
            self.take_in(&done.round, &results);
        }
        let Some(entry) = self.memory.conversation.cut_entry() else { return };
        self.keep(&[self.memory.conversation.place()], &entry).await;
    }

    async fn keep(&self, places: &[Digest], entry: &Entry) {
        if let Err(error) = self.gateway.continuity.keep(places, entry).await {
            tracing::error!(%error, "what an answer hid could not be kept: its conversation goes on without it");
        }
    }

    /// The place of the answer under the id that the client was given for it.
    fn answer_place(&self) -> Option<Digest> {
        let ids = self.line.splicer.as_ref()?.issued_ids();
        let scope = Scope::of_caller(self.incoming.operation.dialect.name(), &self.incoming.caller);
        ids.first().map(|issued| scope.answer(&issued.id))
    }

    /// The client may send these ids back, so they are known before it gets the last frame.
    pub(super) async fn remember_ids(&self) {
        let ids = self.line.splicer.as_ref().map(|splicer| splicer.issued_ids()).unwrap_or_default();
        if ids.is_empty() {
            return;
        }
        if let Err(error) = self.gateway.issued.remember(&self.incoming.caller.key, &ids).await {
            tracing::error!(%error, "the ids of a stored response could not be kept: it cannot be continued");
        }
    }

    /// Notes that nobody waits for the answer any more, while calls may still run.
    pub(super) fn note_leaving(&self) {
        if let Some(journal) = &self.memory.journal {
            journal.leave();
        }
    }

    /// Notes that the client has a whole answer.
    pub(super) fn note_complete(&mut self) {
        if let Some(journal) = &mut self.memory.journal {
            journal.is_complete = true;
        }
    }
}
