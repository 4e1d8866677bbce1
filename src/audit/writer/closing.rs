//! How the writer ends: in order, or after it has tried for long enough.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{Entry, Lot, Writer};
use crate::store::batch::CommitError;
use crate::store::instances;
use crate::store::records::Row;

impl Writer {
    /// Whether the gateway closes and the last tries are over, which begin with the first that fails.
    pub(super) fn gives_up(&self, last_tries: &mut Option<Instant>) -> bool {
        if !self.sent.closing.is_cancelled() {
            return false;
        }
        let began = *last_tries.get_or_insert_with(|| {
            let seconds = self.settings.last_tries.as_secs();
            tracing::warn!(target: "toolgate::audit", seconds, "the gateway stops and its audit cannot write: it goes on trying");
            Instant::now()
        });
        began.elapsed() >= self.settings.last_tries
    }

    /// Says what will never be written.
    pub(super) fn lose(mut self, mut pending: VecDeque<Entry>, lot: Option<&Lot>) {
        self.sent.entries.close();
        self.take_what_is_there(&mut pending);
        let ahead = self.ahead.as_ref().filter(|ahead| lot.is_some_and(|lot| ahead.holds(&lot.batch)));
        if let Some(ahead) = ahead {
            let file = ahead.file().display();
            tracing::warn!(target: "toolgate::audit", %file, "the records that calls have run with wait in this file for the next start");
        }
        let lot = lot.filter(|_| ahead.is_none());
        let rows = || lot.into_iter().flat_map(Lot::left);
        let ends = rows().filter(|row| matches!(row, Row::End(_))).count();
        let records = rows().count() + pending.iter().map(|entry| entry.records.len()).sum::<usize>();
        self.sent.lost.add(records);
        if records > 0 {
            tracing::error!(
                target: "toolgate::audit",
                records,
                interceptions_ended = ends + pending.iter().map(Entry::ends).sum::<usize>(),
                "the gateway stops and its audit still cannot write: these records are lost",
            );
        }
    }

    /// At the very end nobody can write an end any more: what is open now was lost.
    pub(super) async fn finish(mut self) {
        if !self.drain().await {
            return;
        }
        let (now, reason) = (self.settings.clock.now(), "the gateway stopped before this ended");
        let run = self.chain.run().clone();
        let closed = self.closer.close(&run, &mut self.chain.head, reason, now, false).await;
        if let Err(error) = match closed {
            Ok(()) => instances::end(&self.store, &run, now).await.map_err(CommitError::from),
            error => error,
        } {
            tracing::error!(target: "toolgate::audit", %error, "cannot close what is open; the next start will");
        }
    }
}
