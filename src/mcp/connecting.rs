//! Callers connect their accounts to servers, in a browser: who goes to which desk.

use std::sync::Arc;

use http::header::HeaderMap;
use serde_json::Value;

use super::credentials::{AuthorizationCode, Callback, ConnectError, Connected, Departure, Whom};
use super::fleet::Fleet;
use super::server::Server;
use crate::domain::{Behalf, Caller, CallerHeaders, ToolSettings};

impl Fleet {
    /// A link with which this caller connects to this server; good once, and for a short time.
    pub fn link_for(&self, server: &str, caller: &Caller) -> Result<reqwest::Url, ConnectError> {
        self.authorization_code(server)?;
        self.access().desk.link(server, caller)
    }

    /// Whom a link is for. Without a good one nobody learns whether there is such a server.
    pub fn read_ticket(&self, server: &str, ticket: &str) -> Result<Whom, ConnectError> {
        let whom = self.access().desk.read(server, ticket)?;
        self.authorization_code(server)?;
        Ok(whom)
    }

    /// Uses a link up, and sends a browser to the authorization server.
    pub async fn depart(&self, server: &str, ticket: &str) -> Result<Departure, ConnectError> {
        self.read_ticket(server, ticket)?;
        self.access().desk.depart(&self.authorization_code(server)?, ticket).await
    }

    /// Takes a browser back; from then on the server is called with what its user granted.
    pub async fn arrive(
        &self,
        server: &str,
        callback: Callback,
        cookie: Option<&secrecy::SecretString>,
    ) -> Result<Connected, ConnectError> {
        let connected = self.access().desk.arrive(server, callback, cookie).await?;
        self.welcome(&connected.whom);
        Ok(connected)
    }

    /// Forgets what a caller's user granted; tells whether there was anything.
    pub async fn disconnect(&self, server: &str, caller: &Caller) -> Result<bool, ConnectError> {
        Ok(self.authorization_code(server)?.disconnect(&caller.user).await?)
    }

    /// Who the gateway is for this server, for authorization servers that read it from the gateway's own document.
    pub fn client_document(&self, server: &str) -> Option<Value> {
        self.access().desk.client(server)
    }

    /// The origin of the gateway's own pages, where it is known.
    pub fn own_origin(&self) -> Option<String> {
        self.access().desk.origin()
    }

    /// Where only callers can ask a server for its tools, and none has yet, this one's credentials are tried at those
    /// servers that they may know of.
    pub fn introduce(&self, caller: &Arc<Caller>, headers: &HeaderMap, may_know: impl Fn(&str) -> bool) {
        let unknown = self.all_servers().into_iter().filter(|server| server.pool.wants_listing());
        for server in unknown.filter(|server| may_know(server.name())) {
            let headers = CallerHeaders::of(headers);
            self.call_on(server, Behalf { caller: caller.clone(), conversation: None, headers, trace: None });
        }
    }

    /// Makes a connection, which tells what the server's tools are.
    fn call_on(&self, server: Arc<Server>, behalf: Behalf) {
        self.spawn(async move {
            if let Err(failure) = server.pool.connection_for(&behalf).await {
                tracing::debug!(server = %server.name(), error = %failure.message, "no connection for a caller yet");
            }
        });
    }

    fn welcome(&self, whom: &Whom) {
        let Some(server) = self.server(&whom.server) else { return };
        let caller = Caller {
            key: whom.key.clone(),
            user: whom.user.clone(),
            groups: Vec::new(),
            settings: ToolSettings::default(),
        };
        let headers = CallerHeaders::default();
        self.call_on(server, Behalf { caller: Arc::new(caller), conversation: None, headers, trace: None });
    }

    fn authorization_code(&self, server: &str) -> Result<Arc<AuthorizationCode>, ConnectError> {
        let server = self.server(server).ok_or(ConnectError::NoSuchServer)?;
        server.credentials.authorization_code().cloned().ok_or(ConnectError::NoSuchServer)
    }
}
