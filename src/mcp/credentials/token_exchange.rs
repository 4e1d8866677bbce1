//! A token that the gateway gets for the caller's (RFC 8693).

use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};

use super::caller_header::{brought, without_scheme};
use super::oauth::{self, Form, Source, TokenError, Tokens};
use super::slot::Slot;
use super::{Proof, Refused, Shown};
use crate::config;
use crate::domain::{Behalf, Digest};
use crate::egress::Egress;

#[derive(Debug)]
pub(super) struct TokenExchange {
    server: String,
    url: Url,
    config: config::TokenExchange,
    source: Source,
}

#[derive(Debug)]
struct Exchanged {
    kind: Arc<TokenExchange>,
    subject: SecretString,
    slot: Slot,
}

impl TokenExchange {
    pub(super) fn new(server: &str, url: Url, config: &config::TokenExchange, egress: Egress) -> Self {
        let source = Source::new(config.from.clone(), egress);
        Self { server: server.to_owned(), url, config: config.clone(), source }
    }

    pub(super) fn proof_for(self: &Arc<Self>, behalf: &Behalf) -> Result<Arc<dyn Proof>, Refused> {
        let subject = without_scheme(&brought(behalf, &self.config.header, &self.server)?);
        Ok(Arc::new(Exchanged { kind: self.clone(), subject, slot: Slot::new() }))
    }

    async fn exchange(&self, subject: &SecretString) -> Result<Tokens, Refused> {
        let mut form = Form::new("urn:ietf:params:oauth:grant-type:token-exchange");
        form.add_secret("subject_token", subject);
        form.add("subject_token_type", &self.config.subject_token_type);
        form.add("resource", &oauth::resource_of(&self.url));
        form.add_all("scope", &self.config.scopes);
        form.add_if_any("audience", self.config.audience.as_deref());
        self.source.ask(&self.config.client, form).await.map_err(|error| match error {
            TokenError::Denied(reason) => Refused::Unauthorized(format!(
                "The token that came in the request header `{}` cannot be exchanged for one of the server `{}`: the \
                 authorization server answers {reason}. Nothing was run. Send a token that is valid.",
                self.config.header, self.server
            )),
            TokenError::Failed(reason) => Refused::Unavailable(format!(
                "The caller's token cannot be exchanged for one of the server `{}` now: {reason}",
                self.server
            )),
        })
    }
}

impl Proof for Exchanged {
    fn mark(&self) -> Digest {
        Digest::of_parts(&[b"token-exchange", self.subject.expose_secret().as_bytes()])
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async {
            let tokens = self.slot.get(Tokens::is_fresh, self.kind.exchange(&self.subject)).await?;
            Shown::bearer(&tokens.access_token).map(Some)
        })
    }

    fn renew<'a>(&'a self, refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        Box::pin(async move {
            let is_another =
                |tokens: &Tokens| Shown::bearer(&tokens.access_token).is_ok_and(|shown| shown != *refused);
            let fetch = self.kind.exchange(&self.subject);
            let tokens = self.slot.get(|tokens| tokens.is_fresh() && is_another(tokens), fetch).await?;
            Shown::bearer(&tokens.access_token)
        })
    }
}
