use jiff::Timestamp;
use sqlx::AnyConnection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{AuditUnavailable, ToolOutcome};
use crate::domain::ToolUseId;
use crate::store::model_thought::ModelThought;
use crate::store::prompt_usage::PromptUsage;
use crate::store::token_usage::TokenUsage;
use crate::store::tool_usage::{Outcome, ToolUsage};
use crate::store::{interceptions, model_thought, prompt_usage, token_usage, tool_usage};

/// What travels to the writer at once, and is committed at once.
#[derive(Debug)]
pub(super) struct Entry {
    pub start: Option<interceptions::Start>,
    pub records: Vec<Record>,
    pub end: Option<interceptions::End>,
    /// Who waits until this is durable.
    pub durable: Option<oneshot::Sender<Result<(), AuditUnavailable>>>,
    /// Its place in the queue, free again when this is committed and dropped.
    #[expect(dead_code, reason = "held, not read")]
    pub place: OwnedSemaphorePermit,
}

/// One record between start and end.
#[derive(Debug)]
pub(super) enum Record {
    Prompt(PromptUsage),
    Tokens(TokenUsage),
    Thought(ModelThought),
    Tool(Box<ToolUsage>),
    Outcome(Outcome),
}

impl Entry {
    pub(super) fn new(place: OwnedSemaphorePermit) -> Self {
        Self { start: None, records: Vec::new(), end: None, durable: None, place }
    }

    /// Writes everything in order; a second time changes nothing.
    pub(super) async fn write(&self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        if let Some(start) = &self.start {
            interceptions::insert(connection, start).await?;
        }
        for record in &self.records {
            match record {
                Record::Prompt(row) => prompt_usage::insert(connection, row).await?,
                Record::Tokens(row) => token_usage::insert(connection, row).await?,
                Record::Thought(row) => model_thought::insert(connection, row).await?,
                Record::Tool(row) => tool_usage::insert(connection, row).await?,
                Record::Outcome(outcome) => tool_usage::settle(connection, outcome).await?,
            }
        }
        if let Some(end) = &self.end {
            interceptions::end(connection, end).await?;
        }
        Ok(())
    }

    /// Tells who waits that this is durable.
    pub(super) fn settle(self) {
        if let Some(durable) = self.durable {
            // Whoever waited may have gone; the records say what became of the calls.
            let _gone = durable.send(Ok(()));
        }
    }

    /// Tells who waits that this is not durable: its calls will not run, and its records say so from now on.
    pub(super) fn refuse(&mut self, why: &AuditUnavailable, now: Timestamp) -> bool {
        let Some(durable) = self.durable.take() else { return false };
        for record in &mut self.records {
            if let Record::Tool(row) = record
                && row.outcome.is_none()
            {
                row.outcome = Some(without_result(row.id, ToolOutcome::NotExecuted.as_str(), now));
            }
        }
        let _gone = durable.send(Err(why.clone()));
        true
    }

    pub(super) fn len(&self) -> usize {
        self.records.len() + usize::from(self.start.is_some()) + usize::from(self.end.is_some())
    }
}

/// An outcome of a call that brought nothing back.
pub(super) fn without_result(id: ToolUseId, outcome: &str, now: Timestamp) -> Outcome {
    Outcome {
        id,
        outcome: outcome.to_owned(),
        result: None,
        result_bytes: None,
        truncated: false,
        duration_ms: None,
        ended_at: now,
    }
}
