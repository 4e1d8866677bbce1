//! Looking after a live connection: does the server still answer, and are its tools still the same?

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::backoff::jittered;
use super::connection::{Connection, Unanswered};
use super::server::Server;
use super::status::{ServerState, Stage};
use super::subscription;
use crate::config::Transport;

/// How long a server may take to give a sign of life.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// The shortest time between two lists, whatever a server announces.
const BREATH: Duration = Duration::from_millis(200);

impl Server {
    /// Looks after a connection that was just listed; returns when the server does not answer on it any more.
    pub(super) async fn look_after(&self, connection: &Connection, tools_changed: &Notify) {
        let mut subscription = pin!(subscription::follow(connection, tools_changed));
        let mut is_subscribed = true;
        let mut health = Health::default();
        let mut schedule = Schedule::new(self);
        self.show(health);
        loop {
            let question = tokio::select! {
                () = tools_changed.notified() => {
                    schedule.hasten();
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
                    if !self.heard(answer, Stage::Probe, &mut health.answers) {
                        return;
                    }
                    schedule.probed(self);
                }
                Question::Tools | Question::Life => {
                    let listing = connection.list_tools(self.config.connect_timeout).await;
                    let answer = listing.map(|listing| self.take(listing));
                    let is_alive = self.heard(answer, Stage::List, &mut health.lists);
                    // The tools that are known stay: the server is still there.
                    if question == Question::Life && !is_alive {
                        return;
                    }
                    schedule.listed(self);
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

    /// Notes how a question was answered; `false` where the connection is of no use any more. A server that is late
    /// while calls run may be busy with them: their own time-outs decide.
    fn heard(&self, answer: Result<(), Unanswered>, stage: Stage, is_well: &mut bool) -> bool {
        *is_well = answer.is_ok();
        let Err(Unanswered { message, is_late }) = answer else { return true };
        self.fail(stage, &message);
        is_late && !self.calls.is_empty()
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
}

impl Default for Health {
    fn default() -> Self {
        Self { answers: true, lists: true }
    }
}

/// When to ask what.
#[derive(Debug)]
struct Schedule {
    list: Instant,
    probe: Instant,
    /// Before this, the tools are not listed again.
    breath: Instant,
}

impl Schedule {
    fn new(server: &Server) -> Self {
        let now = Instant::now();
        let mut schedule = Self { list: now, probe: now, breath: now };
        schedule.listed(server);
        schedule
    }

    /// The tools may have changed: they are listed soon, but not at once again and again.
    fn hasten(&mut self) {
        self.list = self.list.min(self.breath.max(Instant::now()));
    }

    /// A list is a sign of life as well.
    fn listed(&mut self, server: &Server) {
        let now = Instant::now();
        let config = &server.config;
        let time_to_live = server.listing().and_then(|listing| listing.time_to_live);
        // A server that says that its list is old at once is not asked more often than it is probed.
        let fresh = time_to_live.map_or(config.relist, |time| time.max(config.probe).min(config.relist));
        self.list = now + jittered(fresh);
        self.breath = now + BREATH;
        self.probed(server);
    }

    fn probed(&mut self, server: &Server) {
        self.probe = Instant::now() + jittered(server.config.probe);
    }
}
