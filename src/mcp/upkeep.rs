//! Looking after a live connection: does the server still answer, and are its tools still the same?

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::backoff::{Backoff, jittered};
use super::connection::{Connection, Sign, Unanswered};
use super::server::Server;
use super::status::{ServerState, Stage};
use super::subscription;
use crate::config::{self, Transport};

/// How long a server may take to give a sign of life.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// The shortest time between two lists, whatever a server announces; the more often it does, the longer.
const BREATH: Duration = Duration::from_millis(200);

/// After a bad answer to a question of life, the second look.
const SECOND_LOOK: Duration = Duration::from_secs(1);

impl Server {
    /// Looks after a connection that was just listed; returns when the server does not answer on it any more.
    pub(super) async fn look_after(&self, connection: &Connection, tools_changed: &Notify) {
        let mut subscription = pin!(subscription::follow(connection, tools_changed));
        let mut is_subscribed = true;
        let mut health = Health::default();
        let mut schedule = Schedule::new(&self.config, self.time_to_live(), Instant::now());
        self.show(health);
        loop {
            let question = tokio::select! {
                () = tools_changed.notified() => {
                    schedule.hasten(Instant::now());
                    continue;
                }
                () = &mut subscription, if is_subscribed => {
                    is_subscribed = false;
                    continue;
                }
                () = sleep_until(schedule.list) => Question::Tools,
                () = sleep_until(schedule.probe) => Question::Life,
            };
            match question {
                Question::Life if !self.is_probed_by_listing(connection) => {
                    let answer = connection.probe(self.probe_patience()).await;
                    let sign = self.heard(answer, Stage::Probe, &mut health.answers);
                    if self.is_dead(sign, connection, &mut health) {
                        return;
                    }
                    schedule.probed(&self.config, sign, Instant::now());
                }
                Question::Tools | Question::Life => {
                    let listing = connection.list_tools(self.config.connect_timeout).await;
                    let answer = listing.map(|listing| self.take(listing));
                    let sign = self.heard(answer, Stage::List, &mut health.lists);
                    // The tools that are known stay.
                    if question == Question::Life && self.is_dead(sign, connection, &mut health) {
                        return;
                    }
                    if health.lists {
                        schedule.listed(&self.config, self.time_to_live(), Instant::now());
                    } else {
                        schedule.not_listed(&self.config, Instant::now());
                        // That a list is late says little: its life is asked for when that is due.
                        if question == Question::Life || sign != Sign::Late {
                            schedule.probed(&self.config, sign, Instant::now());
                        }
                    }
                }
            }
            self.show(health);
        }
    }

    /// Streamable HTTP of 2026-07-28 has no other question that may be asked beside calls.
    fn is_probed_by_listing(&self, connection: &Connection) -> bool {
        connection.is_modern() && matches!(self.config.transport, Transport::Http { .. })
    }

    fn probe_patience(&self) -> Duration {
        PROBE_PATIENCE.min(self.config.connect_timeout)
    }

    /// How long the server says that its list stays the same.
    fn time_to_live(&self) -> Option<Duration> {
        self.listing().and_then(|listing| listing.time_to_live)
    }

    /// Notes how a question was answered.
    fn heard(&self, answer: Result<(), Unanswered>, stage: Stage, is_well: &mut bool) -> Sign {
        *is_well = answer.is_ok();
        let Err(Unanswered { message, sign }) = answer else { return Sign::Life };
        self.fail(stage, &message);
        sign
    }

    /// Whether the connection is of no use any more after a question of life. One bad answer may be a proxy's, and
    /// the calls that run each have an exchange of their own, so it is asked again.
    fn is_dead(&self, sign: Sign, connection: &Connection, health: &mut Health) -> bool {
        let was_doubtful = std::mem::replace(&mut health.is_doubtful, sign == Sign::Doubt);
        match sign {
            Sign::Life => false,
            // It may be busy with calls, but then it says something before their time-outs.
            Sign::Late => self.calls.is_empty() || connection.wire().silence() > self.longest_silence(),
            Sign::Doubt => was_doubtful,
        }
    }

    /// How long a server may be busy without a word: with a call that comes just before a question of life.
    fn longest_silence(&self) -> Duration {
        self.config.probe + self.probe_patience() + self.config.call_timeout
    }

