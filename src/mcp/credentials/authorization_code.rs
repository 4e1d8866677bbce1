//! A token that the caller grants in a browser (OAuth 2.1, authorization code), for all of that user's keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::future::BoxFuture;
use reqwest::Url;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::desk::{ConnectError, Desk};
use super::oauth::{
    self, Application, AuthorizationServer, Denial, DiscoveryError, Form, Resource, TokenError, Tokens,
};
use super::vault::{Grant, Kept, Owner, Vault};
use super::{Access, Proof, Refused, Shown};
use crate::config::{self, OAuthClient};
use crate::domain::{Behalf, Caller, Digest};
use crate::egress::Egress;
use crate::store::oauth_clients::Registration;

#[derive(Debug)]
pub(in super::super) struct AuthorizationCode {
    server: String,
    url: Url,
    config: config::AuthorizationCode,
    egress: Egress,
    vault: Arc<Vault>,
    desk: Arc<Desk>,
    /// One renewal at a time for each user: many authorization servers take a refresh token only once.
    turns: Mutex<HashMap<String, Weak<Semaphore>>>,
    renewals: TaskTracker,
}

#[derive(Debug, Clone)]
struct Granted {
    kind: Arc<AuthorizationCode>,
    caller: Arc<Caller>,
    grant: String,
}

/// Where a user is asked for consent, and as whom.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) server: AuthorizationServer,
    pub(super) page: Url,
    pub(super) client: OAuthClient,
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
}

impl AuthorizationCode {
    pub(super) fn new(
        server: &str,
        url: Url,
        config: &config::AuthorizationCode,
        egress: Egress,
        access: &Access,
    ) -> Self {
        let (vault, desk) = (access.vault.clone(), access.desk.clone());
        Self {
            server: server.to_owned(),
            url,
            config: config.clone(),
            egress,
            vault,
            desk,
            turns: Mutex::default(),
            renewals: access.renewals.clone(),
        }
    }

    pub(super) async fn proof_for(self: &Arc<Self>, behalf: &Behalf) -> Result<Arc<dyn Proof>, Refused> {
        let caller = behalf.caller.clone();
        match self.grant_of(&caller.user).await? {
            Some(Kept { grant, .. }) => Ok(Arc::new(Granted { kind: self.clone(), caller, grant: grant.id })),
            None => Err(self.not_connected(&caller)),
        }
    }

