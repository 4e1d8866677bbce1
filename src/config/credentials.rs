//! `credentials` of an MCP server: how the gateway proves whose request it is.

use http::{HeaderName, header};
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::scope::Scope;
use super::url;
use super::yaml::{At, Place};
use crate::domain::CALLER_HEADER_PREFIX;

/// How the gateway proves to a server whose request it is. Each server has one way, and no other to fall back on.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Not at all, besides the headers of the transport.
    #[default]
    None,
    /// With a token that is the gateway's own.
    Bearer {
        /// The token.
        token: SecretString,
    },
    /// With what the caller brings in a header of its own.
    CallerHeader(CallerHeader),
    /// With a token that the gateway gets for itself (OAuth 2.1, client credentials).
    ClientCredentials(ClientCredentials),
    /// With a token that the gateway gets for the caller's (RFC 8693).
    TokenExchange(TokenExchange),
    /// With a token that the caller grants in a browser (OAuth 2.1, authorization code).
    AuthorizationCode(AuthorizationCode),
}

/// A header of the caller's, and where it goes.
#[derive(Debug, Clone)]
pub struct CallerHeader {
    /// The caller's header, in lower case; it begins with `x-toolgate-`.
    pub header: String,
    /// The server's, in lower case; in `authorization` the value becomes a bearer token.
    pub send_as: String,
}

/// A token of the gateway's own, from an authorization server.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// As whom it is asked for.
    pub client: OAuthClient,
    /// Where it comes from.
    pub from: TokenSource,
    /// What it is asked for.
    pub scopes: Vec<String>,
    /// For whom, where the authorization server wants to hear it.
    pub audience: Option<String>,
}

/// A token for the caller's, from an authorization server.
#[derive(Debug, Clone)]
pub struct TokenExchange {
    /// The header with the caller's token, in lower case; it begins with `x-toolgate-`.
    pub header: String,
    /// What kind of token that is, as a URI.
    pub subject_token_type: String,
    /// As whom it is exchanged.
    pub client: OAuthClient,
    /// Where it is exchanged.
    pub from: TokenSource,
    /// What the new one is asked for.
    pub scopes: Vec<String>,
    /// For whom the new one is.
    pub audience: Option<String>,
}

/// A token that a caller grants in a browser.
#[derive(Debug, Clone)]
pub struct AuthorizationCode {
    /// A client that was registered beforehand; without one, the gateway introduces itself.
    pub client: Option<OAuthClient>,
    /// The only authorization server that may be asked.
    pub issuer: Option<Url>,
    /// What the token is asked for; without any, what the server says it needs.
    pub scopes: Vec<String>,
}

/// Whom the authorization server takes the gateway for.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    /// Its id.
    pub id: String,
    /// Its secret; a client without one is public.
    pub secret: Option<SecretString>,
    /// How the secret is shown.
    pub auth: ClientAuth,
}

/// How a client shows its secret (RFC 6749, 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ClientAuth {
    /// In the `Authorization` header.
    #[default]
    Basic,
    /// In the body.
    Post,
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// The endpoint itself.
    Url(Url),
    /// An authorization server, whose metadata names the endpoint.
    Issuer(Url),
}

impl Credentials {
    /// Whether each caller has its own, so that no connection may be shared and the gateway has none to itself.
    pub fn are_the_callers_own(&self) -> bool {
        matches!(self, Self::CallerHeader(_) | Self::TokenExchange(_) | Self::AuthorizationCode(_))
    }

    /// The header in which they are sent, in lower case.
    pub fn sent_in(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::CallerHeader(CallerHeader { send_as, .. }) => Some(send_as),
            _ => Some(header::AUTHORIZATION.as_str()),
        }
    }

    /// The URLs that the administrator wrote for them.
    pub fn urls(&self) -> Vec<Url> {
        match self {
            Self::ClientCredentials(ClientCredentials { from, .. })
            | Self::TokenExchange(TokenExchange { from, .. }) => vec![from.url().clone()],
            Self::AuthorizationCode(code) => code.issuer.iter().cloned().collect(),
            Self::None | Self::Bearer { .. } | Self::CallerHeader(_) => Vec::new(),
        }
    }
}

impl TokenSource {
    fn url(&self) -> &Url {
        match self {
            Self::Url(url) | Self::Issuer(url) => url,
        }
    }
}

