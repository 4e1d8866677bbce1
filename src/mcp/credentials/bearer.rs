//! A token of the gateway's own, from the configuration.

use futures::future::BoxFuture;
use secrecy::SecretString;

use super::{Proof, Refused, Shown};
use crate::domain::Digest;

#[derive(Debug)]
pub(super) struct Bearer {
    server: String,
    token: SecretString,
}

impl Bearer {
    pub(super) fn new(server: &str, token: &SecretString) -> Self {
        Self { server: server.to_owned(), token: token.clone() }
    }
}

impl Proof for Bearer {
    fn mark(&self) -> Digest {
        Digest::default()
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async { Shown::bearer(&self.token).map(Some) })
    }

    fn renew<'a>(&'a self, _refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        let message = format!(
            "The server `{}` refuses the gateway's token: its administrator must renew it.",
            self.server
        );
        Box::pin(async { Err(Refused::Unauthorized(message)) })
    }
}
