//! What the writer does so that calls need not wait for the store.

use std::mem;

use tokio::time::{Duration, Instant, timeout};

use super::{Lot, Writer};

/// How long calls that may run have the processors to themselves: as long as sending a call takes. The records are
/// durable, so the database may wait.
const HEAD_START: Duration = Duration::from_millis(3);

impl Writer {
    /// Makes a batch durable for the calls that wait for it, before it is committed.
    pub(super) async fn write_ahead(&mut self, lot: &mut Lot) {
        let Some(ahead) = &self.ahead else { return };
        let calls_wait = lot.waiting.iter().any(|waiting| waiting.interception.is_some());
        // Calls run with what stands there: where that was linked again since, it must stand there as it is now.
        let is_outdated = ahead.holds_any() && !ahead.holds(&lot.batch);
        if !is_outdated && (!calls_wait || lot.is_large || !self.is_leased()) {
            return;
        }
        if self.put_ahead(lot) && self.is_leased() {
            lot.answer(&self.chain);
            self.give_head_start(lot).await;
        }
    }

    /// Whether it is certain that nobody else has closed this run: who was paused, or cut off from the server, has to ask
    /// there first.
    fn is_leased(&self) -> bool {
        !self.store.is_shared() || Instant::now() < **self.leased.load()
    }

    /// The file tells of all people, for a power cut may take from the database what it had of them.
    fn put_ahead(&mut self, lot: &mut Lot) -> bool {
        let all = self.everybody(lot);
        let people = mem::replace(&mut lot.batch.people, all.people);
        let callers = mem::replace(&mut lot.batch.callers, all.callers);
        let is_durable = self.ahead.as_mut().is_some_and(|ahead| ahead.put(&lot.batch));
        (lot.batch.people, lot.batch.callers) = (people, callers);
        is_durable
    }

    /// Lets the calls begin before the database does, unless others wait by now.
    async fn give_head_start(&self, lot: &Lot) {
        if !lot.others_wait && timeout(HEAD_START, self.sent.hurried()).await.is_ok() {
            // They wait for what comes next as well.
            self.sent.hurry.notify_one();
        }
    }
}
