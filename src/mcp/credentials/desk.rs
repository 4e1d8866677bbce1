//! The desk at which callers connect: a link that is good once, a page to confirm it, the way to the authorization
//! server, and the way back.
//!
//! The link is sealed for one caller. Whoever confirms it gets a cookie, and only the browser with that cookie can
//! come back; what it comes back with is good once. So nobody finishes what somebody else began.

use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Refused;
use super::authorization_code::{Asking, AuthorizationCode};
use super::oauth::{self, Application, DiscoveryError, Form, TokenError};
use super::vault::Grant;
use crate::domain::{Caller, Digest};
use crate::egress::EgressError;
use crate::mcp::result::bounded;
use crate::seal::{Sealer, random};

const TICKET: &[u8] = b"toolgate connect ticket";

/// Links and flows that are remembered at once; who begins more lets the oldest go.
const AT_ONCE: u64 = 10_000;

/// Gives out links and remembers who is on the way.
pub struct Desk {
    sealer: Arc<Sealer>,
    public_url: Option<Url>,
    used: Cache<String, ()>,
    on_the_way: Cache<Digest, Arc<Flow>>,
}

/// Who connects to what, for the page that asks whether that is meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whom {
    /// The server.
    pub server: String,
    /// The name of the caller's key.
    pub key: String,
    /// The user to whom it belongs.
    pub user: String,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    whom: Whom,
    number: String,
    good_until: Timestamp,
}

/// One browser on its way to an authorization server and back.
struct Flow {
    whom: Whom,
    kind: Arc<AuthorizationCode>,
    asking: Asking,
    redirect_uri: Url,
    verifier: SecretString,
    browser: Digest,
}

/// Where a browser goes, and what it must bring back.
#[derive(Debug)]
pub struct Departure {
    /// The authorization server's page.
    pub location: Url,
    /// The value of the cookie.
    pub cookie: SecretString,
}

/// What a browser brings back.
#[derive(Debug, Default)]
pub struct Callback {
    /// Which flow it belongs to.
    pub state: String,
    /// What is exchanged for a token.
    pub code: Option<SecretString>,
    /// The authorization server's no.
    pub error: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
}

/// A connection that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// Who is connected to what.
    pub whom: Whom,
}

/// Why a caller is not connected, in words for the page.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no such server, or nobody connects to it.
    #[error("no server of this name is connected to in a browser")]
    NoSuchServer,
    /// The gateway does not know its own URL.
    #[error("the gateway has no `public_url`, so no browser could come back to it")]
    NoPublicUrl,
    /// The link is no good.
    #[error("this link is not valid any more: links are good once and for {} minutes. Ask for a new one", Desk::PATIENCE.as_secs() / 60)]
    BadLink,
    /// Nobody with this state is on the way, or not in this browser.
    #[error(
        "this is not the browser in which connecting was begun, or it took too long. Begin again with a new link"
    )]
    NotOnTheWay,
    /// Somebody said no.
    #[error("{0}")]
    Refused(String),
    /// Somebody did not answer.
    #[error("{0}")]
    Unavailable(String),
}

impl Desk {
    /// How long a link is good, and a browser may take.
    pub const PATIENCE: Duration = Duration::from_mins(10);

    /// What the cookie is called: with this prefix browsers send it to this very host alone, and over https.
    pub const COOKIE: &'static str = "__Host-toolgate-connect";

    pub(super) fn new(sealer: Arc<Sealer>, public_url: Option<Url>) -> Self {
        fn cache<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>() -> Cache<K, V> {
            // What is newest is never turned away.
            let oldest_first = EvictionPolicy::lru();
            Cache::builder()
                .max_capacity(AT_ONCE)
                .time_to_live(Desk::PATIENCE)
                .eviction_policy(oldest_first)
                .build()
        }
        Self { sealer, public_url, used: cache(), on_the_way: cache() }
    }

    /// A link with which this caller connects to this server.
    pub(in super::super) fn link(&self, server: &str, caller: &Caller) -> Result<Url, ConnectError> {
        let patience = SignedDuration::try_from(Self::PATIENCE).unwrap_or_default();
        self.link_until(server, caller, Timestamp::now() + patience)
    }

