//! What travels to the writer.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::bounds::{CONTENT, cut_content};
use super::{AuditUnavailable, Follows};
use crate::config::Record as Keep;
use crate::domain::{Caller, Digest, InterceptionId};
use crate::store::records::{Kept, Row};

/// Records that are committed at once.
#[derive(Debug)]
pub(super) struct Entry {
    /// Whose they are; nobody's, where the gateway did something by itself.
    pub caller: Option<Arc<Caller>>,
    pub records: Vec<Record>,
    /// Who waits until they are durable.
    pub waiting: Option<Waiting>,
    /// Its places in the queue, free again when this is committed and dropped.
    pub places: Places,
}

/// Places in the queue, held and not read.
pub(super) type Places = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// Who waits until records are durable.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The interception whose calls are to run.
    pub interception: Option<InterceptionId>,
    pub durable: oneshot::Sender<Result<(), AuditUnavailable>>,
}

/// One record on its way: what only the writer knows is still missing in its row (who, where in the conversation, the
/// digest of its text).
#[derive(Debug)]
pub(super) struct Record {
    pub row: Row,
    pub text: Option<Text>,
    /// By what its interception's place in a conversation is found, where it is a start.
    pub follows: Option<Follows>,
    /// By what the next request may find its interception, where it is an end.
    pub echo: Option<Digest>,
}

/// A text, and what is to be kept of it.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is the text")]
pub(super) struct Text {
    pub text: String,
    pub keep: Keep,
    /// There was more of it.
    pub is_cut: bool,
}

impl Entry {
    pub(super) fn new(
        caller: Option<Arc<Caller>>,
        records: Vec<Record>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { caller, records, waiting: None, places: (place, None) }
    }

    /// Size of its texts.
    pub(super) fn bytes(&self) -> usize {
        self.records.iter().filter_map(|record| record.text.as_ref()).map(|text| text.text.len()).sum()
    }

    /// The interceptions that it ends.
    pub(super) fn ends(&self) -> usize {
        self.records.iter().filter(|record| matches!(record.row, Row::End(_))).count()
    }

    /// Tells who waits that this is not durable: its calls will not run, and its trail says so.
    pub(super) fn refuse(&mut self, why: &AuditUnavailable) -> bool {
        let Some(waiting) = self.waiting.take() else { return false };
        waiting.answer(Err(why.clone()));
        true
    }
}

impl Waiting {
    pub(super) fn answer(self, answer: Result<(), AuditUnavailable>) {
        // Whoever waited may have gone; the records say what became of the calls.
        let _gone = self.durable.send(answer);
    }
}

impl Record {
    /// A record without a text.
    pub(super) fn of(row: Row) -> Self {
        Self { row, text: None, follows: None, echo: None }
    }

    /// A record with this text, of which there is room for so many bytes.
    pub(super) fn with_text(mut row: Row, mut text: String, keep: Keep, room: usize) -> Self {
        if keep == Keep::None || text.is_empty() {
            return Self::of(row);
        }
        let is_cut = cut_content(&mut text, CONTENT.min(room));
        // The digest of a part would pass for that of the whole.
        if is_cut && (text.is_empty() || keep == Keep::Digest) {
            set_kept(&mut row, Kept::Dropped);
            return Self::of(row);
        }
        Self { text: Some(Text { text, keep, is_cut }), ..Self::of(row) }
    }

    /// Gives the text up for want of room; tells whether there was one.
    pub(super) fn drop_text(&mut self) -> bool {
        let dropped = self.text.take().is_some();
        if dropped {
            set_kept(&mut self.row, Kept::Dropped);
        }
        dropped
    }

    /// Whether its text was given up.
    pub(super) fn was_dropped(&self) -> bool {
        self.row.body().is_some_and(|body| body.kept == Kept::Dropped)
    }
}

fn set_kept(row: &mut Row, kept: Kept) {
    if let Some(body) = row.body_mut() {
        body.kept = kept;
    }
}
