//! The same request again: what was done for it before is shown again, and not done again.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};

use super::answer::AnswerHead;
use super::ending::Stop;
use super::journal::Journal;
use super::rounds::Rounds;
use super::stopwatch::On;
use crate::dialect::{Delivery, Round};
use crate::domain::ToolResult;

impl Rounds<'_> {
    /// The next round as it went when the same request came before; `None` where it did not come so far.
    pub(super) async fn repeated_round(&mut self) -> Result<Option<Arc<Round>>, Stop> {
        let Some(earlier) = self.past.earlier.clone() else { return Ok(None) };
        let round = self.line.attend(On::Provider, earlier.round(self.number as usize - 1)).await?;
        match &round {
            Some(round) => self.show_again(&earlier, round).await?,
            None => self.past.go_own_way(),
        }
        Ok(round)
    }

    /// The results of this round's injected calls when the same request came before.
    pub(super) async fn repeated_results(&mut self) -> Result<Vec<Option<ToolResult>>, Stop> {
        match self.past.earlier.clone() {
            Some(earlier) => {
                Ok(self.line.attend(On::Tools, earlier.results(self.number as usize - 1)).await?)
            }
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
            if let Some(journal) = &self.past.journal {
                journal.set_headers(&headers);
            }
            self.line.answer.set_head(AnswerHead { status: StatusCode::OK, headers });
        }
        let bytes = dialect.replay(round, delivery);
        self.splice(|splicer, out| splicer.feed(&bytes, out)).await?;
        self.splice(|splicer, out| splicer.end_round(out)).await.map(drop)
    }

    /// Notes a round of the model's, whose calls are about to run.
    pub(super) fn note_round(&self, round: &Arc<Round>) {
        if let Some(journal) = &self.past.journal {
            // A round without such calls does nothing that must not be done twice; it is made anew.
            if round.injected_calls().next().is_some() {
                journal.add_round(Arc::clone(round));
            }
        }
    }

    /// Notes that nobody waits for the answer any more, while calls may still run.
    pub(super) fn note_leaving(&self) {
        if let Some(journal) = &self.past.journal {
            journal.leave();
        }
    }

    /// Notes that the client has a whole answer.
    pub(super) fn note_complete(&mut self) {
        if let Some(journal) = &mut self.past.journal {
            journal.is_complete = true;
        }
    }
}
