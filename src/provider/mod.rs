//! One upstream: its address, its credentials, and the headers that may pass, both ways.

mod headers;

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{self, ProviderKind};
use crate::domain::{Failure, FailureKind, Inject};

pub use headers::{down, up};

/// How long a connection to a provider may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// All upstreams, in the configuration's order.
#[derive(Debug)]
pub struct Providers(Vec<Provider>);

/// One upstream.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration and in its routes.
    pub name: String,
    /// Which dialects it speaks.
    pub kind: ProviderKind,
    /// When its requests get tools, where it says so.
    pub inject: Option<Inject>,
    base_url: String,
    api_key: Option<SecretString>,
    credentials: HeaderMap,
    client: reqwest::Client,
}

/// A provider cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("provider {name}: {reason}")]
pub struct ProviderError {
    name: String,
    reason: String,
}

impl Providers {
    /// Sets up all upstreams; nothing is connected yet.
    pub fn new(configured: &[config::Provider]) -> Result<Self, ProviderError> {
        configured.iter().map(Provider::new).collect::<Result<_, _>>().map(Self)
    }

    /// The upstream with this name.
    pub fn named(&self, name: &str) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.name == name)
    }

    /// The first upstream of this kind.
    pub fn default_of(&self, kind: ProviderKind) -> Option<&Provider> {
        self.0.iter().find(|provider| provider.kind == kind)
    }
}

impl Provider {
    fn new(configured: &config::Provider) -> Result<Self, ProviderError> {
        let failed = |reason: String| ProviderError { name: configured.name.clone(), reason };
        let client = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let mut credentials = HeaderMap::new();
        let headers =
            configured.headers.iter().map(|(name, value)| (name.as_str(), value.expose_secret().to_owned()));
        let key = configured.api_key.as_ref().map(|key| key_header(configured.kind, key));
        for (name, value) in key.into_iter().chain(headers) {
            let name =
                HeaderName::try_from(name).map_err(|_| failed(format!("{name:?} is no header name")))?;
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                failed(format!("the value of the header {name} has characters that headers may not have"))
            })?;
            value.set_sensitive(true);
            credentials.insert(name, value);
        }
        Ok(Self {
            name: configured.name.clone(),
            kind: configured.kind,
            inject: configured.inject,
            base_url: configured.base_url.clone(),
            api_key: configured.api_key.clone(),
            credentials,
            client,
        })
    }

    /// Sends one request; `headers` have passed [`up`], `path` begins after the API's `/v1`.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<reqwest::Response, Failure> {
        let version = if self.kind == ProviderKind::Anthropic { "/v1" } else { "" };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{version}{path}{query}", self.base_url);
        let mut headers = headers.clone();
        for (name, value) in &self.credentials {
            headers.insert(name.clone(), value.clone());
        }
        self.client.request(method, url).headers(headers).body(body).send().await.map_err(|error| {
            let message = format!("the provider {} could not be reached", self.name);
            Failure::new(FailureKind::Upstream, message).with_detail(error.without_url())
        })
    }

    /// Takes the organisation's key out of a text that goes to callers or into records.
    pub fn redact(&self, text: &str) -> String {
        match self.api_key.as_ref().map(ExposeSecret::expose_secret) {
            Some(key) if !key.is_empty() => text.replace(key, "[redacted]"),
            _ => text.to_owned(),
        }
    }
}

fn key_header(kind: ProviderKind, key: &SecretString) -> (&'static str, String) {
    match kind {
        ProviderKind::Anthropic => ("x-api-key", key.expose_secret().to_owned()),
        ProviderKind::OpenAi => ("authorization", format!("Bearer {}", key.expose_secret())),
    }
}
