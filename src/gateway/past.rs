//! What an interception knows of what went before, and leaves for what comes after.

use std::sync::Arc;

use super::Gateway;
use super::continuity::OpenAnswer;
use super::journal::{Journal, OpenJournal};
use super::resume::Resumption;
use crate::domain::{InterceptionId, ToolResult};

/// What an interception knows of what went before, and leaves for what comes after.
#[derive(Debug)]
pub struct Past<'a> {
    /// What the answer adds to its conversation.
    pub answer: OpenAnswer,
    /// What has been done so far, for the same request when it comes again; `None` where no tools are injected.
    pub journal: Option<OpenJournal<'a>>,
    /// What was done when the same request came before, as far as this one has not caught up with it.
    pub earlier: Option<Arc<Journal>>,
}

impl Gateway {
    /// Looks for an earlier try of a request. That is done before its records begin, for these say what is
    /// repeated.
    pub(super) fn recall(&self, id: InterceptionId, resumption: Resumption, may_loop: bool) -> Past<'_> {
        let Resumption { answer, asked, is_repeat, .. } = resumption;
        if !may_loop {
            return Past { answer, journal: None, earlier: None };
        }
        let (journal, earlier) = self.journals.open(answer.place(), id, asked, is_repeat);
        Past { answer, journal: Some(journal), earlier }
    }
}

impl Past<'_> {
    /// From here on this try does what the earlier one did not.
    pub fn go_own_way(&mut self) {
        self.earlier = None;
        if let Some(journal) = &self.journal {
            journal.go_own_way();
        }
    }

    /// The interception whose request has come again.
    pub fn repeats(&self) -> Option<InterceptionId> {
        self.earlier.as_ref().map(|earlier| earlier.id)
    }

    /// Notes the result of an injected call of the round under way, by its number among these.
    pub fn note_result(&self, number: usize, result: &ToolResult) {
        if let Some(journal) = &self.journal {
            journal.add_result(number, result.clone());
        }
    }
}
