//! Who gives tokens for a server: its resource metadata (RFC 9728) names authorization servers, whose metadata
//! (RFC 8414, and what `OpenID` Connect calls discovery) names their endpoints. Every URL in them is somebody else's word.

use http::{HeaderValue, StatusCode, header};
use reqwest::{Method, Request, Url};
use rmcp::transport::auth::WWWAuthenticateParams;
use serde::Deserialize;

use super::resource_of;
use crate::egress::{Egress, EgressError};

/// What a server says of who may use it.
#[derive(Debug, Clone)]
pub(in super::super) struct Resource {
    /// How it wants to be named in requests for tokens.
    pub(in super::super) name: String,
    /// Its authorization servers; none where it says nothing.
    pub(in super::super) issuers: Vec<String>,
    /// What a token for it should be asked for.
    pub(in super::super) scopes: Vec<String>,
}

/// What an authorization server says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(in super::super) struct AuthorizationServer {
    pub(in super::super) issuer: String,
    pub(in super::super) authorization_endpoint: Option<Url>,
    pub(in super::super) token_endpoint: Url,
    pub(in super::super) registration_endpoint: Option<Url>,
    #[serde(default)]
    pub(in super::super) scopes_supported: Vec<String>,
    code_challenge_methods_supported: Option<Vec<String>>,
    /// Its answers in the browser carry `iss` (RFC 9207).
    #[serde(default)]
    pub(in super::super) authorization_response_iss_parameter_supported: bool,
    /// It reads who the gateway is from the gateway's own document.
    #[serde(default)]
    pub(in super::super) client_id_metadata_document_supported: bool,
}

/// Why it is not known who gives tokens.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum DiscoveryError {
    /// A place that was named may not be asked, or does not answer.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// The server names nobody.
    #[error("{0} does not say which authorization server gives tokens for it")]
    NoIssuer(String),
    /// An authorization server has no metadata.
    #[error("the authorization server {0} has no metadata at any of the known places")]
    NoMetadata(String),
    /// Metadata is somebody else's.
    #[error("the metadata at {place} is that of {named}")]
    Foreign {
        /// Where it was found.
        place: String,
        /// Whose it is by its own word.
        named: String,
    },
    /// It cannot do what is needed.
    #[error("the authorization server {issuer} {flaw}")]
    Unfit {
        /// Who.
        issuer: String,
        /// What is missing.
        flaw: &'static str,
    },
}

impl AuthorizationServer {
    /// Where a browser is sent; only servers that check a PKCE challenge will do.
    pub(in super::super) fn for_browsers(&self) -> Result<&Url, DiscoveryError> {
        let unfit = |flaw| DiscoveryError::Unfit { issuer: self.issuer.clone(), flaw };
        let methods = self.code_challenge_methods_supported.as_ref();
        if !methods.is_some_and(|methods| methods.iter().any(|method| method == "S256")) {
            return Err(unfit("does not say that it checks PKCE challenges (S256)"));
        }
        self.authorization_endpoint.as_ref().ok_or_else(|| unfit("has no page for browsers"))
    }
}

#[derive(Deserialize)]
struct ResourceDocument {
    resource: String,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// What the server at this URL says: where its 401 points to, else at the known places.
pub(in super::super) async fn resource(egress: &Egress, server: &Url) -> Result<Resource, DiscoveryError> {
    let challenge = challenge(egress, server).await;
    let named = challenge.resource_metadata_url.clone();
    let path = server.path().trim_end_matches('/');
    let known = [
        format!("/.well-known/oauth-protected-resource{path}"),
        "/.well-known/oauth-protected-resource".into(),
    ];
    let known = known.iter().filter_map(|path| server.join(path).ok());
    for place in named.into_iter().chain(known) {
        let answer = egress.get(&place).await?;
        let document = serde_json::from_slice::<ResourceDocument>(&answer.body);
        let Some(document) = document.ok().filter(|_| answer.status.is_success()) else { continue };
        if !describes(&document.resource, server) {
            return Err(DiscoveryError::Foreign { place: place.into(), named: document.resource });
        }
        let asked_for = challenge.scope.as_ref();
        let asked_for = asked_for.map(|scope| scope.split_whitespace().map(str::to_owned).collect());
        return Ok(Resource {
            name: document.resource,
            issuers: document.authorization_servers,
            scopes: asked_for.unwrap_or(document.scopes_supported),
        });
    }
    // MCP 2025-03-26: the server's own origin gives tokens.
    let origin = server.origin().ascii_serialization();
    Ok(Resource { name: resource_of(server), issuers: vec![origin], scopes: Vec::new() })
}

/// Knocks without a credential: the refusal says where to go on.
async fn challenge(egress: &Egress, server: &Url) -> WWWAuthenticateParams {
    let mut request = Request::new(Method::POST, server.clone());
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    *request.body_mut() = Some(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#.into());
    let answer = egress.send(request).await.ok().filter(|answer| answer.status == StatusCode::UNAUTHORIZED);
    let challenges = answer.iter().flat_map(|answer| answer.headers.get_all(header::WWW_AUTHENTICATE));
    challenges
        .filter_map(|challenge| challenge.to_str().ok())
        .map(|challenge| WWWAuthenticateParams::parse(challenge, server))
        .find(|challenge| challenge.resource_metadata_url.is_some())
        .unwrap_or_default()
}

/// A document speaks for a server if it names it, or a place above it on the same origin.
fn describes(resource: &str, server: &Url) -> bool {
    let Ok(resource) = Url::parse(resource) else { return false };
    let above = resource.path().trim_end_matches('/');
    let below = server.path().strip_prefix(above);
    resource.origin() == server.origin() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What this authorization server says of itself.
pub(in super::super) async fn authorization_server(
    egress: &Egress,
    issuer: &str,
) -> Result<AuthorizationServer, DiscoveryError> {
    let no_metadata = || DiscoveryError::NoMetadata(issuer.to_owned());
    let url = Url::parse(issuer).map_err(|_| no_metadata())?;
    for place in metadata_places(&url) {
        let answer = egress.get(&place).await?;
        if !answer.status.is_success() {
            continue;
        }
        let Ok(server) = serde_json::from_slice::<AuthorizationServer>(&answer.body) else { continue };
        // Otherwise one authorization server could pose as another.
        if server.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(DiscoveryError::Foreign { place: place.into(), named: server.issuer });
        }
        let endpoints = [&server.authorization_endpoint, &server.registration_endpoint];
        for endpoint in endpoints.into_iter().flatten().chain([&server.token_endpoint]) {
            egress.may_name(endpoint)?;
        }
        return Ok(server);
    }
    Err(no_metadata())
}

fn metadata_places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut places = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        places.push(format!("{path}/.well-known/openid-configuration"));
    }
    places.iter().filter_map(|place| issuer.join(place).ok()).collect()
}
