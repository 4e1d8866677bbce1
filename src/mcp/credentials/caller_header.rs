//! What the caller brings in a header of its own.

use std::sync::Arc;

use futures::future::BoxFuture;
use http::{HeaderName, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::{Proof, Refused, Shown};
use crate::config;
use crate::domain::{Behalf, Digest};

#[derive(Debug)]
pub(super) struct CallerHeader {
    server: String,
    config: config::CallerHeader,
}

#[derive(Debug)]
struct Brought {
    server: String,
    header: String,
    send_as: String,
    value: SecretString,
}

impl CallerHeader {
    pub(super) fn new(server: &str, config: &config::CallerHeader) -> Self {
        Self { server: server.to_owned(), config: config.clone() }
    }

    pub(super) fn proof_for(&self, behalf: &Behalf) -> Result<Arc<dyn Proof>, Refused> {
        let config::CallerHeader { header, send_as } = &self.config;
        let value = brought(behalf, header, &self.server)?;
        let (server, header, send_as) = (self.server.clone(), header.clone(), send_as.clone());
        Ok(Arc::new(Brought { server, header, send_as, value }))
    }
}

impl Proof for Brought {
    fn mark(&self) -> Digest {
        Digest::of_parts(&[b"caller-header", self.value.expose_secret().as_bytes()])
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async {
            if self.send_as == header::AUTHORIZATION.as_str() {
                return Shown::bearer(&without_scheme(&self.value)).map(Some);
            }
            let name = HeaderName::try_from(&self.send_as)
                .map_err(|_| Refused::Unauthorized(format!("`{}` is not a header name", self.send_as)))?;
            Shown::new(name, &self.value).map(Some)
        })
    }

    fn renew<'a>(&'a self, _refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        let message = format!(
            "The server `{}` refuses the credential that came in the request header `{}`. Send one that is valid there.",
            self.server, self.header
        );
        Box::pin(async { Err(Refused::Unauthorized(message)) })
    }
}

/// What the caller sent in this header, for this server.
pub(super) fn brought(behalf: &Behalf, header: &str, server: &str) -> Result<SecretString, Refused> {
    let value = behalf.headers.get(header).filter(|value| !value.expose_secret().trim().is_empty());
    value.cloned().ok_or_else(|| {
        Refused::Unauthorized(format!(
            "The server `{server}` is called with the caller's own credential, and none came with this request. Nothing \
             was run. Send it once, in the request header `{header}`."
        ))
    })
}

/// Callers write the scheme or leave it out.
pub(super) fn without_scheme(value: &SecretString) -> SecretString {
    let value = value.expose_secret().trim();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().into(),
        _ => value.into(),
    }
}
