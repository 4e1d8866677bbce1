//! Where the gateway connects to when somebody else names the place: a server's metadata, a redirect, a DNS answer.
//!
//! A name is resolved once, each address is checked (`egress/address.rs`), and the connection goes to what was
//! checked, so an answer that changes afterwards changes nothing. Redirects are taken one by one, each as if it
//! were asked for anew. What the administrator wrote himself may be private; what others name must be public and
//! https, unless `egress.allow` says otherwise. Where the environment names a proxy, which resolves names itself, what
//! others name is looked up here first, and the proxy is no place to ask.

mod address;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use http::{HeaderMap, StatusCode, header};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Method, Request, Url, redirect};
use tokio::time::timeout;

use self::address::Reach;
use crate::config;

/// The largest answer that is read: metadata, registrations and tokens are small.
const MAX_BODY: usize = 1 << 20;

/// How many redirects one question may take.
const MAX_REDIRECTS: usize = 3;

/// How long one request may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks places that others name. Cheap to clone.
#[derive(Clone)]
pub struct Egress {
    /// For places that others name.
    named: Client,
    /// For the administrator's own.
    own: Client,
    rules: Arc<Rules>,
    lookup: Arc<dyn Resolve>,
    origins: Arc<[Url]>,
}

/// What an asked place answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Why there is no answer. No message holds more of a URL than its origin and path.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// This place may not be asked.
    #[error("{place} may not be asked: {reason}")]
    Refused {
        /// The place without credentials and query.
        place: String,
        /// Which rule says so.
        reason: String,
    },
    /// It was asked, and did not answer.
    #[error("{place} cannot be reached: {reason}")]
    Unreachable {
        /// The place without credentials and query.
        place: String,
        /// What happened.
        reason: String,
    },
    /// It answered more than anyone asked for.
    #[error("{place} answered with more than {MAX_BODY} bytes")]
    TooLarge {
        /// The place without credentials and query.
        place: String,
    },
}

/// Whose word it is that this place is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    /// The administrator's.
    Own,
    /// Somebody else's.
    Named,
}

#[derive(Debug)]
struct Rules {
    allow: config::Egress,
    /// Resolved by name as well, but not as places that are asked.
    proxies: Vec<String>,
}

impl Egress {
    /// With the system's resolver; `allow` opens more than what is public.
    pub fn new(allow: &config::Egress) -> Result<Self, reqwest::Error> {
        Self::with_lookup(allow, Arc::new(SystemLookup))
    }

    /// The same with another resolver.
    pub fn with_lookup(allow: &config::Egress, lookup: Arc<dyn Resolve>) -> Result<Self, reqwest::Error> {
        let proxies = config::proxy_hosts().iter().map(|host| normal(host)).collect();
        Self::with_rules(Rules { allow: allow.clone(), proxies }, lookup)
    }

    fn with_rules(rules: Rules, lookup: Arc<dyn Resolve>) -> Result<Self, reqwest::Error> {
        let rules = Arc::new(rules);
        let client = |word| {
            let guard = Guard { lookup: lookup.clone(), rules: rules.clone(), word };
            client_builder().timeout(PATIENCE).dns_resolver(Arc::new(guard)).build()
        };
        Ok(Self {
            named: client(Word::Named)?,
            own: client(Word::Own)?,
            rules,
            lookup,
            origins: Arc::new([]),
        })
    }

    /// The same for someone whose own places, as the administrator wrote them, have these URLs.
    #[must_use]
    pub fn with_own(&self, urls: impl IntoIterator<Item = Url>) -> Self {
        Self { origins: urls.into_iter().collect(), ..self.clone() }
    }

    /// A client for the administrator's own URLs alone: it follows redirects within the origin, for servers like
    /// to add a slash, and no others.
    pub fn client_for_own_urls(&self) -> ClientBuilder {
        let guard = Guard { lookup: self.lookup.clone(), rules: self.rules.clone(), word: Word::Own };
        let policy = redirect::Policy::custom(|attempt| {
            let from_here = attempt.previous().last().is_some_and(|last| same_origin(last, attempt.url()));
            // Other codes would turn the request into a GET without its body.
            let keeps_body = matches!(attempt.status().as_u16(), 307 | 308);
            if from_here && keeps_body && attempt.previous().len() <= MAX_REDIRECTS {
                attempt.follow()
            } else {
                attempt.stop()
            }
        });
        client_builder().redirect(policy).dns_resolver(Arc::new(guard))
    }

