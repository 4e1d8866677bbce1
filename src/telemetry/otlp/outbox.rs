//! What waits for the collector: spans in batches, bounded, and the newest metrics. Who fills it never waits, however
//! long the collector is away.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::feed::Losses;
use super::client::Client;

/// The most spans of one request, and where it gets no further one, bytes.
const SPANS: usize = 512;
const LARGE: usize = 1 << 20;
/// The most that waits, bytes.
const WAITING: usize = 32 << 20;
/// The most batches that wait.
const BATCHES: usize = 256;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_secs(2);

/// Where spans and metrics are put.
#[derive(Debug)]
pub(super) struct Outbox {
    /// The batch that is being filled, its size, and when it goes at the latest.
    spans: Vec<Span>,
    size: usize,
    due: Instant,
    batches: mpsc::Sender<Batch>,
    room: Arc<Semaphore>,
    metrics: watch::Sender<Vec<Metric>>,
    losses: Losses,
}

/// From where they are sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    batches: mpsc::Receiver<Batch>,
    metrics: watch::Receiver<Vec<Metric>>,
    losses: Losses,
}

#[derive(Debug)]
struct Batch {
    spans: Vec<Span>,
    /// Held until they are sent.
    _room: OwnedSemaphorePermit,
}

/// Both ends; what is lost on the way is counted there.
pub(super) fn outbox(losses: Losses) -> (Outbox, Outgoing) {
    let (to_batches, batches) = mpsc::channel(BATCHES);
    let (to_metrics, metrics) = watch::channel(Vec::new());
    let outbox = Outbox {
        spans: Vec::new(),
        size: 0,
        due: Instant::now(),
        batches: to_batches,
        room: Arc::new(Semaphore::new(WAITING)),
        metrics: to_metrics,
        losses: losses.clone(),
    };
    (outbox, Outgoing { batches, metrics, losses })
}

impl Outbox {
    /// Takes a span into the batch of now.
    pub(super) fn put(&mut self, span: Span) {
        let size = span.encoded_len();
        if self.spans.len() >= SPANS || self.size + size > LARGE {
            self.close_batch();
        }
        if self.spans.is_empty() {
            self.due = Instant::now() + LINGER;
        }
        self.size += size;
        self.spans.push(span);
    }

    /// Until when the batch of now waits for more; none where it is empty.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.spans.is_empty()).then_some(self.due)
    }

    /// Lets the batch of now go; where there is no room for it, it is lost.
    pub(super) fn close_batch(&mut self) {
        let (spans, size) = (std::mem::take(&mut self.spans), std::mem::take(&mut self.size));
        let count = spans.len();
        if count == 0 {
            return;
        }
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(size).ok();
        let sent = room.and_then(|room| self.batches.try_send(Batch { spans, _room: room }).ok());
        if sent.is_none() {
            self.losses.lose(count);
        }
    }

    /// Takes metrics; they add up, so that the newest say all that those before them said.
    pub(super) fn put_metrics(&self, metrics: Vec<Metric>) {
        if !metrics.is_empty() {
            self.metrics.send_replace(metrics);
        }
    }
}

impl Outgoing {
    /// Sends what comes, until there is nothing more and the outbox is gone.
    pub(super) async fn send(mut self, mut client: Client, ending: &CancellationToken) {
        loop {
            tokio::select! {
                Some(Batch { spans, _room }) = self.batches.recv() => {
                    let lost = client.send_spans(spans, ending).await;
                    self.losses.lose(lost);
                }
                Ok(()) = self.metrics.changed() => {
                    let metrics = self.metrics.borrow_and_update().clone();
                    client.send_metrics(metrics, ending).await;
                }
                else => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::feed::feed;
    use super::*;

    fn span(name: usize) -> Span {
        Span { name: "x".repeat(name), ..Span::default() }
    }

    #[tokio::test]
    async fn f44_who_fills_it_never_waits_and_what_has_no_room_is_counted() {
        let (of, _intake) = feed("test", |_| true, CancellationToken::new());
        let (mut outbox, mut outgoing) = outbox(of.losses());
        assert!(outbox.due().is_none());
        for _ in 0..SPANS {
            outbox.put(span(1));
        }
        assert!(outbox.due().is_some() && outgoing.batches.is_empty(), "it waits for others");
        outbox.put(span(1));
        assert_eq!(outgoing.batches.recv().await.unwrap().spans.len(), SPANS);

        let large = WAITING / 4 - 100;
        for _ in 0..6 {
            outbox.put(span(large));
        }
        outbox.close_batch();
        assert_eq!((outgoing.batches.len(), of.losses().count()), (5, 2), "one batch is small");
        drop(outgoing.batches.recv().await.unwrap());
        drop(outgoing.batches.recv().await.unwrap());
        outbox.put(span(large));
        outbox.close_batch();
        assert_eq!((outgoing.batches.len(), of.losses().count()), (4, 2), "what is sent makes room");
    }

    #[tokio::test]
    async fn of_metrics_the_newest_go() {
        let (of, _intake) = feed("test", |_| true, CancellationToken::new());
        let (outbox, mut outgoing) = outbox(of.losses());
        outbox.put_metrics(vec![Metric { name: "old".into(), ..Metric::default() }]);
        outbox.put_metrics(vec![Metric { name: "new".into(), ..Metric::default() }]);
        outbox.put_metrics(vec![]);
        drop(outbox);
        outgoing.metrics.changed().await.unwrap();
        assert_eq!(outgoing.metrics.borrow_and_update()[0].name, "new");
        assert!(outgoing.metrics.changed().await.is_err());
    }
}
