//! Connections that belong to one caller or conversation, of servers that are not shared.
//!
//! Each connection has a holder, and nobody else ever gets it: not another key, not another conversation where that
//! matters, and not the same caller with another credential. It is made when its holder first asks, in a task that
//! keeps it until it breaks, nobody used it for a while, or its place is needed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::{Era, Open, Refusal, connect};
use super::connection::Connection;
use super::credentials::{Credentials, Door, Refused};
use super::page::Listing;
use super::supervise::{CLOSE, closed};
use crate::audit::ToolOutcome;
use crate::config::{Server, Sharing};
use crate::domain::{Behalf, Digest};
use crate::seal::random;

/// How long a failed attempt speaks for those that come after it.
const FAILURE_COUNTS: Duration = Duration::from_secs(1);

/// How long a connection is kept whose conversation nobody can come back to.
const NOBODY_COMES_BACK: Duration = Duration::from_secs(1);

/// How often an asker looks for another connection when the one that was made for it is gone already.
const ATTEMPTS: usize = 3;

/// Why nothing could be sent to a server, for the model and for the records.
#[derive(Debug, Clone)]
pub(super) struct NoConnection {
    pub(super) message: String,
    pub(super) outcome: ToolOutcome,
}

/// One server's connections that are not shared.
#[derive(Debug)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    credentials: Arc<Credentials>,
    seats: Mutex<HashMap<Holder, Arc<Seat>>>,
    /// How the last connection began.
    start: Mutex<Era>,
    listings: Listings,
    closing: CancellationToken,
    no_time_left: CancellationToken,
    tasks: TaskTracker,
}

/// What servers list that only callers can ask.
///
/// One caller's lists count, the first one's: otherwise each caller with fewer rights would take tools away from all.
#[derive(Debug, Default)]
struct Listings {
    lister: Mutex<Option<(String, String)>>,
    latest: Mutex<Option<Listing>>,
    arrived: Notify,
}

/// To whom a connection belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Holder {
    key: String,
    user: String,
    conversation: Option<Digest>,
    credential: Digest,
}

/// A holder's place.
#[derive(Debug)]
struct Seat {
    state: watch::Sender<State>,
    used: Mutex<Instant>,
    idle: Duration,
    leave: CancellationToken,
}

#[derive(Debug, Clone)]
enum State {
    Opening,
    /// The seat's is the only reference beside those of whoever uses it.
    Open(Arc<Connection>),
    Failed(NoConnection, Instant),
    Closed,
}

impl Pool {
    pub(super) fn new(server: &Server, credentials: &Arc<Credentials>) -> Self {
        Self(Arc::new(Inner {
            server: server.clone(),
            credentials: credentials.clone(),
            seats: Mutex::default(),
            start: Mutex::new(Era::Modern),
            listings: Listings::default(),
            closing: CancellationToken::new(),
            no_time_left: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }))
    }

    /// The connection of this caller, or of this conversation of theirs; all who ask at once wait for one attempt.
    pub(super) async fn connection_for(&self, behalf: &Behalf) -> Result<Arc<Connection>, NoConnection> {
        let door = self.0.credentials.door_for(behalf).await.map_err(NoConnection::from)?;
        let holder = self.0.holder(behalf, &door);
        let comes_back = self.0.server.sharing != Sharing::PerConversation || behalf.conversation.is_some();
        for _ in 0..ATTEMPTS {
            let seat = self.0.seat(&holder, comes_back, &door)?;
            let mut states = seat.state.subscribe();
            let settled = states.wait_for(|state| !matches!(state, State::Opening)).await;
            match settled.map(|state| state.clone()) {
                Ok(State::Open(connection)) => {
                    if self.0.take_seat(&holder, &seat) {
                        return Ok(connection);
                    }
                }
                Ok(State::Failed(failure, _)) => return Err(failure),
                Ok(State::Opening | State::Closed) | Err(_) => {}
            }
        }
        Err(self.0.unavailable("its connections break off as soon as they are made"))
    }

    /// Whether only callers can tell what the tools are, and none has yet.
    pub(super) fn wants_listing(&self) -> bool {
        let inner = &self.0;
        inner.server.credentials.are_the_callers_own() && inner.listings.lister().is_none()
    }

    /// What a caller's connection listed; returns whenever there is something new.
    pub(super) async fn next_listing(&self) -> Listing {
        let listings = &self.0.listings;
        loop {
            let arrived = listings.arrived.notified();
            let latest = listings.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
            match latest {
                Some(listing) => return listing,
                None => arrived.await,
            }
        }
    }