    pub(super) fn link_until(
        &self,
        server: &str,
        caller: &Caller,
        good_until: Timestamp,
    ) -> Result<Url, ConnectError> {
        let whom = Whom { server: server.to_owned(), key: caller.key.clone(), user: caller.user.clone() };
        let number = URL_SAFE_NO_PAD.encode(random::<16>());
        let ticket = serde_json::to_vec(&Ticket { whom, number, good_until });
        let ticket = ticket.map_err(|error| ConnectError::Unavailable(error.to_string()))?;
        let sealed = URL_SAFE_NO_PAD.encode(self.sealer.seal(TICKET, &ticket));
        let mut link = self.at(&format!("connect/{server}"))?;
        link.query_pairs_mut().append_pair("ticket", &sealed);
        Ok(link)
    }

    /// Whom a link is for; it stays good.
    pub(in super::super) fn read(&self, server: &str, ticket: &str) -> Result<Whom, ConnectError> {
        self.open(server, ticket).map(|ticket| ticket.whom)
    }

    /// Uses a link up, and sends a browser on its way.
    pub(in super::super) async fn depart(
        &self,
        kind: &Arc<AuthorizationCode>,
        ticket: &str,
    ) -> Result<Departure, ConnectError> {
        let Ticket { whom, number, .. } = self.open(kind.server(), ticket)?;
        if !self.used.entry(number).or_insert(()).is_fresh() {
            return Err(ConnectError::BadLink);
        }
        let redirect_uri = self.callback(kind.server())?;
        let asking = kind.prepare(&redirect_uri).await?;
        let (state, verifier, cookie) = (oauth::random_word(), oauth::random_word(), oauth::random_word());
        let mut location = asking.page.clone();
        location
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &asking.client.id)
            .append_pair("redirect_uri", redirect_uri.as_str())
            .append_pair("state", state.expose_secret())
            .append_pair("code_challenge", &oauth::challenge(&verifier))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &asking.resource);
        if !asking.scopes.is_empty() {
            location.query_pairs_mut().append_pair("scope", &asking.scopes.join(" "));
        }
        let flow =
            Flow { whom, kind: kind.clone(), asking, redirect_uri, verifier, browser: digest(&cookie) };
        self.on_the_way.insert(digest(&state), Arc::new(flow));
        Ok(Departure { location, cookie })
    }

    /// Takes a browser back to where this server's come back to, and keeps what its user granted.
    pub(in super::super) async fn arrive(
        &self,
        server: &str,
        callback: Callback,
        cookie: Option<&SecretString>,
    ) -> Result<Connected, ConnectError> {
        let flow = self.on_the_way.remove(&Digest::of(callback.state.as_bytes()));
        let flow = flow.filter(|flow| cookie.is_some_and(|cookie| digest(cookie) == flow.browser));
        let flow = flow.filter(|flow| flow.whom.server == server).ok_or(ConnectError::NotOnTheWay)?;
        flow.check_issuer(callback.iss.as_deref())?;
        if let Some(error) = callback.error {
            let error: String = bounded(&error, 64).chars().filter(char::is_ascii_graphic).collect();
            return Err(ConnectError::Refused(format!("the authorization server says `{error}`")));
        }
        let code = callback
            .code
            .ok_or_else(|| ConnectError::Refused("the authorization server sent no code".into()))?;
        let grant = match flow.redeem(&code).await {
            Err(TokenError::Denied(denial)) => {
                let asking = &flow.asking;
                flow.kind.forget_client(&asking.server.issuer, &asking.client, &denial).await?;
                return Err(TokenError::Denied(denial).into());
            }
            redeemed => redeemed?,
        };
        flow.kind.keep(&flow.whom.user, &grant).await?;
        tracing::info!(server = %flow.whom.server, user = %flow.whom.user, issuer = %grant.issuer, "a user connected");
        Ok(Connected { whom: flow.whom.clone() })
    }

    /// Where browsers come back to from a server's authorization server. Each server has a place of its own, so that
    /// none can have a code sent here that another's authorization server gave (RFC 9700, section 4.4.2.2).
    pub(super) fn callback(&self, server: &str) -> Result<Url, ConnectError> {
        self.at(&format!("connect/{server}/callback"))
    }

    /// The URL of the document that says who the gateway is for a server; only one that others can read will do.
    pub(super) fn client_document(&self, server: &str) -> Option<Url> {
        self.at(&format!("connect/{server}/client.json")).ok().filter(|url| url.scheme() == "https")
    }

    /// That document. There is one for every name, so that nobody learns from it which servers there are.
    pub(in super::super) fn client(&self, server: &str) -> Option<Value> {
        // With any other words in it, it would say in the gateway's name what somebody else wants.
        let is_name = server.len() <= 32
            && server.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        let document = self.client_document(server).filter(|_| is_name)?;
        let application = Application::new(server, Some(&document), &self.callback(server).ok()?);
        serde_json::to_value(application).ok()
    }

    /// The origin from which the page of a link sends its form.
    pub(in super::super) fn origin(&self) -> Option<String> {
        self.public_url.as_ref().map(|url| url.origin().ascii_serialization())
    }

    fn at(&self, path: &str) -> Result<Url, ConnectError> {
        let mut url = self.public_url.clone().ok_or(ConnectError::NoPublicUrl)?;
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url.set_query(None);
        Ok(url)
    }

    fn open(&self, server: &str, ticket: &str) -> Result<Ticket, ConnectError> {
        let sealed = URL_SAFE_NO_PAD.decode(ticket).map_err(|_| ConnectError::BadLink)?;
        let plain = self.sealer.open(TICKET, &sealed).ok_or(ConnectError::BadLink)?;
        let ticket: Ticket = serde_json::from_slice(&plain).map_err(|_| ConnectError::BadLink)?;
        let is_good = ticket.whom.server == server
            && Timestamp::now() < ticket.good_until
            && !self.used.contains_key(&ticket.number);
        if is_good { Ok(ticket) } else { Err(ConnectError::BadLink) }
    }
}

