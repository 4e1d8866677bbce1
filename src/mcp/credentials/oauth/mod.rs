//! OAuth as a client speaks it: finding who gives tokens (`discovery.rs`), asking for them (`token.rs`), becoming
//! known (`registration.rs`).

mod discovery;
mod registration;
mod token;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::config::{OAuthClient, TokenSource};
use crate::egress::Egress;
use crate::seal::random;

pub(super) use discovery::{AuthorizationServer, DiscoveryError, Resource, authorization_server, resource};
pub(super) use registration::{Application, register};
pub(super) use token::{Denial, Form, TokenError, Tokens, ask};

/// Where tokens come from, as the administrator wrote it.
#[derive(Debug)]
pub(super) struct Source {
    from: TokenSource,
    egress: Egress,
}

impl Source {
    pub(super) fn new(from: TokenSource, egress: Egress) -> Self {
        Self { from, egress }
    }

    /// Asks for a token; the metadata of an issuer is read each time, for it is rare.
    pub(super) async fn ask(&self, client: &OAuthClient, form: Form) -> Result<Tokens, TokenError> {
        match &self.from {
            TokenSource::Url(url) => ask(&self.egress, url, client, form).await,
            TokenSource::Issuer(issuer) => {
                let server = authorization_server(&self.egress, issuer.as_str()).await;
                let server = server.map_err(|error| TokenError::Failed(error.to_string()))?;
                ask(&self.egress, &server.token_endpoint, client, form).await
            }
        }
    }
}

/// How a server is named to authorization servers (RFC 8707).
pub(super) fn resource_of(url: &Url) -> String {
    let mut url = url.clone();
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    let is_root = url.path() == "/";
    let text = String::from(url);
    if is_root { text.trim_end_matches('/').to_owned() } else { text }
}

/// 256 random bits that fit into a URL.
pub(super) fn random_word() -> SecretString {
    URL_SAFE_NO_PAD.encode(random::<32>()).into()
}

/// What is shown of a PKCE verifier before it is asked for (RFC 7636, S256).
pub(super) fn challenge(verifier: &SecretString) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.expose_secret()))
}

#[cfg(test)]
mod tests;