    /// Closes all connections; who asks again gets new ones.
    pub(super) fn clear(&self) {
        self.0.seats().drain().for_each(|(_, seat)| seat.leave.cancel());
        *self.0.listings.lister() = None;
    }

    /// Closes all connections in order, or by force when there is no time left.
    pub(super) async fn close(&self, no_time_left: &CancellationToken) {
        let inner = &self.0;
        inner.closing.cancel();
        inner.tasks.close();
        tokio::select! {
            () = inner.tasks.wait() => {}
            () = no_time_left.cancelled() => {
                inner.no_time_left.cancel();
                inner.tasks.wait().await;
            }
        }
    }
}

impl Inner {
    fn seats(&self) -> MutexGuard<'_, HashMap<Holder, Arc<Seat>>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn holder(&self, behalf: &Behalf, door: &Door) -> Holder {
        let conversation = match self.server.sharing {
            Sharing::Shared | Sharing::PerCaller => None,
            // What belongs to no conversation shares with none.
            Sharing::PerConversation => Some(behalf.conversation.unwrap_or_else(|| Digest(random()))),
        };
        Holder {
            key: behalf.caller.key.clone(),
            user: behalf.caller.user.clone(),
            conversation,
            credential: door.proof.mark(),
        }
    }

    /// The holder's seat; a new one, whose connection is being made, where there is none that is any good.
    fn seat(
        self: &Arc<Self>,
        holder: &Holder,
        comes_back: bool,
        door: &Door,
    ) -> Result<Arc<Seat>, NoConnection> {
        let mut seats = self.seats();
        if self.closing.is_cancelled() {
            return Err(self.unavailable("it is being closed"));
        }
        seats.retain(|_, seat| !seat.is_over());
        if let Some(seat) = seats.get(holder) {
            seat.touch();
            return Ok(seat.clone());
        }
        if seats.len() >= self.server.pool.max {
            let idle =
                seats.iter().filter(|(_, seat)| seat.is_idle()).min_by_key(|(_, seat)| seat.last_use());
            let Some(oldest) = idle.map(|(holder, _)| holder.clone()) else {
                return Err(self.unavailable(&format!(
                    "all {} connections that it may have are in use; try again in a while",
                    self.server.pool.max
                )));
            };
            if let Some(seat) = seats.remove(&oldest) {
                seat.leave.cancel();
            }
        }
        let seat = Arc::new(Seat::new(if comes_back { self.server.pool.idle } else { NOBODY_COMES_BACK }));
        seats.insert(holder.clone(), seat.clone());
        let keeping = self.clone().keep(holder.clone(), seat.clone(), door.clone());
        self.tasks.spawn(keeping);
        Ok(seat)
    }

    /// Whether this is still the holder's seat, which counts as used now.
    fn take_seat(&self, holder: &Holder, seat: &Arc<Seat>) -> bool {
        let seats = self.seats();
        let is_theirs =
            seats.get(holder).is_some_and(|current| Arc::ptr_eq(current, seat)) && !seat.is_over();
        if is_theirs {
            seat.touch();
        }
        is_theirs
    }

    fn unavailable(&self, why: &str) -> NoConnection {
        let name = &self.server.name;
        NoConnection {
            message: format!(
                "The server `{name}` of this tool is not available now: {why}. Nothing was run."
            ),
            outcome: ToolOutcome::Unreachable,
        }
    }

    /// The life of one connection.
    async fn keep(self: Arc<Self>, holder: Holder, seat: Arc<Seat>, door: Door) {
        let tools_changed = Arc::new(Notify::new());
        let opened = tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(self.unavailable("it is being closed")),
            () = seat.leave.cancelled() => Err(self.unavailable("it is being started anew")),
            opened = self.open(&door, &tools_changed) => opened,
        };
        match opened {
            Ok(open) => self.keep_open(open, &holder, &seat, &tools_changed).await,
            Err(failure) => {
                tracing::info!(server = %self.server.name, user = %holder.user, error = %failure.message, "no connection for a caller");
                seat.state.send_replace(State::Failed(failure, Instant::now()));
            }
        }
    }

    async fn open(&self, door: &Door, tools_changed: &Arc<Notify>) -> Result<Open, NoConnection> {
        let start = *self.start.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = Instant::now() + self.server.connect_timeout;
        // Before anything is started: whoever shows nothing gets nowhere.
        let shown = timeout_at(deadline, door.proof.show()).await;
        shown
            .map_err(|_| self.unavailable("its credentials are not given in time"))?
            .map_err(NoConnection::from)?;
        let wire = Arc::default();
        let connecting = connect(&self.server, start, door, tools_changed, &wire, &self.tasks);
        let open = timeout_at(deadline, connecting).await.unwrap_or_else(|_| {
            let limit = self.server.connect_timeout.as_secs_f64();
            Err(Refusal::OfThisStart(format!("no answer within {limit} s")))
        });
        let open = open.map_err(|refusal| match door.refusal() {
            Some(refused) => refused.into(),
            None => self.unavailable(&refusal.into_message()),
        })?;
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = open.era;
        Ok(open)
    }

    async fn keep_open(&self, open: Open, holder: &Holder, seat: &Arc<Seat>, tools_changed: &Notify) {
        let Open { connection, service, child, .. } = open;
        let token = service.cancellation_token();
        let mut closed = std::pin::pin!(closed(service));
        if self.lists_for_all(holder) {
            tools_changed.notify_one();
        }
        let peer = Connection::clone(&connection);
        seat.state.send_replace(State::Open(connection));
        let is_broken = tokio::select! {
            () = &mut closed => true,
            () = self.closing.cancelled() => false,
            () = seat.leave.cancelled() => false,
            () = self.idled_out(holder, seat) => false,
            () = self.follow_lists(&peer, holder, tools_changed) => false,
        };
        self.give_up(holder, seat);
        token.cancel();
        if !is_broken {
            let in_order = async { timeout(CLOSE, closed).await.is_ok() };
            tokio::select! { _ = in_order => {}, () = self.no_time_left.cancelled() => {} }
        }
        if let Some(child) = child {
            child.stop(&self.no_time_left).await;
        }
    }

    /// Returns when nobody has used the seat for as long as it is kept; it is nobody's then.
    async fn idled_out(&self, holder: &Holder, seat: &Arc<Seat>) {
        loop {
            sleep_until(seat.last_use() + seat.idle).await;
            let mut seats = self.seats();
            if !seat.is_idle() {
                seat.touch();
            } else if seat.last_use().elapsed() >= seat.idle {
                seats.retain(|known, other| known != holder || !Arc::ptr_eq(other, seat));
                return;
            }
        }
    }

    /// Lists the tools where nobody but callers can, first and whenever they changed. Never returns.
    async fn follow_lists(&self, connection: &Connection, holder: &Holder, tools_changed: &Notify) {
        loop {
            tools_changed.notified().await;
            if !self.lists_for_all(holder) {
                continue;
            }
            match connection.list_tools(self.server.connect_timeout).await {
                Ok(listing) => {
                    *self.listings.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(listing);
                    self.listings.arrived.notify_one();
                }
                Err(unanswered) => {
                    *self.listings.lister() = None;
                    tracing::warn!(server = %self.server.name, error = %unanswered.message, "a caller's connection lists no tools");
                }
            }
        }
    }

    /// Whether what this holder's connection lists is what the server lists, for all.
    fn lists_for_all(&self, holder: &Holder) -> bool {
        if !self.server.credentials.are_the_callers_own() {
            return false;
        }
        let mut lister = self.listings.lister();
        let (key, user) = lister.get_or_insert_with(|| (holder.key.clone(), holder.user.clone()));
        *key == holder.key && *user == holder.user
    }

    fn give_up(&self, holder: &Holder, seat: &Arc<Seat>) {
        self.seats().retain(|known, other| known != holder || !Arc::ptr_eq(other, seat));
        seat.state.send_replace(State::Closed);
    }
}