impl Flow {
    /// An answer of another authorization server than the one that was asked is a mix-up (RFC 9207).
    fn check_issuer(&self, iss: Option<&str>) -> Result<(), ConnectError> {
        let server = &self.asking.server;
        let is_right = match iss {
            Some(iss) => iss == server.issuer,
            None => !server.authorization_response_iss_parameter_supported,
        };
        if is_right {
            return Ok(());
        }
        Err(ConnectError::Refused("the answer is not that of the authorization server that was asked".into()))
    }

    async fn redeem(&self, code: &SecretString) -> Result<Grant, TokenError> {
        let asking = &self.asking;
        let mut form = Form::new("authorization_code");
        form.add_secret("code", code);
        form.add_secret("code_verifier", &self.verifier);
        form.add("redirect_uri", self.redirect_uri.as_str());
        form.add("resource", &asking.resource);
        let tokens =
            oauth::ask(self.kind.egress(), &asking.server.token_endpoint, &asking.client, form).await?;
        Ok(Grant {
            id: URL_SAFE_NO_PAD.encode(random::<16>()),
            issuer: asking.server.issuer.clone(),
            token_endpoint: asking.server.token_endpoint.clone(),
            resource: asking.resource.clone(),
            client: asking.client.clone(),
            tokens,
        })
    }
}

fn digest(secret: &SecretString) -> Digest {
    Digest::of(secret.expose_secret().as_bytes())
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("on_the_way", &self.on_the_way.entry_count()).finish_non_exhaustive()
    }
}

impl From<Refused> for ConnectError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unauthorized(words) => Self::Refused(words),
            Refused::Unavailable(words) => Self::Unavailable(words),
        }
    }
}

impl From<DiscoveryError> for ConnectError {
    fn from(error: DiscoveryError) -> Self {
        match &error {
            DiscoveryError::Egress(EgressError::Unreachable { .. }) => Self::Unavailable(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<TokenError> for ConnectError {
    fn from(error: TokenError) -> Self {
        match &error {
            TokenError::Denied(denial) => {
                Self::Refused(format!("the authorization server gives no token: {denial}"))
            }
            TokenError::Failed(reason) => Self::Unavailable(reason.clone()),
        }
    }
}
