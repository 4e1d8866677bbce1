//! A token that the gateway gets for itself (OAuth 2.1, client credentials; RFC 8707 says for whom it is).

use std::sync::Arc;

use futures::future::BoxFuture;
use reqwest::Url;

use super::oauth::{self, Form, Source, TokenError, Tokens};
use super::slot::Slot;
use super::{Proof, Refused, Shown};
use crate::config;
use crate::domain::Digest;
use crate::egress::Egress;

#[derive(Debug)]
pub(super) struct ClientCredentials {
    server: String,
    url: Url,
    config: config::ClientCredentials,
    source: Source,
    slot: Slot,
}

impl ClientCredentials {
    pub(super) fn new(server: &str, url: Url, config: &config::ClientCredentials, egress: Egress) -> Self {
        let source = Source::new(config.from.clone(), egress);
        Self { server: server.to_owned(), url, config: config.clone(), source, slot: Slot::new() }
    }

    async fn fetch(&self) -> Result<Tokens, Refused> {
        let mut form = Form::new("client_credentials");
        form.add("resource", &oauth::resource_of(&self.url));
        form.add_all("scope", &self.config.scopes);
        form.add_if_any("audience", self.config.audience.as_deref());
        self.source.ask(&self.config.client, form).await.map_err(|error| match error {
            TokenError::Denied(reason) => Refused::Unauthorized(format!(
                "The gateway gets no token for the server `{}`: its authorization server answers {reason}. The \
                 administrator must look at `credentials`.",
                self.server
            )),
            TokenError::Failed(reason) => Refused::Unavailable(format!(
                "The gateway cannot get a token for the server `{}` now: {reason}",
                self.server
            )),
        })
    }
}

impl Proof for ClientCredentials {
    fn mark(&self) -> Digest {
        Digest::default()
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async {
            let tokens: Arc<Tokens> = self.slot.get(Tokens::is_fresh, self.fetch()).await?;
            Shown::bearer(&tokens.access_token).map(Some)
        })
    }

    fn renew<'a>(&'a self, refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        Box::pin(async move {
            let is_another =
                |tokens: &Tokens| Shown::bearer(&tokens.access_token).is_ok_and(|shown| shown != *refused);
            let tokens =
                self.slot.get(|tokens| tokens.is_fresh() && is_another(tokens), self.fetch()).await?;
            Shown::bearer(&tokens.access_token)
        })
    }
}
