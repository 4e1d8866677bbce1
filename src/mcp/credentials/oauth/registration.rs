//! Becoming known to an authorization server that does not know the gateway (RFC 7591).

use http::{HeaderValue, header};
use reqwest::{Method, Request, Url};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::TokenError;
use crate::config::{ClientAuth, OAuthClient};
use crate::egress::Egress;

/// What the gateway says of itself.
#[derive(Debug, Serialize)]
pub(in super::super) struct Application {
    /// The URL of this very document, where it is published (a client id metadata document).
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    client_name: String,
    redirect_uris: Vec<String>,
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: &'static str,
    #[serde(rename = "application_type")]
    kind: &'static str,
}

impl Application {
    /// A public client for this server, that browsers come back to at this URL. Its name says for which server: who
    /// is asked for consent at another one's authorization server can tell.
    pub(in super::super) fn new(server: &str, client_id: Option<&Url>, redirect_uri: &Url) -> Self {
        Self {
            client_id: client_id.map(ToString::to_string),
            client_name: format!("Toolgate ({server})"),
            redirect_uris: vec![redirect_uri.to_string()],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: "none",
            kind: "web",
        }
    }
}

#[derive(Deserialize)]
struct Registered {
    client_id: String,
    client_secret: Option<SecretString>,
    token_endpoint_auth_method: Option<String>,
}

/// Registers the gateway at this endpoint.
pub(in super::super) async fn register(
    egress: &Egress,
    endpoint: &Url,
    application: &Application,
) -> Result<OAuthClient, TokenError> {
    let failed = |reason: String| TokenError::Failed(format!("the gateway cannot be registered: {reason}"));
    let mut request = Request::new(Method::POST, endpoint.clone());
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    let body = serde_json::to_vec(application).map_err(|error| failed(error.to_string()))?;
    *request.body_mut() = Some(body.into());
    let answer = egress.send(request).await.map_err(|error| failed(error.to_string()))?;
    if !answer.status.is_success() {
        return Err(failed(format!("the authorization server answers with HTTP {}", answer.status.as_u16())));
    }
    let registered: Registered = serde_json::from_slice(&answer.body)
        .map_err(|_| failed("the authorization server's answer holds no client id".into()))?;
    let auth = match registered.token_endpoint_auth_method.as_deref() {
        Some("client_secret_post") => ClientAuth::Post,
        _ => ClientAuth::Basic,
    };
    // Some give an empty secret to public clients.
    let is_public = registered.token_endpoint_auth_method.as_deref() == Some("none");
    let secret = registered
        .client_secret
        .filter(|secret| !is_public && !secrecy::ExposeSecret::expose_secret(secret).is_empty());
    Ok(OAuthClient { id: registered.client_id, secret, auth })
}