impl Listings {
    /// The key and the user whose lists count.
    fn lister(&self) -> MutexGuard<'_, Option<(String, String)>> {
        self.lister.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn new(idle: Duration) -> Self {
        Self {
            state: watch::Sender::new(State::Opening),
            used: Mutex::new(Instant::now()),
            idle,
            leave: CancellationToken::new(),
        }
    }

    fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last_use(&self) -> Instant {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether another connection would have to be made.
    fn is_over(&self) -> bool {
        match &*self.state.borrow() {
            State::Opening => false,
            State::Open(connection) => connection.is_closed(),
            State::Failed(_, at) => at.elapsed() >= FAILURE_COUNTS,
            State::Closed => true,
        }
    }

    fn is_idle(&self) -> bool {
        match &*self.state.borrow() {
            State::Open(connection) => Arc::strong_count(connection) == 1,
            State::Opening => false,
            State::Failed(..) | State::Closed => true,
        }
    }
}

impl From<Refused> for NoConnection {
    fn from(refused: Refused) -> Self {
        let outcome = match refused {
            Refused::Unauthorized(_) => ToolOutcome::Unauthorized,
            Refused::Unavailable(_) => ToolOutcome::Unreachable,
        };
        Self { message: refused.to_string(), outcome }
    }
}
