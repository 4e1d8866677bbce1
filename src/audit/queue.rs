//! The way to the writer: places are taken before something is sent, and are free again when it is committed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::entry::{Entry, Record};
use super::{AuditUnavailable, Clock, Settings};
use crate::config::OnFull;

/// The senders' end.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<Entry>,
    /// For everything but ends.
    places: Arc<Semaphore>,
    /// For ends, taken when an interception begins: they never wait, and never keep others waiting.
    ends: Arc<Semaphore>,
    pub capacity: u32,
    on_full: OnFull,
    trouble: watch::Receiver<Option<AuditUnavailable>>,
    hurry: Arc<Notify>,
    dropped_texts: AtomicU64,
    pub lost: Lost,
    pub closing: CancellationToken,
    pub clock: Clock,
}

/// The writer's end.
pub(super) struct Sent {
    pub entries: mpsc::Receiver<Entry>,
    /// Why nothing can be written now; `None` when all is well.
    pub trouble: watch::Sender<Option<AuditUnavailable>>,
    /// Somebody waits for what was sent, or for a place.
    pub hurry: Arc<Notify>,
    pub lost: Lost,
    pub closing: CancellationToken,
}

impl Sent {
    /// Waits until somebody waits, or the gateway closes.
    pub(super) async fn hurried(&self) {
        tokio::select! {
            () = self.hurry.notified() => {}
            () = self.closing.cancelled() => {}
        }
    }
}

/// Counts records that are nowhere and never will be.
#[derive(Debug, Clone, Default)]
pub(super) struct Lost(Arc<AtomicU64>);

impl Lost {
    pub(super) fn add(&self, records: usize) {
        self.0.fetch_add(records as u64, Ordering::Relaxed);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many bytes of content take one more place.
const PLACE_BYTES: usize = 64 << 10;

impl Queue {
    pub(super) fn new(settings: &Settings) -> (Self, Sent) {
        let capacity = settings.capacity.max(1);
        let places = usize::try_from(capacity).unwrap_or(usize::MAX);
        let (sender, entries) = mpsc::channel(places.saturating_mul(2));
        let (trouble_sender, trouble) = watch::channel(None);
        let (lost, closing) = (Lost::default(), CancellationToken::new());
        let hurry = Arc::new(Notify::new());
        let queue = Self {
            sender,
            places: Arc::new(Semaphore::new(places)),
            ends: Arc::new(Semaphore::new(places)),
            capacity,
            on_full: settings.on_full,
            trouble,
            hurry: Arc::clone(&hurry),
            dropped_texts: AtomicU64::new(0),
            lost: lost.clone(),
            closing: closing.clone(),
            clock: settings.clock.clone(),
        };
        (queue, Sent { entries, trouble: trouble_sender, hurry, lost, closing })
    }

    /// Waits for a place for records with these texts, unless nothing can be written now. Where texts are to be dropped
    /// rather than waited for, they are, if there is no room for them at once.
    pub(super) async fn place(
        &self,
        records: &mut [Record],
        bytes: &mut usize,
    ) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        if self.on_full == OnFull::Drop {
            if let Some(place) = self.place_at_once(*bytes) {
                return Ok(place);
            }
            self.drop_texts(records);
            *bytes = 0;
        }
        self.acquire(&self.places, self.places_for(*bytes)).await
    }

    /// Waits for a place for something without texts, unless nothing can be written now.
    pub(super) async fn small_place(&self) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        self.acquire(&self.places, 1).await
    }

    /// Waits for the place of an end, unless nothing can be written now.
    pub(super) async fn place_for_end(&self) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        self.acquire(&self.ends, 1).await
    }

    /// More room for the texts that go with an end, if there is any. Without it they go along all the same, unless they
    /// are to be dropped: an end waits for nothing, and nothing new is admitted until there is room again.
    pub(super) fn more_room(&self, records: &mut [Record], bytes: usize) -> Option<OwnedSemaphorePermit> {
        if bytes < PLACE_BYTES {
            return None;
        }
        let room = self.place_at_once(bytes);
        if room.is_none() && self.on_full == OnFull::Drop {
            self.drop_texts(records);
            return None;
        }
        // What there is keeps others from being admitted, at least.
        room.or_else(|| {
            let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
            Arc::clone(&self.places).try_acquire_many_owned(free.min(self.places_for(bytes))).ok()
        })
    }

    /// A place for something with so many bytes of texts, if there is one.
    pub(super) fn place_at_once(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_many_owned(self.places_for(bytes)).ok()
    }

    fn places_for(&self, bytes: usize) -> u32 {
        u32::try_from(1 + bytes / PLACE_BYTES).unwrap_or(u32::MAX).min(self.capacity)
    }

    async fn acquire(
        &self,
        of: &Arc<Semaphore>,
        places: u32,
    ) -> Result<OwnedSemaphorePermit, AuditUnavailable> {
        if of.available_permits() < places as usize {
            self.hurry.notify_one();
        }
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

    fn drop_texts(&self, records: &mut [Record]) {
        let dropped = records.iter_mut().filter_map(|record| record.drop_text().then_some(())).count();
        self.count_dropped(dropped as u64);
    }

    /// Counts texts for which there was no room.
    pub(super) fn count_dropped(&self, texts: u64) {
        if texts > 0 {
            let total = self.dropped_texts.fetch_add(texts, Ordering::Relaxed).saturating_add(texts);
            tracing::warn!(target: "toolgate::audit", texts, total, "texts were dropped for want of room");
        }
    }

    /// Never waits: whoever has a place finds room in the channel.
    pub(super) fn send(&self, entry: Entry) {
        let is_waited_for = entry.waiting.is_some();
        let sent = self.sender.try_send(entry);
        if is_waited_for {
            self.hurry.notify_one();
        }
        if let Err(error) = sent {
            let (mpsc::error::TrySendError::Full(entry) | mpsc::error::TrySendError::Closed(entry)) = error;
            self.lost.add(entry.records.len());
            tracing::error!(
                target: "toolgate::audit",
                records = entry.records.len(),
                interceptions_ended = entry.ends(),
                "the audit is closed: these records are lost",
            );
        }
    }

    /// Places that are taken.
    pub(super) fn waiting(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.capacity.saturating_sub(free)
    }

    pub(super) fn dropped_texts(&self) -> u64 {
        self.dropped_texts.load(Ordering::Relaxed)
    }

    /// Why nothing can be written now.
    pub(super) fn trouble(&self) -> Option<AuditUnavailable> {
        let is_gone = self.trouble.has_changed().is_err() && !self.closing.is_cancelled();
        if is_gone { Some(stopped()) } else { self.trouble.borrow().clone() }
    }

    /// Waits until everything sent so far is committed, but for ends, or nothing can be written.
    pub(super) async fn settled(&self) {
        let _all_or_trouble = self.acquire(&self.places, self.capacity).await;
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
}

pub(super) fn stopped() -> AuditUnavailable {
    AuditUnavailable("its writer has stopped".to_owned())
}
