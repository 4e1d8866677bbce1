use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::{AuditUnavailable, Settings, close_open};
use crate::store::{Claim, Store};

/// The most entries of one transaction.
const BATCH: usize = 256;

/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// The one task that writes: takes what is there, commits it in one transaction, tells who waits.
pub(super) struct Writer {
    pub store: Store,
    pub entries: mpsc::Receiver<Entry>,
    /// Why nothing can be written now; `None` when all is well.
    pub trouble: watch::Sender<Option<AuditUnavailable>>,
    pub closing: CancellationToken,
    pub settings: Settings,
    pub _claim: Claim,
}

impl Writer {
    /// Runs until the queue is closed and empty, or closing and still unable to write.
    pub(super) async fn run(mut self) {
        let mut pending = Vec::new();
        let mut failures = 0;
        loop {
            if pending.is_empty() && !self.wait_for_entries(&mut pending).await {
                break;
            }
            let batch = pending.len().min(BATCH);
            match self.commit(&pending[..batch]).await {
                Ok(()) => {
                    failures = 0;
                    self.recovered();
                    pending.drain(..batch).for_each(Entry::settle);
                }
                Err(error) => {
                    failures += 1;
                    let last_try = failures >= self.settings.write_attempts;
                    if last_try {
                        self.refuse(&mut pending, &error);
                    }
                    if last_try && self.closing.is_cancelled() {
                        self.entries.close();
                        self.take_what_is_there(&mut pending);
                        report_lost(&pending);
                        return;
                    }
                    self.pause(failures).await;
                    self.take_what_is_there(&mut pending);
                }
            }
        }
        self.close_what_is_open().await;
    }

    /// Takes entries as soon as there are any; false when there will never be any again.
    async fn wait_for_entries(&mut self, pending: &mut Vec<Entry>) -> bool {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {
                self.entries.close();
                self.entries.recv_many(pending, BATCH).await > 0
            }
            taken = self.entries.recv_many(pending, BATCH) => taken > 0,
        }
    }

    fn take_what_is_there(&mut self, pending: &mut Vec<Entry>) {
        while let Ok(entry) = self.entries.try_recv() {
            pending.push(entry);
        }
    }

    async fn commit(&self, batch: &[Entry]) -> Result<(), sqlx::Error> {
        let mut transaction = self.store.begin().await?;
        for entry in batch {
            entry.write(&mut transaction).await?;
        }
        transaction.commit().await
    }

    fn recovered(&self) {
        if self.trouble.borrow().is_some() {
            tracing::info!(target: "toolgate::audit", "the audit records again");
            self.trouble.send_replace(None);
        }
    }

    /// After too many failures: no call may wait any longer, and nothing new is admitted.
    fn refuse(&self, pending: &mut [Entry], error: &sqlx::Error) {
        let why = AuditUnavailable(error.to_string());
        self.trouble.send_replace(Some(why.clone()));
        let now = self.settings.clock.now();
        let refused = pending.iter_mut().filter_map(|entry| entry.refuse(&why, now).then_some(())).count();
        tracing::error!(
            target: "toolgate::audit",
            %error,
            refused_intents = refused,
            waiting_records = pending.iter().map(Entry::len).sum::<usize>(),
            "the audit cannot write: new interceptions and tool calls are refused until it can",
        );
    }

    async fn pause(&self, failures: u32) {
        let doubled = self.settings.retry_after.saturating_mul(2_u32.saturating_pow(failures - 1));
        tokio::time::sleep(doubled.min(MAX_PAUSE)).await;
    }

    /// At the very end nobody can write an end any more: what is open now was lost.
    async fn close_what_is_open(&self) {
        let reason = "the gateway stopped before this ended";
        if let Err(error) = close_open(&self.store, self.settings.clock.now(), reason).await {
            tracing::error!(target: "toolgate::audit", %error, "cannot close what is open; the next start will");
        }
    }
}

fn report_lost(pending: &[Entry]) {
    tracing::error!(
        target: "toolgate::audit",
        records = pending.iter().map(Entry::len).sum::<usize>(),
        interceptions_ended = pending.iter().filter(|entry| entry.end.is_some()).count(),
        "the gateway stops and its audit still cannot write: these records are lost",
    );
}
