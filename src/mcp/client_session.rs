//! A connection that belongs to one MCP session: the server sees that session's client, and can ask it.

use std::sync::{Arc, PoisonError};

use tokio::sync::Notify;
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
use crate::config::Sharing;
use crate::domain::{Behalf, Digest};

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
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).insert(session, own);
        let (server, ending) = (Arc::clone(self), fleet.ending().clone());
        let kept = async move { server.keep_session(session, open, ends, ending).await };
        fleet.supervisors().spawn(fleet.readers().track_future(kept));
        Ok(())
    }

    async fn keep_session(&self, session: Digest, open: Open, ends: CancellationToken, ending: Ending) {
        let Open { service, child, .. } = open;
        let token = service.cancellation_token();
        let mut closed = Box::pin(closed(service));
        tokio::select! {
            () = &mut closed => {}
            () = ends.cancelled() => {}
            () = self.gone() => {}
            () = ending.begins.cancelled() => {}
        }
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(&session);
        token.cancel();
        let in_order = timeout(CLOSE_IN_ORDER, closed);
        tokio::select! { _ = in_order => {}, () = ending.no_time_left.cancelled() => {} }
        if let Some(child) = child {
            child.stop(&ending.no_time_left).await;
        }
        // The session cannot go on without it.
        ends.cancel();
    }
}
