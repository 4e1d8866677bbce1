//! What users granted and what authorization servers call the gateway: sealed, each for its owner, over the store.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use jiff::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Refused;
use super::oauth::Tokens;
use crate::config::{ClientAuth, OAuthClient};
use crate::domain::Digest;
use crate::seal::Sealer;
use crate::store::oauth_clients::Registration;
use crate::store::oauth_tokens::OAuthToken;
use crate::store::{Store, oauth_clients, oauth_tokens};

/// Keeps grants and clients.
#[derive(Debug)]
pub(in super::super) struct Vault {
    store: Store,
    sealer: Arc<Sealer>,
}

/// Whose token it is, and for what: a server that moves to another URL gets none of the old one's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) server: &'a str,
    pub(super) url: &'a Url,
    pub(super) user: &'a str,
}

/// What a user granted.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    /// Of this consent; it stays when tokens are renewed.
    pub(super) id: String,
    pub(super) issuer: String,
    pub(super) token_endpoint: Url,
    pub(super) resource: String,
    pub(super) client: OAuthClient,
    pub(super) tokens: Tokens,
}

/// A grant as it was found.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) grant: Grant,
    /// Tells it from whatever comes in its place.
    sealed: String,
}

/// A grant as it is sealed.
#[derive(Serialize, Deserialize)]
struct WrittenGrant {
    id: String,
    token_endpoint: Url,
    resource: String,
    client: WrittenClient,
    access_token: String,
    refresh_token: Option<String>,
    good_until: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct WrittenClient {
    id: String,
    secret: Option<String>,
    in_body: bool,
}

impl Vault {
    pub(super) fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// What this user granted, if it is still known.
    pub(super) async fn grant(&self, of: Owner<'_>) -> Result<Option<Kept>, Refused> {
        let row =
            oauth_tokens::get(&self.store, of.server, of.user).await.map_err(|error| unavailable(&error))?;
        Ok(row.and_then(|row| {
            let written: WrittenGrant = self.open(&of.context(&row.issuer), &row.sealed)?;
            Some(Kept { grant: written.into_grant(row.issuer), sealed: row.sealed })
        }))
    }

    /// Keeps a grant in place of whatever was there.
    pub(super) async fn keep(&self, of: Owner<'_>, grant: &Grant) -> Result<(), Refused> {
        let row = self.row(of, grant)?;
        oauth_tokens::put(&self.store, of.server, of.user, &row).await.map_err(|error| unavailable(&error))
    }

    /// Keeps a renewed grant in place of the former; `false` where that was replaced or forgotten meanwhile.
    pub(super) async fn renew(&self, of: Owner<'_>, former: &Kept, grant: &Grant) -> Result<bool, Refused> {
        let row = self.row(of, grant)?;
        let replaced = oauth_tokens::replace(&self.store, of.server, of.user, &former.sealed, &row).await;
        replaced.map_err(|error| unavailable(&error))
    }

    /// Forgets this grant, or whatever there is; tells whether it was there.
    pub(super) async fn forget(&self, of: Owner<'_>, kept: Option<&Kept>) -> Result<bool, Refused> {
        let sealed = kept.map(|kept| kept.sealed.as_str());
        let deleted = oauth_tokens::delete(&self.store, of.server, of.user, sealed).await;
        deleted.map_err(|error| unavailable(&error))
    }

    /// The client as which the gateway was registered there.
    pub(super) async fn client(&self, of: Registration<'_>) -> Result<Option<OAuthClient>, Refused> {
        let sealed = oauth_clients::get(&self.store, of).await.map_err(|error| unavailable(&error))?;
        Ok(sealed.and_then(|sealed| self.open(&client_context(of), &sealed)).map(WrittenClient::into_client))
    }