    fn show(&self, health: Health) {
        let is_whole = self.listing().is_none_or(|listing| listing.cut.is_none());
        let is_well = health.answers && health.lists && is_whole;
        self.enter(if is_well { ServerState::Ready } else { ServerState::Degraded });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Question {
    Life,
    Tools,
}

/// How the last questions were answered.
#[derive(Debug, Clone, Copy)]
struct Health {
    answers: bool,
    lists: bool,
    /// The last question of life was answered badly.
    is_doubtful: bool,
}

impl Default for Health {
    fn default() -> Self {
        Self { answers: true, lists: true, is_doubtful: false }
    }
}

/// When to ask what.
#[derive(Debug)]
struct Schedule {
    list: Instant,
    probe: Instant,
    /// Before this, the tools are not listed again.
    rested: Instant,
    /// How long after a list that is.
    breath: Duration,
    /// Whether the next list comes because the server announced a change.
    is_hasty: bool,
    /// The delays after lists that failed.
    retries: Backoff,
}

impl Schedule {
    fn new(config: &config::Server, time_to_live: Option<Duration>, now: Instant) -> Self {
        let retries = Backoff::up_to(config.relist);
        let mut schedule =
            Self { list: now, probe: now, rested: now, breath: BREATH, is_hasty: false, retries };
        schedule.listed(config, time_to_live, now);
        schedule
    }

    /// The tools may have changed: they are listed soon, but not at once again and again.
    fn hasten(&mut self, now: Instant) {
        self.is_hasty = true;
        self.list = self.list.min(self.rested.max(now));
    }

    /// A list is a sign of life as well.
    fn listed(&mut self, config: &config::Server, time_to_live: Option<Duration>, now: Instant) {
        // A server that says that its list is old at once is not asked more often than it is probed.
        let fresh = time_to_live.map_or(config.relist, |time| time.max(config.probe).min(config.relist));
        self.list = now + jittered(fresh);
        self.retries = Backoff::up_to(config.relist);
        self.rest(config, now);
        self.probed(config, Sign::Life, now);
    }

    /// What was announced may still have to be noticed: it is asked again soon.
    fn not_listed(&mut self, config: &config::Server, now: Instant) {
        self.list = now + self.retries.delay();
        self.rest(config, now);
    }

    fn probed(&mut self, config: &config::Server, sign: Sign, now: Instant) {
        let soon = if sign == Sign::Doubt { SECOND_LOOK.min(config.probe) } else { config.probe };
        self.probe = now + jittered(soon);
    }

    /// Twice as long each time that one announcement follows the other, and short again after a quiet time.
    fn rest(&mut self, config: &config::Server, now: Instant) {
        let was_hasty = std::mem::take(&mut self.is_hasty);
        if now.duration_since(self.rested) > config.probe {
            self.breath = BREATH;
        } else if was_hasty {
            self.breath = (self.breath * 2).min(config.probe.max(BREATH));
        }
        self.rested = now + self.breath;
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::http_server;
    use super::*;

    #[test]
    fn the_more_a_server_announces_the_less_it_is_listed() {
        let (config, mut now) = (http_server("s", "http://x/"), Instant::now());
        let mut schedule = Schedule::new(&config, None, now);
        let mut announced = |now: &mut Instant| {
            schedule.hasten(*now);
            let wait = schedule.list.duration_since(*now);
            *now = schedule.list.max(*now);
            schedule.listed(&config, None, *now);
            wait
        };
        let waits: Vec<Duration> = (0..20).map(|_| announced(&mut now)).collect();
        assert_eq!(waits[0], BREATH);
        assert!(waits.windows(2).take(5).all(|pair| pair[1] == pair[0] * 2), "{waits:?}");
        assert_eq!(waits[19], config.probe);
        now += config.probe * 3;
        assert_eq!([announced(&mut now), announced(&mut now)], [Duration::ZERO, BREATH]);
    }

    #[test]
    fn a_list_that_failed_is_asked_for_again_soon() {
        let (config, now) = (http_server("s", "http://x/"), Instant::now());
        let mut schedule = Schedule::new(&config, None, now);
        for limit in [1, 1, 2, 4] {
            schedule.not_listed(&config, now);
            assert!(schedule.list <= now + Duration::from_secs(limit));
        }
        schedule.listed(&config, None, now);
        assert!(schedule.list > now + config.relist / 2);
    }
}
