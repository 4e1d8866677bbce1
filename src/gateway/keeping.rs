//! What an answer leaves behind, for the next request of its conversation.

use std::sync::Arc;

use super::continuity::{KeptAnswer, Scope};
use super::journal::Journal;
use super::rounds::Rounds;
use crate::dialect::{KeptRound, Round};
use crate::domain::{Digest, ToolResult};

/// What the model is told of a call that had begun when its answer broke off.
const BROKEN_OFF: &str =
    "No result: the answer broke off before the call had one. What the call did is not known.";

/// What the model is told of a call that had not begun, for its round had not ended.
const NOT_RUN: &str = "No result: the answer broke off before the call was run.";

impl Rounds<'_> {
    /// Takes a round that is done into the conversation.
    pub(super) fn take_in(&mut self, round: &Round, results: &[ToolResult]) -> KeptRound {
        let kept = self.incoming.operation.dialect.keep(round, results);
        if self.past.journal.is_some() {
            self.past.answer.add(round, kept.clone());
        } else {
            self.past.answer.add_visible(round);
        }
        kept
    }

    /// Keeps what the whole answer hides, before its last frame is sent.
    pub(super) async fn keep_answer(&mut self) {
        self.remember_ids().await;
        if self.past.journal.is_none() {
            return;
        }
        let Some(entry) = self.past.answer.kept() else { return };
        let mut places = vec![self.past.answer.place()];
        // Who goes on from a stored response says nothing of what came before it.
        let hides = entry.rounds.last().is_some_and(|round| round.results().next().is_some());
        places.extend(self.answer_place().filter(|_| hides));
        self.keep(&places, &entry).await;
    }

    /// Keeps what an answer hid that broke off, so that its calls need not run again. What it keeps now gives way
    /// to what it keeps later, when more of its calls have their results.
    pub(super) async fn keep_broken(&self) {
        let Some(journal) = &self.past.journal else { return };
        let mut answer = self.past.answer.clone();
        if let Some((round, results)) = self.unanswered_round(journal).or_else(|| self.torn_round()) {
            answer.add(&round, self.incoming.operation.dialect.keep(&round, &results));
        }
        let Some(entry) = answer.broken() else { return };
        self.keep(&[answer.place()], &entry).await;
    }

    /// A complete round some of whose calls have no result yet. One of which no call has any is made again: none of
    /// its calls did anything that is known. Only where it has calls of the client's may the client act on it already.
    fn unanswered_round(&self, journal: &Journal) -> Option<(Arc<Round>, Vec<ToolResult>)> {
        let open = journal.last().filter(|open| {
            journal.rounds() > self.past.answer.added()
                && (open.results.iter().any(Option::is_some) || open.round.client_calls().next().is_some())
        })?;
        let result = |result: Option<ToolResult>| result.unwrap_or_else(|| ToolResult::error(BROKEN_OFF));
        Some((open.round, open.results.into_iter().map(result).collect()))
    }

    /// What has come of a round that broke off, where the client may act on a call of its own in it. What is shown
    /// again is kept by the interception that did it.
    fn torn_round(&self) -> Option<(Arc<Round>, Vec<ToolResult>)> {
        let is_under_way = self.past.answer.added() + 1 == self.number as usize;
        let splicer = self.line.splicer.as_ref().filter(|_| is_under_way && self.past.earlier.is_none())?;
        let so_far = splicer.so_far();
        so_far.client_calls().next()?;
        let results = vec![ToolResult::error(NOT_RUN); so_far.injected_calls().count()];
        Some((Arc::new(so_far), results))
    }

    async fn keep(&self, places: &[Digest], entry: &KeptAnswer) {
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
        if let Err(error) =
            self.gateway.issued.remember(&self.incoming.caller.key, &ids, &self.past.answer).await
        {
            tracing::error!(%error, "the ids of a stored response could not be kept: it cannot be continued");
        }
    }
}