    /// Keeps a registration.
    pub(super) async fn keep_client(
        &self,
        of: Registration<'_>,
        client: &OAuthClient,
    ) -> Result<(), Refused> {
        let sealed = self.seal(&client_context(of), &WrittenClient::from(client))?;
        oauth_clients::put(&self.store, of, &sealed).await.map_err(|error| unavailable(&error))
    }

    /// Forgets a registration that does not hold any more, unless there is another one already.
    pub(super) async fn forget_client(&self, of: Registration<'_>, id: &str) -> Result<(), Refused> {
        let sealed = oauth_clients::get(&self.store, of).await.map_err(|error| unavailable(&error))?;
        let Some(sealed) = sealed else { return Ok(()) };
        let found: Option<WrittenClient> = self.open(&client_context(of), &sealed);
        if found.is_some_and(|found| found.id != id) {
            return Ok(());
        }
        oauth_clients::delete(&self.store, of, &sealed).await.map_err(|error| unavailable(&error))
    }

    fn row(&self, of: Owner<'_>, grant: &Grant) -> Result<OAuthToken, Refused> {
        let sealed = self.seal(&of.context(&grant.issuer), &WrittenGrant::from(grant))?;
        Ok(OAuthToken { issuer: grant.issuer.clone(), sealed })
    }

    fn seal(&self, context: &Digest, plain: &impl Serialize) -> Result<String, Refused> {
        let plain = serde_json::to_vec(plain).map_err(|error| Refused::Unavailable(error.to_string()))?;
        Ok(BASE64.encode(self.sealer.seal(&context.0, &plain)))
    }

    fn open<T: DeserializeOwned>(&self, context: &Digest, sealed: &str) -> Option<T> {
        let plain = self.sealer.open(&context.0, &BASE64.decode(sealed).ok()?)?;
        serde_json::from_slice(&plain).ok()
    }
}

impl Owner<'_> {
    fn context(&self, issuer: &str) -> Digest {
        let parts = ["oauth token", self.server, self.url.as_str(), self.user, issuer];
        Digest::of_parts(&parts.map(str::as_bytes))
    }
}

fn client_context(of: Registration<'_>) -> Digest {
    Digest::of_parts(&["oauth client", of.server, of.issuer, of.redirect_uri].map(str::as_bytes))
}

impl From<&Grant> for WrittenGrant {
    fn from(grant: &Grant) -> Self {
        let exposed = |secret: &SecretString| secret.expose_secret().to_owned();
        Self {
            id: grant.id.clone(),
            token_endpoint: grant.token_endpoint.clone(),
            resource: grant.resource.clone(),
            client: WrittenClient::from(&grant.client),
            access_token: exposed(&grant.tokens.access_token),
            refresh_token: grant.tokens.refresh_token.as_ref().map(exposed),
            good_until: grant.tokens.good_until,
        }
    }
}

impl WrittenGrant {
    fn into_grant(self, issuer: String) -> Grant {
        Grant {
            id: self.id,
            issuer,
            token_endpoint: self.token_endpoint,
            resource: self.resource,
            client: self.client.into_client(),
            tokens: Tokens {
                access_token: self.access_token.into(),
                refresh_token: self.refresh_token.map(SecretString::from),
                good_until: self.good_until,
            },
        }
    }
}

impl From<&OAuthClient> for WrittenClient {
    fn from(client: &OAuthClient) -> Self {
        Self {
            id: client.id.clone(),
            secret: client.secret.as_ref().map(|secret| secret.expose_secret().to_owned()),
            in_body: client.auth == ClientAuth::Post,
        }
    }
}

impl WrittenClient {
    fn into_client(self) -> OAuthClient {
        let auth = if self.in_body { ClientAuth::Post } else { ClientAuth::Basic };
        OAuthClient { id: self.id, secret: self.secret.map(SecretString::from), auth }
    }
}

fn unavailable(error: &sqlx::Error) -> Refused {
    tracing::error!(%error, "the store of tokens failed");
    Refused::Unavailable("The gateway cannot read its store of tokens now. Nothing was run.".into())
}