/// How the gateway proves to the server whose request it is.
///
/// One struct for all kinds: an enum with its tag inside would lose the places of its values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct WrittenCredentials {
    /// `bearer` (a token of the gateway's own), `caller-header` (what the caller brings), `client-credentials` (OAuth,
    /// for the gateway), `token-exchange` (OAuth, for the caller's token), `authorization-code` (OAuth, granted by the
    /// caller in a browser).
    r#type: At<WrittenType>,
    /// bearer: the token, as a reference.
    token: Option<At<String>>,
    /// caller-header, token-exchange: the caller's header; its name begins with `x-toolgate-`.
    header: Option<At<String>>,
    /// caller-header: the server's header; `authorization` by default, where the value becomes a bearer token.
    send_as: Option<At<String>>,
    /// OAuth: the client's id at the authorization server.
    client_id: Option<At<String>>,
    /// OAuth: its secret, as a reference.
    client_secret: Option<At<String>>,
    /// OAuth: how the secret is shown, `basic` (the default) or `post`.
    client_auth: Option<At<ClientAuth>>,
    /// client-credentials, token-exchange: the token endpoint; or give `issuer`.
    token_url: Option<At<String>>,
    /// OAuth: the authorization server, whose metadata names its endpoints.
    issuer: Option<At<String>>,
    /// OAuth: what the token is asked for.
    scopes: Option<At<Vec<At<String>>>>,
    /// client-credentials, token-exchange: for whom the token is, where the authorization server wants to hear it.
    audience: Option<At<String>>,
    /// token-exchange: the kind of the caller's token, as a URI; an access token by default.
    subject_token_type: Option<At<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum WrittenType {
    Bearer,
    CallerHeader,
    ClientCredentials,
    TokenExchange,
    AuthorizationCode,
}

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// Headers of this family that mean something to the gateway itself.
const TAKEN: [&str; 3] = ["x-toolgate-inject", "x-toolgate-injection", "x-toolgate-interception"];

impl WrittenCredentials {
    /// Where the type stands, for problems with the whole.
    pub(super) fn place(&self) -> Place {
        self.r#type.place
    }
}

pub(super) fn build(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<Credentials> {
    refuse_foreign_fields(written, scope);
    match written.r#type.value {
        WrittenType::Bearer => {
            let token = needed(written.token.as_ref(), "token", written, scope)?;
            scope.secret(token).map(|token| Credentials::Bearer { token })
        }
        WrittenType::CallerHeader => {
            let send_as = match &written.send_as {
                Some(name) => scope.parsed(name, sendable)?,
                None => header::AUTHORIZATION.to_string(),
            };
            let header = caller_header(written, scope)?;
            Some(Credentials::CallerHeader(CallerHeader { header, send_as }))
        }
        WrittenType::ClientCredentials => {
            let (client, from) = (client(written, scope), token_source(written, scope));
            let (scopes, audience) = (scopes(written, scope), optional(written.audience.as_ref(), scope));
            let (client, from) = (client?, from?);
            Some(Credentials::ClientCredentials(ClientCredentials { client, from, scopes, audience }))
        }
        WrittenType::TokenExchange => {
            let (client, from) = (client(written, scope), token_source(written, scope));
            let (scopes, audience) = (scopes(written, scope), optional(written.audience.as_ref(), scope));
            let subject_token_type = optional(written.subject_token_type.as_ref(), scope);
            Some(Credentials::TokenExchange(TokenExchange {
                header: caller_header(written, scope)?,
                subject_token_type: subject_token_type.unwrap_or_else(|| ACCESS_TOKEN.to_owned()),
                client: client?,
                from: from?,
                scopes,
                audience,
            }))
        }
        WrittenType::AuthorizationCode => {
            authorization_code(written, scope).map(Credentials::AuthorizationCode)
        }
    }
}

