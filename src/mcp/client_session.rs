//! A connection that belongs to one MCP session: the server sees that session's client, and can ask it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connect::{Era, Open, Refusal, connect};
use super::connection::Connection;
use super::credentials::Door;
use super::fleet::Fleet;
use super::pool::NoConnection;
use super::server::Server;
use super::supervise::{CLOSE_IN_ORDER, Ending, closed};
use super::wire::Wire;
use crate::audit::ToolOutcome;
use crate::config::{PoolLimits, Sharing};
use crate::domain::{Behalf, Digest};

/// One server's connections that belong to an MCP session each; as many at once as the pool may have.
#[derive(Debug)]
pub(super) struct SessionConnections {
    by_session: Mutex<HashMap<Digest, SessionConnection>>,
    places: Arc<Semaphore>,
}

impl SessionConnections {
    pub(super) fn new(limits: &PoolLimits) -> Self {
        let places = limits.max.min(Semaphore::MAX_PERMITS);
        Self { by_session: Mutex::default(), places: Arc::new(Semaphore::new(places)) }
    }

    /// The connection of the session that something is done in, if it has its own.
    pub(super) fn of(&self, behalf: &Behalf) -> Option<SessionConnection> {
        self.all().get(behalf.conversation.as_ref()?).cloned()
    }

    #[cfg(test)]
    pub(super) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Digest, SessionConnection>> {
        self.by_session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connection of one session: its caller's, for as long as it shows the credential that it began with.
#[derive(Debug, Clone)]
pub(super) struct SessionConnection {
    key: String,
    user: String,
    credential: Digest,
    connection: Arc<Connection>,
}

impl SessionConnection {
    fn new(behalf: &Behalf, door: &Door, connection: &Arc<Connection>) -> Self {
        let caller = &behalf.caller;
        Self {
            key: caller.key.clone(),
            user: caller.user.clone(),
            credential: door.proof.mark(),
            connection: connection.clone(),
        }
    }

    pub(super) fn connection_for(
        &self,
        behalf: &Behalf,
        door: &Door,
    ) -> Result<Arc<Connection>, NoConnection> {
        let caller = &behalf.caller;
        if (&self.key, &self.user) == (&caller.key, &caller.user) && self.credential == door.proof.mark() {
            return Ok(self.connection.clone());
        }
        let message = "This session began with another credential. Nothing was run. Begin a new session.";
        Err(NoConnection { message: message.into(), outcome: ToolOutcome::Unauthorized })
    }
}

/// A session's connection as it is kept.
struct Kept {
    session: Digest,
    open: Open,
    /// Cancelled when the session ends, and when it must.
    ends: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Server {
    pub(super) fn is_per_conversation(&self) -> bool {
        self.config.sharing == Sharing::PerConversation
    }

    /// Opens the connection, and keeps it until `ends` or the gateway's end.
    pub(super) async fn connect_session(
        self: &Arc<Self>,
        behalf: &Behalf,
        wire: Wire,
        ends: CancellationToken,
        fleet: &Fleet,
    ) -> Result<(), String> {
        let session = behalf.conversation.ok_or("a session needs a conversation")?;
        let place = Arc::clone(&self.sessions.places).try_acquire_owned().map_err(|_| {
            format!("all {} connections that sessions may have are in use (pool.max)", self.config.pool.max)
        })?;
        let (limit, tools_changed) = (self.config.connect_timeout, Arc::new(Notify::new()));
        let wire = Arc::new(wire);
        let door = self.credentials.door_for(behalf).await.map_err(|refused| refused.to_string())?;
        // Only the older start leaves a server free to ask.
        let connecting = connect(&self.config, Era::Legacy, &door, &tools_changed, &wire, fleet.readers());
        let open = timeout(limit, connecting)
            .await
            .map_err(|_| format!("no answer within {} s", limit.as_secs_f64()))?
            .map_err(Refusal::into_message)?;
        let own = SessionConnection::new(behalf, &door, &open.connection);
        self.sessions.all().insert(session, own);
        let (server, ending) = (Arc::clone(self), fleet.ending().clone());
        let kept = Kept { session, open, ends, _place: place };
        let keeping = async move { server.keep_session(kept, ending).await };
        fleet.supervisors().spawn(fleet.readers().track_future(keeping));
        Ok(())
    }

    async fn keep_session(&self, kept: Kept, ending: Ending) {
        let Kept { session, open: Open { service, child, .. }, ends, _place } = kept;
        let token = service.cancellation_token();
        let mut closed = Box::pin(closed(service));
        let is_broken = tokio::select! {
            () = &mut closed => true,
            () = ends.cancelled() => false,
            () = self.gone() => false,
            () = ending.begins.cancelled() => false,
        };
        // The session cannot go on without it: first of all, so that nothing of it goes over another connection.
        ends.cancel();
        token.cancel();
        if !is_broken {
            let in_order = timeout(CLOSE_IN_ORDER, closed);
            tokio::select! { _ = in_order => {}, () = ending.no_time_left.cancelled() => {} }
        }
        if let Some(child) = child {
            child.stop(&ending.no_time_left).await;
        }
        self.sessions.all().remove(&session);
    }
}
