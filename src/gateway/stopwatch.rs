//! Where the time of an interception goes.

use std::future::Future;

use tokio::time::{Duration, Instant};

use crate::audit::Times;

/// On whom an interception waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// The provider, or an earlier try that waits for it.
    Provider,
    /// Tools, or an earlier try that waits for them.
    Tools,
    /// The client: for more of its request, or for room for more of its answer.
    Client,
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

    /// Waits for work, and counts the time that it takes, also where it is given up.
    pub async fn count<F: Future>(&mut self, on: On, work: F) -> F::Output {
        let _wait = Wait { watch: self, on, began: Instant::now() };
        work.await
    }

    /// Counts a time that was waited.
    pub fn add(&mut self, on: On, waited: Duration) {
        match on {
            On::Provider => self.times.provider += waited,
            On::Tools => self.times.tools += waited,
            On::Client => self.times.client += waited,
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

/// A wait that goes on; counted when it is dropped.
struct Wait<'a> {
    watch: &'a mut Stopwatch,
    on: On,
    began: Instant,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.watch.add(self.on, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_wait_that_is_given_up_counts_too() {
        let mut watch = Stopwatch::new(Instant::now());
        let given_up = watch.count(On::Client, std::future::pending::<()>()).now_or_never();
        assert!(given_up.is_none() && watch.times().client > Duration::ZERO);
    }

    #[test]
    fn each_wait_counts_to_whom_it_was_for_and_the_first_byte_once() {
        let mut watch = Stopwatch::new(Instant::now());
        for (on, seconds) in
            [(On::Own, 1), (On::Provider, 2), (On::Tools, 4), (On::Provider, 8), (On::Client, 16)]
        {
            watch.add(on, Duration::from_secs(seconds));
        }
        watch.note_sent();
        let first = watch.times();
        watch.note_sent();
        let Times { first_byte, provider, tools, client } = watch.times();
        assert_eq!([provider, tools, client], [10, 4, 16].map(Duration::from_secs));
        assert!(first_byte.is_some() && first_byte == first.first_byte);
    }
}
