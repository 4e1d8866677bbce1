//! How the gateway proves to servers whose request it is: one file a kind, with the same functions in the same order.
//!
//! A server has one kind ([`Credentials`]). For each connection it gives a [`Door`] with a [`Proof`], which shows a credential with
//! every request and, where it can, another one in place of one that was refused. What is missing is an error that
//! says what to do: no kind falls back on another, and none on another caller's.

mod authorization_code;
mod bearer;
mod caller_header;
mod client_credentials;
mod desk;
mod oauth;
mod slot;
mod token_exchange;
mod vault;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, header};
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::task::TaskTracker;

use self::bearer::Bearer;
use self::caller_header::CallerHeader;
use self::client_credentials::ClientCredentials;
use self::token_exchange::TokenExchange;
use crate::config::{self, Transport};
use crate::domain::{Behalf, Digest};
use crate::egress::Egress;
use crate::seal::Sealer;
use crate::store::Store;

pub(super) use self::authorization_code::AuthorizationCode;
pub use self::desk::{Callback, ConnectError, Connected, Departure, Desk, Whom};
pub(super) use self::vault::Vault;

/// What credentials need of the house: where they may ask, where they keep what they got, and the desk at which
/// callers connect.
#[derive(Debug, Clone)]
pub struct Access {
    /// The way out.
    pub(super) egress: Egress,
    /// What was granted.
    pub(super) vault: Arc<Vault>,
    /// Where callers connect.
    pub(super) desk: Arc<Desk>,
    /// Tokens that are being renewed, whoever still waits for them.
    pub(super) renewals: TaskTracker,
}

impl Access {
    /// With this store, which gets nothing unsealed; browsers come back to `public_url`.
    pub fn new(egress: Egress, store: Store, sealer: Arc<Sealer>, public_url: Option<Url>) -> Self {
        let desk = Arc::new(Desk::new(sealer.clone(), public_url));
        Self { egress, vault: Arc::new(Vault::new(store, sealer)), desk, renewals: TaskTracker::new() }
    }
}

/// Why no credential can be shown.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refused {
    /// There is none, or it is not good any more; the words say what to do.
    #[error("{0}")]
    Unauthorized(String),
    /// Whoever gives it does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// A header of a request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// What one connection proves itself with.
pub(super) trait Proof: fmt::Debug + Send + Sync {
    /// Tells apart what must not share a connection.
    fn mark(&self) -> Digest;

    /// The credential for the next request; none where none is needed.
    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>>;

    /// Another one in place of this one, which the server refused.
    fn renew<'a>(&'a self, refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>>;
}

/// How one connection gets to its server: the way, and what it proves itself with.
#[derive(Debug, Clone)]
pub(super) struct Door {
    pub(super) egress: Egress,
    pub(super) proof: Arc<dyn Proof>,
    refused: Arc<Mutex<Option<Refused>>>,
}

impl Door {
    fn new(egress: &Egress, proof: Arc<dyn Proof>) -> Self {
        Self { egress: egress.clone(), proof, refused: Arc::default() }
    }

    /// Notes why no credential could be shown, for those who only learn that something failed.
    pub(super) fn note(&self, refused: &Refused) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused.clone());
    }

    /// Forgets what was noted: another attempt begins.
    pub(super) fn forget(&self) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Why no credential could be shown, if that was so.
    pub(super) fn refusal(&self) -> Option<Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Refused {
    /// Whether someone must do something before it can be otherwise.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Unauthorized(_))
    }
}

/// How one server is told whose request it is.
#[derive(Debug)]
pub(super) struct Credentials {
    kind: Kind,
    egress: Egress,
}

#[derive(Debug)]
enum Kind {
    None,
    Bearer(Arc<Bearer>),
    CallerHeader(CallerHeader),
    ClientCredentials(Arc<ClientCredentials>),
    TokenExchange(Arc<TokenExchange>),
    AuthorizationCode(Arc<AuthorizationCode>),
}

