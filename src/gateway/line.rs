use std::future::Future;

use bytes::BytesMut;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Gone};
use super::stopwatch::{On, Stopwatch};
use crate::config::Limits;
use crate::dialect::{Delivery, Splicer};

/// How long a client may take for the last bytes of an answer.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// The line to the client while an interception runs: watched for its end, and kept alive in silence.
pub struct Line {
    /// The answer.
    pub answer: Answer,
    /// The message; `None` before the provider's first head.
    pub splicer: Option<Box<dyn Splicer>>,
    /// Where the time goes.
    pub watch: Stopwatch,
    deadline: Instant,
    keep_alive: Duration,
    last_sent: Instant,
    closing: CancellationToken,
}

/// Why work for the client stops before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Interruption {
    /// The client has gone.
    #[error("the client went away")]
    ClientGone,
    /// The wall clock has run out.
    #[error("the wall clock ran out (limits.wall_clock_streamed, limits.wall_clock_whole)")]
    OutOfTime,
    /// The gateway shuts down.
    #[error("the gateway is shutting down")]
    Closing,
}

impl Line {
    /// A line to a client that wants its answer delivered in this way; its time goes on.
    pub fn new(
        answer: Answer,
        watch: Stopwatch,
        limits: &Limits,
        delivery: Delivery,
        closing: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        let deadline = now + wall_clock(limits, delivery);
        let keep_alive = limits.keep_alive;
        Self { answer, splicer: None, watch, deadline, keep_alive, last_sent: now, closing }
    }

    /// Waits for work, unless the client goes away, time runs out or the gateway closes; the time counts to whom it
    /// is waited on.
    pub async fn attend<F: Future>(&mut self, on: On, work: F) -> Result<F::Output, Interruption> {
        let began = Instant::now();
        let done = self.wait_for(work).await;
        self.watch.add(on, began.elapsed());
        done
    }

    async fn wait_for<F: Future>(&mut self, work: F) -> Result<F::Output, Interruption> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = self.answer.gone() => return Err(Interruption::ClientGone),
                () = self.closing.cancelled() => return Err(Interruption::Closing),
                () = sleep_until(self.deadline) => return Err(Interruption::OutOfTime),
                () = sleep_until(self.last_sent + self.keep_alive) => self.keep_alive()?,
            }
        }
    }

    /// Whether the client still waits and there is time left: asked before work that cannot be undone begins.
    pub fn still_wanted(&self) -> Result<(), Interruption> {
        if self.answer.is_gone() {
            return Err(Interruption::ClientGone);
        }
        if self.closing.is_cancelled() {
            return Err(Interruption::Closing);
        }
        if Instant::now() >= self.deadline { Err(Interruption::OutOfTime) } else { Ok(()) }
    }

    /// Sends bytes to the client; nothing is sent for no bytes.
    pub async fn send(&mut self, bytes: BytesMut) -> Result<(), Interruption> {
        if bytes.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let sent = tokio::select! {
            biased;
            sent = self.answer.send(bytes.freeze()) => sent.map_err(|Gone| Interruption::ClientGone),
            () = sleep_until(self.deadline) => Err(Interruption::OutOfTime),
            () = self.closing.cancelled() => Err(Interruption::Closing),
        };
        self.last_sent = Instant::now();
        self.watch.add(On::Client, began.elapsed());
        if sent.is_ok() {
            self.watch.note_sent();
        }
        sent
    }

    /// Sends the last bytes and ends the answer. Whatever has run out, a slow client has a little longer.
    pub async fn send_last(&mut self, bytes: BytesMut) -> Result<(), Interruption> {
        let sent = if bytes.is_empty() {
            Ok(Ok(()))
        } else {
            self.watch.note_sent();
            let sending = timeout(LAST_WORDS, self.answer.send(bytes.freeze()));
            self.watch.count(On::Client, sending).await
        };
        self.answer.close();
        match sent {
            Ok(sent) => sent.map_err(|Gone| Interruption::ClientGone),
            Err(_) => Err(Interruption::OutOfTime),
        }
    }

    fn keep_alive(&mut self) -> Result<(), Interruption> {
        let mut out = BytesMut::new();
        if let Some(splicer) = &mut self.splicer {
            splicer.keep_alive(&mut out);
        }
        self.last_sent = Instant::now();
        if out.is_empty() {
            return Ok(());
        }
        self.answer.send_if_room(out.freeze()).map_err(|Gone| Interruption::ClientGone)
    }
}

/// How long an interception may take in all.
fn wall_clock(limits: &Limits, delivery: Delivery) -> Duration {
    match delivery {
        Delivery::Streamed => limits.wall_clock_streamed,
        Delivery::Whole => limits.wall_clock_whole,
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;

    use super::super::answer;
    use super::*;

    #[tokio::test]
    async fn what_a_slow_client_takes_is_not_the_gateways_own_time() {
        let (answer, mut reply) = answer();
        let watch = Stopwatch::new(Instant::now());
        let (limits, closing) = (Limits::default(), CancellationToken::new());
        let mut line = Line::new(answer, watch, &limits, Delivery::Streamed, closing);
        for _ in 0..reply.body.max_capacity() {
            line.send("x".into()).await.unwrap();
        }
        let before = line.watch.times().client;
        let began = Instant::now();
        let reading = async {
            while began.elapsed() < Duration::from_millis(20) {
                yield_now().await;
            }
            reply.body.recv().await
        };
        let (sent, read) = tokio::join!(line.send("y".into()), reading);
        assert!(sent.is_ok() && read.is_some());
        assert!(line.watch.times().client >= before + Duration::from_millis(20));
    }
}