fn authorization_code(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<AuthorizationCode> {
    let issuer = match &written.issuer {
        Some(issuer) => Some(url::build(issuer, scope)?),
        None => None,
    };
    let client = if written.client_id.is_some() { Some(client(written, scope)?) } else { None };
    match (&written.client_id, &written.client_secret) {
        (None, Some(secret)) => {
            scope.refuse(secret.place, "a `client_secret` needs its `client_id`");
            return None;
        }
        // Otherwise the server would choose who gets the secret.
        (Some(id), _) if issuer.is_none() => {
            scope.refuse_with_help(
                id.place,
                "a `client_id` belongs to one authorization server, and none is named",
                "write its `issuer`",
            );
            return None;
        }
        _ => {}
    }
    Some(AuthorizationCode { client, issuer, scopes: scopes(written, scope) })
}

fn refuse_foreign_fields(written: &WrittenCredentials, scope: &mut Scope<'_>) {
    use WrittenType::{AuthorizationCode, Bearer, CallerHeader, ClientCredentials, TokenExchange};
    let place = |field: &Option<At<String>>| field.as_ref().map(|at| at.place);
    let fields: [(&str, Option<Place>, &[WrittenType]); 11] = [
        ("token", place(&written.token), &[Bearer]),
        ("header", place(&written.header), &[CallerHeader, TokenExchange]),
        ("send_as", place(&written.send_as), &[CallerHeader]),
        ("client_id", place(&written.client_id), &[ClientCredentials, TokenExchange, AuthorizationCode]),
        (
            "client_secret",
            place(&written.client_secret),
            &[ClientCredentials, TokenExchange, AuthorizationCode],
        ),
        (
            "client_auth",
            written.client_auth.as_ref().map(|at| at.place),
            &[ClientCredentials, TokenExchange, AuthorizationCode],
        ),
        ("token_url", place(&written.token_url), &[ClientCredentials, TokenExchange]),
        ("issuer", place(&written.issuer), &[ClientCredentials, TokenExchange, AuthorizationCode]),
        (
            "scopes",
            written.scopes.as_ref().map(|at| at.place),
            &[ClientCredentials, TokenExchange, AuthorizationCode],
        ),
        ("audience", place(&written.audience), &[ClientCredentials, TokenExchange]),
        ("subject_token_type", place(&written.subject_token_type), &[TokenExchange]),
    ];
    for (field, place, types) in fields {
        if let Some(place) = place.filter(|_| !types.contains(&written.r#type.value)) {
            let place = scope.key_place(field, place);
            scope.refuse(place, format!("`{field}` means nothing to credentials of this type"));
        }
    }
}

fn needed<'a>(
    field: Option<&'a At<String>>,
    name: &str,
    written: &WrittenCredentials,
    scope: &mut Scope<'_>,
) -> Option<&'a At<String>> {
    if field.is_none() {
        scope.refuse(written.place(), format!("credentials of this type need a `{name}`"));
    }
    field
}

fn caller_header(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<String> {
    let header = needed(written.header.as_ref(), "header", written, scope)?;
    scope.parsed(header, |text| {
        let name = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header name"))?;
        match name.as_str() {
            name if TAKEN.contains(&name) => Err(format!("`{name}` means something to the gateway itself")),
            name if name.len() > CALLER_HEADER_PREFIX.len() && name.starts_with(CALLER_HEADER_PREFIX) => {
                Ok(name.to_owned())
            }
            _ => Err(format!(
                "the name of a caller's header begins with `{CALLER_HEADER_PREFIX}`, so that it never reaches a provider"
            )),
        }
    })
}

/// Headers that the connection or MCP's transport sets cannot carry a credential.
fn sendable(text: &str) -> Result<String, String> {
    let name = HeaderName::try_from(text).map_err(|_| format!("`{text}` is not a header name"))?;
    let owned = ["accept", "connection", "content-length", "content-type", "host", "transfer-encoding"];
    let name = name.as_str();
    if owned.contains(&name) || name.starts_with("mcp-") || name.starts_with(CALLER_HEADER_PREFIX) {
        return Err(format!("`{name}` is set by the gateway itself"));
    }
    Ok(name.to_owned())
}

fn client(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<OAuthClient> {
    let id = needed(written.client_id.as_ref(), "client_id", written, scope);
    let secret = match &written.client_secret {
        Some(secret) => Some(scope.secret(secret)?),
        None => None,
    };
    let auth = written.client_auth.as_ref().map(|at| at.value).unwrap_or_default();
    Some(OAuthClient { id: scope.text(id?)?, secret, auth })
}

fn token_source(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Option<TokenSource> {
    match (&written.token_url, &written.issuer) {
        (Some(token_url), None) => url::build(token_url, scope).map(TokenSource::Url),
        (None, Some(issuer)) => url::build(issuer, scope).map(TokenSource::Issuer),
        (Some(_), Some(issuer)) => {
            scope.refuse(issuer.place, "give `token_url` or `issuer`, not both");
            None
        }
        (None, None) => {
            scope.refuse(written.place(), "credentials of this type need a `token_url` or an `issuer`");
            None
        }
    }
}

fn scopes(written: &WrittenCredentials, scope: &mut Scope<'_>) -> Vec<String> {
    let word = |text: &str| {
        let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
        if !text.is_empty() && text.chars().all(fits) {
            Ok(text.to_owned())
        } else {
            Err("a scope is one word".to_owned())
        }
    };
    let written = written.scopes.iter().flat_map(|scopes| &scopes.value);
    written.filter_map(|text| scope.parsed(text, word)).collect()
}

fn optional(written: Option<&At<String>>, scope: &mut Scope<'_>) -> Option<String> {
    written.and_then(|text| scope.text(text))
}
