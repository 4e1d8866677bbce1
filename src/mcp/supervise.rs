//! The life of one server, in a task of its own: connect, list, look after it, and start again, without end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rmcp::service::{RoleClient, RunningService};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backoff::{Backoff, jittered};
use super::connect::{Era, Handler, Open, Refusal, connect};
use super::credentials::Door;
use super::server::Server;
use super::status::{ServerState, Stage};

/// A connection that lasted this long was a good one: the next failure starts with a short delay again.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// The delay after a failure that will not go away by itself.
const LONG_DELAY: Duration = Duration::from_mins(1);

/// How long a connection that is given up may take to be closed in order.
pub(super) const CLOSE: Duration = Duration::from_secs(1);

/// The same for one that still answers: rmcp gives what is under way two seconds. One that is stuck while it is written
/// to is not closed before its process is ended.
pub(super) const CLOSE_IN_ORDER: Duration = Duration::from_secs(3);

/// When to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Close everything in order.
    pub(super) begins: CancellationToken,
    /// Kill what is still there.
    pub(super) no_time_left: CancellationToken,
}

/// What is asked of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The gateway closes.
    Stop,
    /// The server is not configured any more: the calls that run may finish.
    Retire,
    /// Close the connection, and make another one at once.
    Restart,
}

/// Where orders come from.
struct Orders<'a> {
    stop: &'a CancellationToken,
    retire: &'a CancellationToken,
    restart: watch::Receiver<()>,
}

impl Orders<'_> {
    async fn next(&mut self) -> Order {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Order::Stop,
            () = self.retire.cancelled() => Order::Retire,
            Ok(()) = self.restart.changed() => Order::Restart,
        }
    }

    /// Does something until it is done, or until an order comes.
    async fn unless<T>(&mut self, doing: impl Future<Output = T>) -> Result<T, Order> {
        tokio::select! {
            biased;
            order = self.next() => Err(order),
            done = doing => Ok(done),
        }
    }
}

/// How a connection came to its end.
enum End {
    Ordered(Order),
    Closed,
    /// It does not answer any more.
    Dead,
}

impl Server {
    /// Keeps the server connected until it is stopped or retired.
    pub(super) async fn supervise(&self, ending: Ending, tracker: &TaskTracker) {
        // Also when this task ends early: nobody may wait for ever.
        let _tried = self.tried.clone().drop_guard();
        let restart = self.restarts.subscribe();
        let mut orders = Orders { stop: &ending.begins, retire: &self.retired, restart };
        let tools_changed = Arc::new(Notify::new());
        let Some(door) = self.credentials.own_door() else {
            self.follow_callers(&mut orders).await;
            return self.close_pool(&ending).await;
        };
        let mut backoff = Backoff::new();
        let mut start = Era::Modern;
        let mut was_absent = false;
        loop {
            let opened = orders.unless(self.open(start, &door, &tools_changed, tracker)).await;
            let over = match opened {
                Ok(Ok(open)) => {
                    self.tried.cancel();
                    (start, was_absent) = (open.era, false);
                    let since = Instant::now();
                    let ordered = self.keep(open, &tools_changed, &mut orders, &ending).await;
                    if since.elapsed() > GOOD_CONNECTION {
                        backoff = Backoff::new();
                    }
                    ordered.map_or(Ok((ServerState::BackingOff, backoff.delay())), Err)
                }
                Ok(Err(trouble)) => {
                    // One that is slow to start may have no time left for the second way: it is the first next time.
                    start = start.other();
                    self.fail(trouble.stage, &trouble.message);
                    let is_absent = trouble.outlook == Outlook::Absent;
                    let is_absent_again = std::mem::replace(&mut was_absent, is_absent) && is_absent;
                    let is_final = trouble.outlook == Outlook::Hopeless || is_absent_again;
                    Ok(if is_final {
                        (ServerState::FailedConfig, jittered(LONG_DELAY))
                    } else {
                        (ServerState::BackingOff, backoff.delay())
                    })
                }
                Err(order) => Err(order),
            };
            let over = match over {
                Ok((state, delay)) => {
                    self.wait_for_attempt(state, delay);
                    // Only now, for whoever waits for it wants to know what came of it.
                    self.tried.cancel();
                    orders.unless(sleep(delay)).await
                }
                Err(order) => Err(order),
            };
            match over {
                Ok(()) => {}
                Err(Order::Restart) => {
                    (backoff, start, was_absent) = (Backoff::new(), Era::Modern, false);
                    self.pool.clear();
                    self.enter(ServerState::Starting);
                }
                Err(Order::Stop | Order::Retire) => break,
            }
        }
        self.close_pool(&ending).await;
    }

    /// Where only callers have credentials, their connections tell what there is.
    async fn follow_callers(&self, orders: &mut Orders<'_>) {
        self.tried.cancel();
        self.enter(ServerState::Ready);
        loop {
            match orders.unless(self.pool.next_listing()).await {
                Ok(listing) => self.take(listing),
                Err(Order::Restart) => self.pool.clear(),
                Err(Order::Stop | Order::Retire) => return,
            }
        }
    }

