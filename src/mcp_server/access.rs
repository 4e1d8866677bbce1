//! Who may come in: by which host, from which web pages, with which key.
//!
//! Host and Origin keep web pages out that a browser would let reach a gateway on this machine or network under a
//! name of their own (DNS rebinding); they are looked at before the key.

use std::sync::Arc;

use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, StatusCode, header};
use reqwest::Url;
use serde_json::json;

use super::Endpoint;
use crate::config::Config;
use crate::domain::{Caller, FailureKind};
use crate::identity::Identity;

/// Where the metadata of a protected resource is found (RFC 9728); the resource's own path follows.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The checks that come before everything else.
#[derive(Debug)]
pub(super) struct Access {
    /// In lower case, without ports.
    hosts: Vec<String>,
    origins: Vec<String>,
    public_url: Option<Url>,
}

impl Access {
    pub(super) fn new(config: &Config) -> Self {
        let mut hosts = config.allowed_hosts.clone();
        let mut origins = config.allowed_origins.clone();
        if !config.listen.ip().is_unspecified() {
            hosts.push(config.listen.ip().to_string());
        }
        if let Some(url) = &config.public_url {
            hosts.extend(url.host_str().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase()));
            origins.push(url.origin().ascii_serialization());
        }
        Self { hosts, origins, public_url: config.public_url.clone() }
    }

    /// The caller, or the answer that says why there is none.
    pub(super) fn enter(
        &self,
        identity: &Identity,
        endpoint: &Endpoint,
        parts: &Parts,
    ) -> Result<Arc<Caller>, Box<Response>> {
        self.check_host_and_origin(parts)?;
        let mut headers = parts.headers.clone();
        // Looked at above, and by rules of its own.
        headers.remove(header::ORIGIN);
        identity.authenticate(&headers).map_err(|failure| {
            let status = StatusCode::from_u16(failure.kind.status()).unwrap_or(StatusCode::UNAUTHORIZED);
            let mut response = refuse(status, &failure.message);
            if failure.kind == FailureKind::Unauthenticated
                && let Ok(challenge) = HeaderValue::try_from(self.challenge(endpoint, parts))
            {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            Box::new(response)
        })
    }

    fn challenge(&self, endpoint: &Endpoint, parts: &Parts) -> String {
        let carries_key = parts.headers.contains_key(header::AUTHORIZATION);
        let error = if carries_key { r#"error="invalid_token", "# } else { "" };
        let mut url = self.base(parts);
        url.push_str(WELL_KNOWN);
        url.push_str(&endpoint.path());
        format!(r#"Bearer {error}resource_metadata="{url}""#)
    }

    /// The answer to a request for the metadata of this endpoint.
    pub(super) fn metadata(&self, endpoint: &Endpoint, parts: &Parts) -> Response {
        if let Err(refusal) = self.check_host_and_origin(parts) {
            return *refusal;
        }
        let document = json!({
            "resource": format!("{}{}", self.base(parts), endpoint.path()),
            "resource_name": "Toolgate",
            "bearer_methods_supported": ["header"],
        });
        let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        (headers, document.to_string()).into_response()
    }

    /// How the gateway is reached from where this request comes from.
    fn base(&self, parts: &Parts) -> String {
        match &self.public_url {
            Some(url) => url.as_str().trim_end_matches('/').to_owned(),
            None => format!("http://{}", host(parts).map_or_else(String::new, |host| host.to_string())),
        }
    }

    fn check_host_and_origin(&self, parts: &Parts) -> Result<(), Box<Response>> {
        let host = host(parts).filter(|host| self.is_known(host.host())).ok_or_else(|| {
            Box::new(refuse(StatusCode::FORBIDDEN, "this gateway is not reached by this host name"))
        })?;
        let mut origins = parts.headers.get_all(header::ORIGIN).iter();
        let Some(origin) = origins.next() else { return Ok(()) };
        let is_welcome = |origin: &str| {
            let its_own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            // A page that this gateway itself could have served.
            its_own.is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_str()))
                || self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin))
        };
        match (origin.to_str(), origins.next()) {
            (Ok(origin), None) if is_welcome(origin) => Ok(()),
            _ => {
                let message = "web pages of this origin may not call this gateway";
                Err(Box::new(refuse(StatusCode::FORBIDDEN, message)))
            }
        }
    }

    fn is_known(&self, host: &str) -> bool {
        let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
        host == "localhost"
            || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            || self.hosts.contains(&host)
    }
}

/// The one host that a request names.
fn host(parts: &Parts) -> Option<Authority> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        (None, _) => parts.uri.authority().cloned(),
        _ => None,
    }
}

/// An answer in plain words, to a request that is not answered in JSON-RPC.
pub(super) fn refuse(status: StatusCode, message: &str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{message}\n")).into_response()
}
