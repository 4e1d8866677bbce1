//! Connections that belong to one caller or conversation, of servers that are not shared.

use std::sync::Arc;

use super::connection::Connection;
use crate::audit::ToolOutcome;
use crate::config::Server;
use crate::domain::Behalf;

/// Why nothing could be sent to a server, for the model and for the records.
#[derive(Debug, Clone)]
pub(super) struct NoConnection {
    pub(super) message: String,
    pub(super) outcome: ToolOutcome,
}

/// One server's connections that are not shared.
#[derive(Debug)]
pub(super) struct Pool {
    server: Server,
}

impl Pool {
    pub(super) fn new(server: &Server) -> Self {
        Self { server: server.clone() }
    }

    /// The connection of this caller, or of this conversation of theirs.
    #[expect(clippy::unused_async, reason = "it will connect")]
    pub(super) async fn connection_for(&self, _behalf: &Behalf) -> Result<Arc<Connection>, NoConnection> {
        let message = format!("The server `{}` cannot be reached for single callers yet.", self.server.name);
        Err(NoConnection { message, outcome: ToolOutcome::Unreachable })
    }
}
