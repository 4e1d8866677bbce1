//! What the writer does so that calls need not wait for an embedded store.

use std::io;

use tokio::time::{Duration, timeout};

use super::{Lot, Writer};
use crate::audit::write_ahead::WriteAhead;

/// How long calls that may run have the processors to themselves.
const HEAD_START: Duration = Duration::from_millis(3);

impl Writer {
    /// Makes a batch durable for the calls that wait for it, before it is committed.
    pub(super) async fn write_ahead(&mut self, lot: &mut Lot) {
        let calls_wait = lot.waiting.iter().any(|waiting| waiting.interception.is_some());
        // One that was linked again has to be there as it is now.
        let is_changed =
            self.ahead.as_ref().is_some_and(|ahead| ahead.holds_any() && !ahead.holds(&lot.batch));
        if !is_changed && (!calls_wait || lot.is_large) {
            return;
        }
        match self.put_ahead(lot) {
            None => {}
            Some(Ok(())) => {
                self.answer(lot);
                self.give_head_start().await;
            }
            Some(Err(error)) => {
                tracing::warn!(target: "toolgate::audit", %error, "the write-ahead file cannot be written: calls wait for the store");
            }
        }
    }

    /// The file tells of all people, for a power cut may take from the database what was told before.
    fn put_ahead(&mut self, lot: &mut Lot) -> Option<io::Result<()>> {
        self.ahead.as_ref()?;
        let (people, callers) = (lot.batch.people.clone(), lot.batch.callers.clone());
        self.restate(lot);
        let put = self.ahead.as_mut().map(|ahead| ahead.put(&lot.batch));
        (lot.batch.people, lot.batch.callers) = (people, callers);
        put
    }

    /// Lets the calls begin before the database does, unless others wait by now.
    async fn give_head_start(&self) {
        if timeout(HEAD_START, self.sent.hurried()).await.is_ok() {
            // They wait for what comes next as well.
            self.sent.hurry.notify_one();
        }
    }

    /// Forgets what is in the store, or in the spool.
    pub(super) fn clear_ahead(&mut self) {
        if let Some(Err(error)) = self.ahead.as_mut().map(WriteAhead::clear) {
            tracing::warn!(target: "toolgate::audit", %error, "the write-ahead file cannot be overwritten");
        }
    }

    /// Whether the next start finds a batch all the same.
    pub(super) fn is_ahead(&self, lot: &Lot) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.holds(&lot.batch))
    }
}