    pub(in super::super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Keeps what a user granted.
    pub(super) async fn keep(&self, user: &str, grant: &Grant) -> Result<(), Refused> {
        self.vault.keep(self.owner(user), grant).await
    }

    /// Forgets what a user granted; tells whether there was anything.
    pub(in super::super) async fn disconnect(&self, user: &str) -> Result<bool, Refused> {
        self.vault.forget(self.owner(user), None).await
    }

    /// Finds out where consent is given, and makes the gateway known there.
    pub(super) async fn prepare(&self, redirect_uri: &Url) -> Result<Asking, ConnectError> {
        let resource = oauth::resource(&self.egress, &self.url).await?;
        let server = self.authorization_server(&resource).await?;
        let page = server.for_browsers()?.clone();
        let client = self.client_at(&server, redirect_uri).await?;
        let mut scopes =
            if self.config.scopes.is_empty() { resource.scopes } else { self.config.scopes.clone() };
        let lasting = "offline_access".to_owned();
        if server.scopes_supported.contains(&lasting) && !scopes.contains(&lasting) {
            scopes.push(lasting);
        }
        Ok(Asking { server, page, client, resource: resource.name, scopes })
    }

    async fn authorization_server(&self, resource: &Resource) -> Result<AuthorizationServer, ConnectError> {
        let same = |one: &str, other: &str| one.trim_end_matches('/') == other.trim_end_matches('/');
        let issuers = match &self.config.issuer {
            Some(ours) if resource.issuers.iter().any(|issuer| same(issuer, ours.as_str())) => {
                vec![ours.to_string()]
            }
            Some(ours) => {
                return Err(ConnectError::Refused(format!(
                    "the server names another authorization server than {ours}, which its administrator wrote"
                )));
            }
            None => resource.issuers.clone(),
        };
        let mut last = DiscoveryError::NoIssuer(self.url.to_string());
        for issuer in &issuers {
            match oauth::authorization_server(&self.egress, issuer).await {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }

    async fn client_at(
        &self,
        server: &AuthorizationServer,
        redirect_uri: &Url,
    ) -> Result<OAuthClient, ConnectError> {
        if let Some(client) = &self.config.client {
            return Ok(client.clone());
        }
        let document =
            self.desk.client_document(&self.server).filter(|_| server.client_id_metadata_document_supported);
        if let Some(url) = document {
            return Ok(OAuthClient { id: url.into(), secret: None, auth: config::ClientAuth::default() });
        }
        let of = self.registration(&server.issuer, redirect_uri);
        if let Some(client) = self.vault.client(of).await? {
            return Ok(client);
        }
        let Some(endpoint) = &server.registration_endpoint else {
            return Err(ConnectError::Refused(format!(
                "the authorization server {} knows the gateway only when its administrator registers it there and writes \
                 the `client_id`",
                server.issuer
            )));
        };
        let application = Application::new(&self.server, None, redirect_uri);
        let client = oauth::register(&self.egress, endpoint, &application).await?;
        self.vault.keep_client(of, &client).await?;
        Ok(client)
    }

    /// An authorization server that does not know its client any more is told anew who the gateway is, next time.
    pub(super) async fn forget_client(
        &self,
        issuer: &str,
        client: &OAuthClient,
        denial: &Denial,
    ) -> Result<(), ConnectError> {
        if denial.code == "invalid_client" && self.registered(client) {
            let redirect_uri = self.desk.callback(&self.server)?;
            self.vault.forget_client(self.registration(issuer, &redirect_uri), &client.id).await?;
        }
        Ok(())
    }

    /// Whether the gateway registered this client itself: nobody else can mend it.
    fn registered(&self, client: &OAuthClient) -> bool {
        let document = self.desk.client_document(&self.server);
        self.config.client.is_none() && document.is_none_or(|document| document.as_str() != client.id)
    }

    fn registration<'a>(&'a self, issuer: &'a str, redirect_uri: &'a Url) -> Registration<'a> {
        Registration { server: &self.server, issuer, redirect_uri: redirect_uri.as_str() }
    }

    async fn grant_of(&self, user: &str) -> Result<Option<Kept>, Refused> {
        let kept = self.vault.grant(self.owner(user)).await?;
        let ours = self.config.issuer.as_ref().map(Url::as_str);
        Ok(kept.filter(|kept| {
            ours.is_none_or(|ours| ours.trim_end_matches('/') == kept.grant.issuer.trim_end_matches('/'))
        }))
    }

    fn owner<'a>(&'a self, user: &'a str) -> Owner<'a> {
        Owner { server: &self.server, url: &self.url, user }
    }

    fn not_connected(&self, caller: &Caller) -> Refused {
        let server = &self.server;
        Refused::Unauthorized(match self.desk.link(server, caller) {
            Ok(link) => format!(
                "The user's account is not connected to the server `{server}`. Nothing was run. Ask the user to open \
                 this link in a browser within {} minutes, and call the tool again afterwards: {link}",
                Desk::PATIENCE.as_secs() / 60
            ),
            Err(error) => format!("The user's account is not connected to the server `{server}`: {error}"),
        })
    }

    fn not_renewed(&self, reason: &str) -> Refused {
        Refused::Unavailable(format!(
            "The user's token for the server `{}` cannot be renewed now: {reason}. Nothing was run.",
            self.server
        ))
    }

    fn turn_of(&self, user: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(user).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        turns.insert(user.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

impl Granted {
    async fn current(&self) -> Result<Kept, Refused> {
        let kept = self.kind.grant_of(&self.caller.user).await?;
        // After another consent this connection is somebody else's, for all the server knows.
        kept.filter(|kept| kept.grant.id == self.grant).ok_or_else(|| self.kind.not_connected(&self.caller))
    }

    /// The grant with tokens that will do. They are asked for in a task of their own: who hangs up meanwhile must not
    /// take a refresh token along that comes only once.
    async fn renewed(
        &self,
        will_do: impl Fn(&Tokens) -> bool + Send + Sync + 'static,
    ) -> Result<Grant, Refused> {
        let turn = self.kind.turn_of(&self.caller.user).acquire_owned().await;
        let this = self.clone();
        let renewing = async move {
            let _turn = turn;
            let kept = this.current().await?;
            if will_do(&kept.grant.tokens) { Ok(kept.grant) } else { this.renew_now(&kept).await }
        };
        let renewed = self.kind.renewals.spawn(renewing).await;
        renewed.unwrap_or_else(|_| Err(self.kind.not_renewed("the attempt was broken off")))
    }

    async fn renew_now(&self, kept: &Kept) -> Result<Grant, Refused> {
        let (kind, mut grant) = (&self.kind, kept.grant.clone());
        let Some(refresh_token) = grant.tokens.refresh_token.clone() else {
            return Err(kind.not_connected(&self.caller));
        };
        let mut form = Form::new("refresh_token");
        form.add_secret("refresh_token", &refresh_token);
        form.add("resource", &grant.resource);
        let owner = kind.owner(&self.caller.user);
        match oauth::ask(&kind.egress, &grant.token_endpoint, &grant.client, form).await {
            Ok(tokens) => {
                let refresh_token = tokens.refresh_token.or(Some(refresh_token));
                grant.tokens = Tokens { refresh_token, ..tokens };
                if kind.vault.renew(owner, kept, &grant).await? {
                    return Ok(grant);
                }
                // Its user disconnected or consented anew meanwhile, and that is what counts.
                self.current().await.map(|kept| kept.grant)
            }
            Err(TokenError::Denied(denial)) => {
                tracing::info!(server = %kind.server, code = %denial.code, "a refresh token is refused");
                let is_final = match denial.code.as_str() {
                    "invalid_grant" => true,
                    "invalid_client" => kind.registered(&grant.client),
                    _ => false,
                };
                if is_final && !kind.vault.forget(owner, Some(kept)).await? {
                    return self.current().await.map(|kept| kept.grant);
                }
                let forgotten = kind.forget_client(&grant.issuer, &grant.client, &denial).await;
                forgotten.map_err(|error| kind.not_renewed(&error.to_string()))?;
                Err(kind.not_connected(&self.caller))
            }
            Err(TokenError::Failed(reason)) => Err(kind.not_renewed(&reason)),
        }
    }
}

impl Proof for Granted {
    fn mark(&self) -> Digest {
        Digest::of_parts(&[b"authorization-code", self.grant.as_bytes()])
    }

    fn show(&self) -> BoxFuture<'_, Result<Option<Shown>, Refused>> {
        Box::pin(async {
            let mut grant = self.current().await?.grant;
            if !grant.tokens.is_fresh() {
                grant = self.renewed(Tokens::is_fresh).await?;
            }
            Shown::bearer(&grant.tokens.access_token).map(Some)
        })
    }

    fn renew<'a>(&'a self, refused: &'a Shown) -> BoxFuture<'a, Result<Shown, Refused>> {
        Box::pin(async move {
            let refused = refused.clone();
            let is_another = move |tokens: &Tokens| {
                Shown::bearer(&tokens.access_token).is_ok_and(|shown| shown != refused)
            };
            let grant = self.renewed(move |tokens| tokens.is_fresh() && is_another(tokens)).await?;
            Shown::bearer(&grant.tokens.access_token)
        })
    }
}