impl Credentials {
    /// Those of this server.
    pub(super) fn new(server: &config::Server, access: &Access) -> Self {
        let url = match &server.transport {
            Transport::Http { url, .. } => Url::parse(url).ok(),
            Transport::Stdio { .. } => None,
        };
        let egress = access.egress.with_own(url.clone().into_iter().chain(server.credentials.urls()));
        let kind = match (&server.credentials, url) {
            // A child process is given its secrets when it starts.
            (config::Credentials::None, _) | (_, None) => Kind::None,
            (config::Credentials::Bearer { token }, _) => {
                Kind::Bearer(Arc::new(Bearer::new(&server.name, token)))
            }
            (config::Credentials::CallerHeader(config), _) => {
                Kind::CallerHeader(CallerHeader::new(&server.name, config))
            }
            (config::Credentials::ClientCredentials(config), Some(url)) => {
                let kind = ClientCredentials::new(&server.name, url, config, egress.clone());
                Kind::ClientCredentials(Arc::new(kind))
            }
            (config::Credentials::TokenExchange(config), Some(url)) => {
                Kind::TokenExchange(Arc::new(TokenExchange::new(&server.name, url, config, egress.clone())))
            }
            (config::Credentials::AuthorizationCode(config), Some(url)) => {
                let kind = AuthorizationCode::new(&server.name, url, config, egress.clone(), access);
                Kind::AuthorizationCode(Arc::new(kind))
            }
        };
        Self { kind, egress }
    }

    /// The door for a connection on behalf of this caller.
    pub(super) async fn door_for(&self, behalf: &Behalf) -> Result<Door, Refused> {
        let proof: Arc<dyn Proof> = match &self.kind {
            Kind::None => Arc::new(Nothing),
            Kind::Bearer(kind) => kind.clone(),
            Kind::ClientCredentials(kind) => kind.clone(),
            Kind::CallerHeader(kind) => kind.proof_for(behalf)?,
            Kind::TokenExchange(kind) => kind.proof_for(behalf)?,
            Kind::AuthorizationCode(kind) => kind.proof_for(behalf).await?,
        };
        Ok(Door::new(&self.egress, proof))
    }

    /// The door for a connection of the gateway's own; none where only callers have credentials.
    pub(super) fn own_door(&self) -> Option<Door> {
        let proof: Arc<dyn Proof> = match &self.kind {
            Kind::None => Arc::new(Nothing),
            Kind::Bearer(kind) => kind.clone(),
            Kind::ClientCredentials(kind) => kind.clone(),
            Kind::CallerHeader(_) | Kind::TokenExchange(_) | Kind::AuthorizationCode(_) => return None,
        };
        Some(Door::new(&self.egress, proof))
    }

    /// The kind for which callers connect in a browser, if it is that.
    pub(super) fn authorization_code(&self) -> Option<&Arc<AuthorizationCode>> {
        match &self.kind {
            Kind::AuthorizationCode(kind) => Some(kind),
            _ => None,
        }
    }
}

/// Nothing is asked for, or all of it stands in the configured headers.
#[derive(Debug)]
struct Nothing;

impl Proof for Nothing {
    fn mark(&self) -> Digest {
        Digest::default()
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async { Ok(None) })
    }

    fn renew<'a>(&'a self, _refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        Box::pin(async {
            Err(Refused::Unauthorized("the server asks for a credential, and has none".into()))
        })
    }
}

impl Shown {
    /// `Authorization: Bearer …`.
    fn bearer(token: &SecretString) -> Result<Self, Refused> {
        Self::new(header::AUTHORIZATION, &SecretString::from(format!("Bearer {}", token.expose_secret())))
    }

    fn new(name: HeaderName, value: &SecretString) -> Result<Self, Refused> {
        let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| {
            Refused::Unauthorized("the credential holds characters that no header can carry".into())
        })?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
