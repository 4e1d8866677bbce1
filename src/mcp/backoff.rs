//! Delays that many gateways do not share.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LAST: Duration = Duration::from_secs(30);

/// Delays between attempts: twice as long each time, up to a bound, and each a little different, so that
/// many gateways do not come back at once.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    last: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self::up_to(LAST)
    }

    /// One whose delays grow to another bound.
    pub(super) fn up_to(last: Duration) -> Self {
        Self { next: FIRST.min(last), last }
    }

    /// The delay before the next attempt.
    pub(super) fn delay(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(self.last);
        jittered(whole)
    }
}

/// Three quarters of it, or up to a quarter more than that.
pub(super) fn jittered(whole: Duration) -> Duration {
    // Without randomness there is still a delay.
    let random = getrandom::u32().unwrap_or(u32::MAX);
    whole.mul_f64(0.75 + 0.25 * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound() {
        let mut backoff = Backoff::new();
        let delays: Vec<Duration> = (0..10).map(|_| backoff.delay()).collect();
        assert!((FIRST.mul_f64(0.75)..=FIRST).contains(&delays[0]), "{:?}", delays[0]);
        assert!(delays.windows(2).take(5).all(|pair| pair[0] < pair[1]), "{delays:?}");
        assert!(delays[9] <= LAST && delays[9] >= LAST.mul_f64(0.75), "{:?}", delays[9]);
    }
}