    /// Asks for a document; redirects are checked like the first URL.
    pub async fn get(&self, url: &Url) -> Result<Answer, EgressError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::new(Method::GET, url.clone());
            request
                .headers_mut()
                .insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
            let answer = self.send(request).await?;
            let next = answer.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
            match next {
                Some(next) if answer.status.is_redirection() => {
                    url = url.join(next).map_err(|_| refused(&url, "it redirects to what is no URL"))?;
                }
                _ => return Ok(answer),
            }
        }
        Err(refused(&url, "it redirects too often"))
    }

    /// Sends one request, whose answer is taken as it comes: a redirect would carry the body to another place.
    pub async fn send(&self, request: Request) -> Result<Answer, EgressError> {
        let url = request.url().clone();
        let client = match self.check(&url)? {
            Word::Own => &self.own,
            Word::Named => {
                self.check_for_proxy(&url).await?;
                &self.named
            }
        };
        let unreachable =
            |error: reqwest::Error| EgressError::Unreachable { place: place(&url), reason: causes(error) };
        let response = client.execute(request).await.map_err(unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(unreachable)?;
            if body.len() + piece.len() > MAX_BODY {
                return Err(EgressError::TooLarge { place: place(&url) });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }

    /// What can be said of a URL before its host is resolved: its scheme, and an address in place of a name.
    pub fn may_name(&self, url: &Url) -> Result<(), EgressError> {
        self.check(url).map(drop)
    }

    fn check(&self, url: &Url) -> Result<Word, EgressError> {
        if self.origins.iter().any(|own| same_origin(own, url)) {
            return Ok(Word::Own);
        }
        if url.scheme() != "https" {
            return Err(refused(url, "only https is asked, and `http` where the administrator wrote it"));
        }
        let host = url.host_str().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if let Ok(address) = literal
            && !self.rules.permit(host, address, Word::Named)
        {
            return Err(refused(url, "its address is not public, and `egress.allow` does not open it"));
        }
        // The guard lets connections to a proxy through, wherever it is.
        if self.rules.proxies.contains(&normal(host)) && !self.rules.opens(host) {
            return Err(refused(url, "this is the proxy, and `egress.allow` does not open it"));
        }
        Ok(Word::Named)
    }

    /// Of what a proxy is sent to, the guard sees the proxy's name alone: the place is looked up before it is asked.
    async fn check_for_proxy(&self, url: &Url) -> Result<(), EgressError> {
        let Some(host) = url.domain() else { return Ok(()) };
        if self.rules.proxies.is_empty() || self.rules.opens(host) {
            return Ok(());
        }
        let unknown = || {
            refused(url, "its name cannot be looked up here before a proxy is asked; `egress.allow` opens it")
        };
        let name = host.parse::<Name>().map_err(|_| unknown())?;
        let found = timeout(PATIENCE, self.lookup.resolve(name)).await.map_err(|_| unknown())?;
        let mut found = found.map_err(|_| unknown())?.peekable();
        found.peek().ok_or_else(unknown)?;
        if found.all(|address| self.rules.permit(host, address.ip(), Word::Named)) {
            return Ok(());
        }
        Err(refused(url, "its address is not public, and `egress.allow` does not open it"))
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress")
            .field("rules", &self.rules)
            .field("origins", &self.origins.len())
            .finish_non_exhaustive()
    }
}

impl Rules {
    fn permit(&self, host: &str, address: IpAddr, word: Word) -> bool {
        if self.allow.networks.iter().any(|network| network.contains(&address)) {
            return true;
        }
        match Reach::of(address) {
            Reach::Public => true,
            Reach::Internal => word == Word::Own || self.opens(host),
            Reach::Never => false,
        }
    }

    /// Whether the administrator opened this name.
    fn opens(&self, host: &str) -> bool {
        self.allow.hosts.contains(&normal(host))
    }
}

/// Resolves names to those of their addresses that may be connected to.
struct Guard {
    lookup: Arc<dyn Resolve>,
    rules: Arc<Rules>,
    word: Word,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let (found, rules, word) = (self.lookup.resolve(name), self.rules.clone(), self.word);
        Box::pin(async move {
            let found = found.await?;
            if rules.proxies.contains(&normal(&host)) {
                return Ok(found);
            }
            let allowed: Vec<SocketAddr> =
                found.filter(|address| rules.permit(&host, address.ip(), word)).collect();
            if allowed.is_empty() {
                return Err(format!("`{host}` has no address that may be connected to from here").into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

struct SystemLookup;

impl Resolve for SystemLookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn client_builder() -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("toolgate/", env!("CARGO_PKG_VERSION")))
}

fn same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

fn normal(host: &str) -> String {
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// A URL as messages may show it.
fn place(url: &Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

fn refused(url: &Url, reason: &str) -> EgressError {
    EgressError::Refused { place: place(url), reason: reason.to_owned() }
}

/// What happened, with its causes, and without the URL, which may hold a code or a key.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
