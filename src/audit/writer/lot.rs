//! A batch on its way: how it is made of what waits longest, and who waits for it.

use std::collections::{HashMap, VecDeque};

use super::{ENTRIES, WriteError, Writer};
use crate::audit::AuditUnavailable;
use crate::audit::chain::Head;
use crate::audit::entry::{Entry, Places, Waiting};
use crate::audit::own_chain::OwnChain;
use crate::audit::people::{Face, Newcomers};
use crate::audit::prepare::{Aside, Complete, Preparer};
use crate::store::batch::Batch;
use crate::store::records::{Row, RowKey};

/// The most text of one commit, bytes, but for a single entry that has more.
const TEXT: usize = 8 << 20;

/// Texts of more bytes would hold up others: they are prepared on a thread of their own, and not written ahead.
const LARGE: usize = 64 << 10;

/// A batch on its way, with all who have to do with it.
pub(super) struct Lot {
    pub batch: Batch,
    /// Where the chain ended before it.
    pub before: Head,
    pub asides: Vec<Aside>,
    pub waiting: Vec<Waiting>,
    /// Whether it has so much text that a write of it would hold up others.
    pub is_large: bool,
    /// Whether there are entries that wait for its end.
    pub others_wait: bool,
    /// What is left to be written of a batch that the database does not take as a whole.
    pub parts: VecDeque<Batch>,
    /// What goes out with the rows of these parts; those that are written stand in the batch again.
    pub apart: HashMap<RowKey, Aside>,
    /// Held until it is durable.
    pub _places: Vec<Places>,
}

impl Lot {
    /// What is not written yet.
    pub(super) fn left(&self) -> impl Iterator<Item = &Row> {
        let whole = if self.parts.is_empty() { self.batch.rows.as_slice() } else { &[] };
        whole.iter().chain(self.parts.iter().flat_map(|part| &part.rows))
    }

    /// Tells who waits that it is durable.
    pub(super) fn answer(&mut self, chain: &OwnChain) {
        for waiting in self.waiting.drain(..) {
            let is_closed = waiting.interception.is_some_and(|id| chain.is_closed(id));
            waiting.answer(if is_closed { Err(closed()) } else { Ok(()) });
        }
    }

    /// Tells who waits that it is not; gives how many these were.
    pub(super) fn refuse(&mut self, why: &AuditUnavailable) -> usize {
        let refused = self.waiting.len();
        self.waiting.drain(..).for_each(|waiting| waiting.answer(Err(why.clone())));
        refused
    }
}

impl Writer {
    /// Makes a batch of what waits longest. After an error everything waits as before.
    pub(super) async fn prepare(&mut self, pending: &mut VecDeque<Entry>) -> Result<Lot, WriteError> {
        let now = self.settings.clock.now();
        let asks = !self.spooling;
        let (count, bytes) = portion(pending);
        let mut newcomers = Newcomers::default();
        let mut faces = Vec::with_capacity(count);
        for entry in pending.iter().take(count) {
            faces.push(match &entry.caller {
                Some(caller) => Some(self.people.face(caller, asks, now, &mut newcomers).await?),
                None => None,
            });
        }
        let mut entries: Vec<_> = pending.drain(..count).zip(faces).collect();
        for (entry, face) in &mut entries {
            self.place(entry, face.as_ref(), asks).await;
        }
        let is_large = bytes > LARGE;
        let Complete { mut rows, asides, content, words, waiting, places } =
            self.complete(entries, is_large, now).await?;
        let before = self.chain.head;
        let link = self.chain.link(&mut rows, now);
        let batch =
            Batch { link, rows, content, people: newcomers.people, callers: newcomers.callers, words };
        Ok(Lot {
            batch,
            before,
            asides,
            waiting,
            is_large,
            others_wait: !pending.is_empty(),
            parts: VecDeque::new(),
            apart: HashMap::new(),
            _places: places,
        })
    }

    /// Puts what an entry begins into its conversation, and remembers by what the next request finds it.
    async fn place(&self, entry: &mut Entry, face: Option<&Face>, asks: bool) {
        let Some(face) = face else { return };
        for record in &mut entry.records {
            if let (Row::Start(start), Some(follows)) = (&mut record.row, &record.follows) {
                self.lineage.place(&face.person, start, follows, asks).await;
            }
            self.lineage.note(&face.person, record);
        }
    }

    async fn complete(
        &mut self,
        entries: Vec<(Entry, Option<Face>)>,
        is_large: bool,
        now: jiff::Timestamp,
    ) -> Result<Complete, WriteError> {
        let mut preparer =
            self.preparer.take().unwrap_or_else(|| Preparer::new(!self.closer.outlets.is_empty()));
        let count = entries.iter().map(|(entry, _)| entry.records.len()).sum();
        let (preparer, complete) = if is_large {
            let completing = move || {
                let complete = preparer.complete(entries, now);
                (preparer, complete)
            };
            self.tasks.spawn_blocking(completing).await.map_err(|_| self.lost_while_preparing(count))?
        } else {
            let complete = preparer.complete(entries, now);
            (preparer, complete)
        };
        self.preparer = Some(preparer);
        Ok(complete)
    }

    /// The thread that prepared these records is gone.
    fn lost_while_preparing(&self, records: usize) -> WriteError {
        self.sent.lost.add(records);
        tracing::error!(target: "toolgate::audit", records, "records were lost while they were prepared");
        WriteError::Lost(records)
    }

    /// Everybody whose records a batch holds, whether or not they are known to be in the store.
    pub(super) fn everybody(&self, lot: &Lot) -> Newcomers {
        let mut all = Newcomers { people: lot.batch.people.clone(), callers: lot.batch.callers.clone() };
        for caller in lot.asides.iter().filter_map(|aside| aside.caller.as_ref()) {
            self.people.restate(caller, &mut all);
        }
        all
    }
}

/// How many entries go into the next batch, and how much text they have.
fn portion(pending: &VecDeque<Entry>) -> (usize, usize) {
    let (mut count, mut bytes) = (0, 0);
    for entry in pending.iter().take(ENTRIES) {
        let more = entry.bytes();
        if count > 0 && bytes + more > TEXT {
            break;
        }
        (count, bytes) = (count + 1, bytes + more);
    }
    (count, bytes)
}

fn closed() -> AuditUnavailable {
    AuditUnavailable("another gateway took this one for gone and closed this interception".to_owned())
}
