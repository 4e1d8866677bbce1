//! Who is asking: request headers to a caller, and to the program that the caller uses.

mod client;
pub mod key;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HOST, HeaderMap, ORIGIN};

pub use client::{Client, PROFILES, Profile, SideRequest};

use crate::config::{self, ANONYMOUS, Auth};
use crate::domain::{Caller, Failure, FailureKind, ToolSettings};

/// The longest key that is looked at, bytes: tokens of identity providers are longer than ours.
const MAX_KEY_BYTES: usize = 4096;

/// Knows the callers by their keys.
#[derive(Debug)]
pub struct Identity {
    known: Known,
}

#[derive(Debug)]
enum Known {
    /// `auth: none`: everyone on this machine.
    Anonymous(Arc<Caller>),
    /// By SHA-256 of the key. Looking up a hash tells a guesser nothing: he cannot choose hashes.
    Keys(HashMap<[u8; 32], Arc<Caller>>),
}

impl Identity {
    /// Takes over the configured keys.
    pub fn new(auth: &Auth) -> Self {
        let mut callers = callers(auth).into_iter().map(Arc::new);
        let known = match auth {
            Auth::None => callers.next().map_or_else(|| Known::Keys(HashMap::new()), Known::Anonymous),
            Auth::Keys(keys) => Known::Keys(keys.iter().map(|key| key.sha256).zip(callers).collect()),
        };
        Self { known }
    }

    /// Whether someone is this caller still, with all that is said of it.
    pub fn knows(&self, caller: &Caller) -> bool {
        match &self.known {
            Known::Anonymous(anonymous) => **anonymous == *caller,
            Known::Keys(callers) => callers.values().any(|known| **known == *caller),
        }
    }

    /// Who sends these headers? The key is taken from `Authorization: Bearer` or `x-api-key`.
    ///
    /// Without keys, the `Host` must be loopback and no `Origin` may be there: that keeps out web pages, which
    /// a browser on this machine would otherwise let call the gateway (DNS rebinding). A request over HTTP/2
    /// names its host in `:authority`: put it into `Host` first.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Arc<Caller>, Failure> {
        match &self.known {
            Known::Anonymous(caller) => local_only(headers).map(|()| caller.clone()),
            Known::Keys(callers) => {
                let key = presented_key(headers)?;
                callers.get(&key::hash(key)).cloned().ok_or_else(|| unknown(key))
            }
        }
    }
}

/// Everyone who may call, in the configuration's order.
pub fn callers(auth: &Auth) -> Vec<Caller> {
    let Auth::Keys(keys) = auth else {
        let anonymous = || ANONYMOUS.to_owned();
        return vec![Caller {
            key: anonymous(),
            user: anonymous(),
            groups: Vec::new(),
            settings: ToolSettings::default(),
        }];
    };
    let caller = |key: &config::Key| Caller {
        key: key.name.clone(),
        user: key.user.clone(),
        groups: key.groups.clone(),
        settings: key.settings,
    };
    keys.iter().map(caller).collect()
}

fn local_only(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.contains_key(ORIGIN) {
        return Err(forbidden(
            "web pages may not call this gateway: it runs without keys, so it refuses any Origin header",
        ));
    }
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    match (host, hosts.next()) {
        (Some(host), None) if is_loopback(host) => Ok(()),
        _ => Err(forbidden(
            "this gateway runs without keys, so it must be addressed as localhost, 127.0.0.1 or [::1] in the Host header",
        )),
    }
}

/// `localhost`, an address of 127.0.0.0/8 or `[::1]`, with any port.
fn is_loopback(host: &str) -> bool {
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(v6) => v6.parse().is_ok_and(|address: std::net::Ipv6Addr| address.is_loopback()),
        None => {
            name.eq_ignore_ascii_case("localhost")
                || name.parse().is_ok_and(|address: IpAddr| address.is_ipv4() && address.is_loopback())
        }
    }
}

/// The one key of the request: two different ones are refused, because each would be someone else.
fn presented_key(headers: &HeaderMap) -> Result<&str, Failure> {
    let bearer = single(headers, AUTHORIZATION.as_str())?.map(bearer).transpose()?;
    let api_key = single(headers, "x-api-key")?.map(str::trim);
    let key = match (bearer, api_key) {
        (Some(bearer), Some(api_key)) if bearer != api_key => {
            return Err(unauthenticated(
                "Authorization and x-api-key carry different keys: send one of them",
            ));
        }
        (Some(key), _) | (None, Some(key)) => key,
        (None, None) => {
            return Err(unauthenticated(
                "a key is needed, in `Authorization: Bearer KEY` or in `x-api-key: KEY`",
            ));
        }
    };
    match key.len() {
        0 => Err(unauthenticated("the key is empty")),
        length if length > MAX_KEY_BYTES => {
            Err(unauthenticated("the key is longer than any key of this gateway"))
        }
        _ => Ok(key),
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(unauthenticated(format!("the header {name} stands there twice")));
    }
    first
        .map(|value| {
            value.to_str().map_err(|_| unauthenticated(format!("the header {name} is not plain text")))
        })
        .transpose()
}

fn bearer(value: &str) -> Result<&str, Failure> {
    match value.trim().split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") => Ok(key.trim()),
        _ if value.trim().eq_ignore_ascii_case("bearer") => Ok(""),
        _ => Err(unauthenticated("the Authorization header must be `Bearer KEY`")),
    }
}

fn unknown(key: &str) -> Failure {
    if key.starts_with(key::PREFIX) && !key::is_intact(key) {
        return unauthenticated("the key is damaged (its checksum is wrong): was it copied whole?");
    }
    unauthenticated("the key is not known here")
}

fn unauthenticated(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Unauthenticated, message)
}

fn forbidden(message: &str) -> Failure {
    Failure::new(FailureKind::Forbidden, message)
}

#[cfg(test)]
mod tests;