    async fn close_pool(&self, ending: &Ending) {
        if self.retired.is_cancelled() {
            tokio::select! {
                () = self.calls_end() => {}
                () = ending.begins.cancelled() => {}
            }
        }
        self.pool.close(&ending.no_time_left).await;
        self.enter(ServerState::Stopped);
    }

    /// Connects and lists, within the time that the configuration gives to both.
    async fn open(
        &self,
        start: Era,
        door: &Door,
        tools_changed: &Arc<Notify>,
        tracker: &TaskTracker,
    ) -> Result<Open, Trouble> {
        let limit = self.config.connect_timeout;
        let deadline = Instant::now() + limit;
        let wire = Arc::default();
        let connecting = connect(&self.config, start, door, tools_changed, &wire, tracker);
        let open = tokio::time::timeout_at(deadline, connecting)
            .await
            .unwrap_or_else(|_| {
                Err(Refusal::OfThisStart(format!("no answer within {} s", limit.as_secs_f64())))
            })
            .map_err(Trouble::connecting)?;
        if let Some(child) = &open.child {
            self.set_stderr(child.stderr().clone());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let listing = open.connection.list_tools(left).await.map_err(|unanswered| Trouble {
            stage: Stage::List,
            message: unanswered.message,
            outlook: Outlook::Open,
        })?;
        self.take(listing);
        self.update(|status| {
            status.era = Some(open.era);
            status.protocol = Some(open.connection.protocol());
        });
        self.connection.send_replace(Some(open.connection.clone()));
        self.enter(ServerState::Ready);
        Ok(open)
    }

    /// Looks after the connection until its end, and closes it; gives the order that ended it, if one did.
    async fn keep(
        &self,
        open: Open,
        tools_changed: &Notify,
        orders: &mut Orders<'_>,
        ending: &Ending,
    ) -> Option<Order> {
        let Open { connection, service, mut child, .. } = open;
        let token = service.cancellation_token();
        let mut closed = pin!(closed(service));
        let end = tokio::select! {
            biased;
            order = orders.next() => End::Ordered(order),
            () = &mut closed => End::Closed,
            () = self.look_after(&connection, tools_changed) => End::Dead,
        };
        if matches!(end, End::Ordered(Order::Retire)) {
            tokio::select! {
                () = self.calls_end() => {}
                () = ending.begins.cancelled() => {}
            }
        }
        self.connection.send_replace(None);
        // At once: closing takes its time.
        self.enter(match end {
            End::Ordered(Order::Restart) => ServerState::Starting,
            End::Ordered(Order::Stop | Order::Retire) => ServerState::Stopped,
            End::Closed | End::Dead => ServerState::BackingOff,
        });
        token.cancel();
        match end {
            End::Ordered(_) => {
                let in_order = timeout(CLOSE_IN_ORDER, closed);
                tokio::select! { _ = in_order => {}, () = ending.no_time_left.cancelled() => {} }
            }
            End::Dead => {
                let _ = timeout(CLOSE, closed).await;
            }
            End::Closed => {
                let obituary = match &mut child {
                    Some(child) => child.obituary().await,
                    None => None,
                };
                let message = obituary.unwrap_or_else(|| "the server closed the connection".into());
                self.fail(Stage::Run, &message);
            }
        }
        if let Some(child) = child {
            child.stop(&ending.no_time_left).await;
        }
        match end {
            End::Ordered(order) => Some(order),
            End::Closed | End::Dead => None,
        }
    }

    /// Returns when the server is not configured any more, and its last call has ended.
    pub(super) async fn gone(&self) {
        self.retired.cancelled().await;
        self.calls_end().await;
    }

    /// Returns when no call runs any more, or none that keeps to its time.
    async fn calls_end(&self) {
        self.calls.close();
        let _ = timeout(self.config.max_call_time, self.calls.wait()).await;
    }
}

/// Why an attempt came to nothing.
struct Trouble {
    stage: Stage,
    message: String,
    outlook: Outlook,
}

/// What becomes of the next attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outlook {
    /// They may succeed.
    Open,
    /// The same if it was so before: no MCP server is there.
    Absent,
    /// The same, until someone changes something.
    Hopeless,
}

impl Trouble {
    fn connecting(refusal: Refusal) -> Self {
        let outlook = match refusal {
            Refusal::Final(_) => Outlook::Hopeless,
            Refusal::Absent(_) => Outlook::Absent,
            Refusal::OfThisStart(_) => Outlook::Open,
        };
        Self { stage: Stage::Connect, message: refusal.into_message(), outlook }
    }
}

pub(super) async fn closed(service: RunningService<RoleClient, Handler>) {
    if let Err(error) = service.waiting().await {
        tracing::warn!(%error, "an MCP connection's task failed");
    }
}
