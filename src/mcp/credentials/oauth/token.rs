//! The token endpoint (RFC 6749, section 3.2): one form up, one token or error down.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Method, Request, Url};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::config::{ClientAuth, OAuthClient};
use crate::egress::{Answer, Egress};
use crate::mcp::result::bounded;

/// A token is renewed this long before it ends, or for a quarter of its life where that is less.
const MARGIN: SignedDuration = SignedDuration::from_secs(30);

/// What an authorization server gave.
#[derive(Debug, Clone)]
pub(in super::super) struct Tokens {
    pub(in super::super) access_token: SecretString,
    pub(in super::super) refresh_token: Option<SecretString>,
    /// From then on another one is asked for.
    pub(in super::super) good_until: Option<Timestamp>,
}

impl Tokens {
    pub(in super::super) fn is_fresh(&self) -> bool {
        self.good_until.is_none_or(|until| Timestamp::now() < until)
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum TokenError {
    /// The answer is no.
    #[error("{0}")]
    Denied(Denial),
    /// There is no answer, or none that can be read.
    #[error("{0}")]
    Failed(String),
}

/// An authorization server's no.
#[derive(Debug)]
pub(in super::super) struct Denial {
    pub(in super::super) code: String,
    description: Option<String>,
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.code)?;
        self.description.as_ref().map_or(Ok(()), |description| write!(f, " ({description})"))
    }
}

/// What a token is asked for with.
#[derive(Debug)]
pub(in super::super) struct Form(Vec<(&'static str, SecretString)>);

impl Form {
    pub(in super::super) fn new(grant_type: &str) -> Self {
        Self(vec![("grant_type", grant_type.into())])
    }

    pub(in super::super) fn add(&mut self, name: &'static str, value: &str) {
        self.0.push((name, value.into()));
    }

    pub(in super::super) fn add_secret(&mut self, name: &'static str, value: &SecretString) {
        self.0.push((name, value.clone()));
    }

    pub(in super::super) fn add_if_any(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// Several words in one field.
    pub(in super::super) fn add_all(&mut self, name: &'static str, words: &[String]) {
        if !words.is_empty() {
            self.add(name, &words.join(" "));
        }
    }

    fn encode(&self) -> String {
        let pairs = self.0.iter().map(|(name, value)| (*name, value.expose_secret()));
        url_encoded(pairs)
    }
}

/// Asks this endpoint for a token.
pub(in super::super) async fn ask(
    egress: &Egress,
    endpoint: &Url,
    client: &OAuthClient,
    mut form: Form,
) -> Result<Tokens, TokenError> {
    let mut request = Request::new(Method::POST, endpoint.clone());
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    match (&client.secret, client.auth) {
        (Some(secret), ClientAuth::Basic) => {
            headers.insert(header::AUTHORIZATION, basic(&client.id, secret)?);
        }
        (Some(secret), ClientAuth::Post) => {
            form.add("client_id", &client.id);
            form.add_secret("client_secret", secret);
        }
        (None, _) => form.add("client_id", &client.id),
    }
    *request.body_mut() = Some(form.encode().into());
    let answer = egress.send(request).await.map_err(|error| TokenError::Failed(error.to_string()))?;
    read(&answer, &form, client)
}

/// Both parts are encoded like a form's (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &SecretString) -> Result<HeaderValue, TokenError> {
    let pair = format!("{}:{}", encoded(id), encoded(secret.expose_secret()));
    let value = format!("Basic {}", STANDARD.encode(pair));
    let value = HeaderValue::try_from(value).map_err(|error| TokenError::Failed(error.to_string()));
    value.map(|mut value| {
        value.set_sensitive(true);
        value
    })
}

fn encoded(text: &str) -> String {
    url_encoded([("", text)]).trim_start_matches('=').to_owned()
}

fn url_encoded<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    // A URL's query is encoded as forms are.
    let Ok(mut url) = Url::parse("form:/") else { return String::new() };
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    token_type: Option<String>,
    expires_in: Option<Value>,
    refresh_token: Option<SecretString>,
}

#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    error_description: Option<String>,
}

fn read(answer: &Answer, form: &Form, client: &OAuthClient) -> Result<Tokens, TokenError> {
    if !answer.status.is_success() {
        return Err(read_error(answer, form, client));
    }
    let answer: TokenAnswer = serde_json::from_slice(&answer.body)
        .map_err(|_| TokenError::Failed("the authorization server's answer holds no access token".into()))?;
    let is_bearer = answer.token_type.as_deref().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !is_bearer || answer.access_token.expose_secret().is_empty() {
        return Err(TokenError::Failed("the authorization server gave no bearer token".into()));
    }
    let seconds = answer.expires_in.and_then(|seconds| match seconds {
        Value::Number(seconds) => seconds.as_i64(),
        // Some write it as text.
        Value::String(seconds) => seconds.parse().ok(),
        _ => None,
    });
    let good_until = seconds.map(|seconds| {
        let life = SignedDuration::from_secs(seconds.clamp(0, 10 * 365 * 24 * 3600));
        Timestamp::now() + (life - MARGIN.min(life / 4))
    });
    let refresh_token = answer.refresh_token.filter(|token| !token.expose_secret().is_empty());
    Ok(Tokens { access_token: answer.access_token, refresh_token, good_until })
}

fn read_error(answer: &Answer, form: &Form, client: &OAuthClient) -> TokenError {
    let status = answer.status;
    let error = serde_json::from_slice::<ErrorAnswer>(&answer.body).ok();
    let Some(error) = error.filter(|_| status.is_client_error()) else {
        return TokenError::Failed(format!("the authorization server answers with HTTP {}", status.as_u16()));
    };
    let code: String = bounded(&error.error, 64).chars().filter(char::is_ascii_graphic).collect();
    if matches!(code.as_str(), "temporarily_unavailable" | "server_error" | "slow_down") {
        return TokenError::Failed(format!("the authorization server answers `{code}`"));
    }
    let description = error.error_description.map(|text| without_secrets(&text, form, client));
    TokenError::Denied(Denial { code, description })
}

/// What of a form is no secret.
const TOLD: [&str; 7] =
    ["grant_type", "scope", "resource", "audience", "subject_token_type", "redirect_uri", "client_id"];

/// Descriptions sometimes repeat what they were asked.
fn without_secrets(text: &str, form: &Form, client: &OAuthClient) -> String {
    let asked = form.0.iter().filter(|(name, _)| !TOLD.contains(name)).map(|(_, value)| value);
    let secrets = asked.chain(&client.secret).map(SecretString::expose_secret);
    let forms = secrets.flat_map(|secret| [secret.to_owned(), encoded(secret), STANDARD.encode(secret)]);
    let text = forms
        .filter(|form| !form.is_empty())
        .fold(text.to_owned(), |text, form| text.replace(&form, "[redacted]"));
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    bounded(&plain, 200)
}
