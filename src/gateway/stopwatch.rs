//! Where the time of an interception goes.

use std::future::Future;

use tokio::time::Instant;

use crate::audit::Times;

/// On whom an interception waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The provider, or an earlier try that waits for it.
    Provider,
    /// Tools, or an earlier try that waits for them.
    Tools,
    /// The gateway itself.
    Own,
}

/// Measures an interception on the wall clock: what runs side by side counts once.
#[derive(Debug)]
pub struct Stopwatch {
    began: Instant,
    times: Times,
}

impl Stopwatch {
    /// Of an interception that began then.
    pub fn new(began: Instant) -> Self {
        Self { began, times: Times::default() }
    }

    /// Waits for work, and counts the time that it takes.
    pub async fn count<F: Future>(&mut self, on: On, work: F) -> F::Output {
        let began = Instant::now();
        let done = work.await;
        self.add(on, began);
        done
    }

    /// Counts the time since then.
    pub fn add(&mut self, on: On, since: Instant) {
        match on {
            On::Provider => self.times.provider += since.elapsed(),
            On::Tools => self.times.tools += since.elapsed(),
            On::Own => {}
        }
    }

    /// Takes note that something of the answer goes to the client.
    pub fn note_sent(&mut self) {
        self.times.first_byte.get_or_insert_with(|| self.began.elapsed());
    }

    /// What was measured so far.
    pub fn times(&self) -> Times {
        self.times
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_wait_counts_to_whom_it_was_for_and_the_first_byte_once() {
        let mut watch = Stopwatch::new(Instant::now());
        watch.count(On::Own, sleep(Duration::from_secs(1))).await;
        watch.count(On::Provider, sleep(Duration::from_secs(2))).await;
        watch.note_sent();
        let side_by_side =
            futures::future::join(sleep(Duration::from_secs(3)), sleep(Duration::from_secs(4)));
        watch.count(On::Tools, side_by_side).await;
        watch.count(On::Provider, sleep(Duration::from_secs(5))).await;
        watch.note_sent();
        let Times { first_byte, provider, tools } = watch.times();
        let seconds = |duration: Duration| duration.as_secs();
        assert_eq!((first_byte.map(seconds), seconds(provider), seconds(tools)), (Some(3), 7, 4));
    }
}
