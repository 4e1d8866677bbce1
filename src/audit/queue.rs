use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::{AuditUnavailable, Clock, Settings};

/// The way to the writer: places are taken before something is sent, and are free again when it is committed.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Entry>,
    /// For everything but ends.
    places: Arc<Semaphore>,
    /// For ends, taken when an interception begins: they never wait, and never keep others waiting.
    ends: Arc<Semaphore>,
    capacity: u32,
    trouble: watch::Receiver<Option<AuditUnavailable>>,
    pub closing: CancellationToken,
    pub clock: Clock,
}

/// How many bytes of content take one more place.
const PLACE_BYTES: usize = 64 << 10;

impl Queue {
    pub(super) fn new(
        settings: &Settings,
    ) -> (Self, mpsc::Receiver<Entry>, watch::Sender<Option<AuditUnavailable>>) {
        let capacity = settings.capacity.max(1);
        let places = usize::try_from(capacity).unwrap_or(usize::MAX);
        let (sender, entries) = mpsc::channel(places.saturating_mul(2));
        let (trouble_sender, trouble) = watch::channel(None);
        let queue = Self {
            sender,
            places: Arc::new(Semaphore::new(places)),
            ends: Arc::new(Semaphore::new(places)),
            capacity,
            trouble,
            closing: CancellationToken::new(),
            clock: settings.clock.clone(),
        };
        (queue, entries, trouble_sender)
    }

    /// Waits for the place of something with so many bytes of content, unless nothing can be written now.
    pub(super) async fn place(&self, bytes: usize) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        let places = u32::try_from(1 + bytes / PLACE_BYTES).unwrap_or(u32::MAX).min(self.capacity);
        self.acquire(&self.places, places).await
    }

    /// Waits for the place of an end, unless nothing can be written now.
    pub(super) async fn place_for_end(&self) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        self.acquire(&self.ends, 1).await
    }

    async fn acquire(
        &self,
        of: &Arc<Semaphore>,
        places: u32,
    ) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        let mut trouble = self.trouble.clone();
        let trouble = async {
            let seen = trouble.wait_for(Option::is_some).await;
            seen.ok().and_then(|why| why.clone())
        };
        tokio::select! {
            biased;
            why = trouble => Err(why.unwrap_or_else(stopped)),
            place = Arc::clone(of).acquire_many_owned(places) => place.map_err(|_closed| stopped()),
        }
    }

    /// Never waits: whoever has a place finds room in the channel.
    pub(super) fn send(&self, entry: Entry) {
        if let Err(error) = self.sender.try_send(entry) {
            let (mpsc::error::TrySendError::Full(entry) | mpsc::error::TrySendError::Closed(entry)) = error;
            tracing::error!(
                target: "toolgate::audit",
                records = entry.len(),
                interception_ended = entry.end.as_ref().map(|end| tracing::field::display(end.id)),
                "the audit is closed: these records are lost",
            );
        }
    }

    pub(super) fn close(&self) {
        self.places.close();
        self.ends.close();
        self.closing.cancel();
    }
}

#[cfg(test)]
impl Queue {
    /// Waits until the writer has written again.
    pub(super) async fn recovered(&self) {
        self.trouble.clone().wait_for(Option::is_none).await.unwrap();
    }

    /// Waits until everything sent so far is committed, but for ends.
    pub(super) async fn settled(&self) {
        let _all = Arc::clone(&self.places).acquire_many_owned(self.capacity).await.unwrap();
    }
}

pub(super) fn stopped() -> AuditUnavailable {
    AuditUnavailable("its writer has stopped".to_owned())
}
