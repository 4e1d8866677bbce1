//! Servers that only callers have credentials for tell what their tools are when the first caller asks.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::fleet::Fleet;
use super::server::Server;
use crate::domain::Behalf;

/// How long who asks first waits for a server.
const PATIENCE: Duration = Duration::from_secs(5);

impl Fleet {
    /// Tries this caller's credentials on those servers that take callers' own and have no tools yet; returns when they
    /// have them, when they cannot be reached, or after a short time.
    pub async fn first_listing(&self, behalf: &Behalf, which: impl Fn(&str) -> bool) {
        let catalogue = self.catalogue();
        let is_unknown = |server: &Arc<Server>| {
            let has_tools =
                |name: &str| catalogue.tools().iter().any(|it| it.definition.source.server == name);
            server.config.credentials.are_the_callers_own()
                && server.listing().is_none()
                && !has_tools(server.name())
        };
        let unknown: Vec<_> =
            self.all_servers().into_iter().filter(|server| which(server.name())).filter(is_unknown).collect();
        let asking = unknown.iter().map(|server| self.ask_first(server, behalf));
        let _ = timeout(PATIENCE, join_all(asking)).await;
    }

    async fn ask_first(&self, server: &Server, behalf: &Behalf) {
        let mut changes = self.watch();
        // Held until it has told: what nobody uses may be closed.
        let _connection = match server.pool.connection_for(behalf).await {
            Ok(connection) => connection,
            Err(failure) => {
                let error = &failure.message;
                tracing::debug!(server = %server.name(), error, "no connection for a caller yet");
                return;
            }
        };
        while server.listing().is_none() && changes.changed().await.is_ok() {}
    }
}
