//! One upstream: its address, its credentials, and the headers that may pass, both ways.

mod headers;

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::redirect;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::timeout;

use crate::config::{self, Limits, ProviderKind};
use crate::domain::{Failure, FailureKind, ToolSettings};

pub use headers::{request_headers, request_id, response_headers};

/// How long a connection to a provider may take to come up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A shorter value is no secret, but a word that an error may well have, bytes.
const SHORTEST_SECRET: usize = 8;

/// All upstreams, in the configuration's order.
#[derive(Debug)]
pub struct Providers(Vec<Arc<Provider>>);

/// One upstream.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the configuration and in its routes.
    pub name: String,
    /// Which dialects it speaks.
    pub kind: ProviderKind,
    /// What it says of its requests, where the caller's key says nothing.
    pub settings: ToolSettings,
    configured: config::Provider,
    base_url: String,
    credentials: HeaderMap,
    secrets: Vec<SecretString>,
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
        Self(Vec::new()).renewed(configured)
    }

    /// Sets up these upstreams instead; those that are configured as before stay, with their open connections.
    pub fn renewed(&self, configured: &[config::Provider]) -> Result<Self, ProviderError> {
        let renew =
            |provider: &config::Provider| match self.0.iter().find(|ours| ours.configured == *provider) {
                Some(same) => Ok(Arc::clone(same)),
                None => Provider::new(provider).map(Arc::new),
            };
        configured.iter().map(renew).collect::<Result<_, _>>().map(Self)
    }

    /// The upstream with this name.
    pub fn named(&self, name: &str) -> Option<&Provider> {
        self.0.iter().map(Arc::as_ref).find(|provider| provider.name == name)
    }

    /// The first upstream of this kind.
    pub fn default_of(&self, kind: ProviderKind) -> Option<&Provider> {
        self.0.iter().map(Arc::as_ref).find(|provider| provider.kind == kind)
    }
}

impl Provider {
    fn new(configured: &config::Provider) -> Result<Self, ProviderError> {
        let failed = |reason: String| ProviderError { name: configured.name.clone(), reason };
        let mut client = reqwest::Client::builder();
        if is_loopback(&configured.base_url) {
            // A proxy of the environment's cannot reach this machine's own addresses.
            client = client.no_proxy();
        }
        let client = client
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
            settings: configured.settings,
            configured: configured.clone(),
            base_url: configured.base_url.clone(),
            credentials,
            secrets: secrets(configured.api_key.iter().chain(configured.headers.values())),
            client,
        })
    }

    /// Sends one request; `headers` have passed [`request_headers`], `path` begins after the API's `/v1`.
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

    /// Sends a request that generates nothing and gives back its whole answer, without the organisation's
    /// secrets in it: status, headers for the client, and a body of at most `limits.max_answer_bytes`.
    ///
    /// `headers` have passed [`request_headers`]; it takes `limits.provider_silence` at most.
    pub async fn relay(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        headers: &HeaderMap,
        body: Bytes,
        limits: &Limits,
    ) -> Result<http::Response<Bytes>, Failure> {
        let exchange = async {
            let answer = self.send(method, path, query, headers, body).await?;
            let (status, headers) = (answer.status(), response_headers(answer.headers()));
            let mut response = http::Response::new(self.read_body(answer, limits.max_answer_bytes).await?);
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        };
        timeout(limits.provider_silence, exchange).await.unwrap_or_else(|_| {
            let message = format!("the provider {} took too long", self.name);
            Err(Failure::new(FailureKind::UpstreamTimeout, message))
        })
    }

    async fn read_body(&self, mut response: reqwest::Response, limit: usize) -> Result<Bytes, Failure> {
        let failed = |message: &str| {
            let message = format!("the answer of the provider {} {message}", self.name);
            Failure::new(FailureKind::Upstream, message)
        };
        let mut body = BytesMut::new();
        while let Some(piece) =
            response.chunk().await.map_err(|error| failed("broke off").with_detail(error.without_url()))?
        {
            if body.len() + piece.len() > limit {
                return Err(failed("is too large"));
            }
            body.extend_from_slice(&piece);
        }
        Ok(self.redact_bytes(body.freeze()))
    }

    /// Takes the organisation's secrets out of a text that goes to callers, into records or into the log.
    pub fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[redacted]"))
    }

    /// The same for a body, which keeps its very bytes where there is nothing to take out.
    pub fn redact_bytes(&self, body: Bytes) -> Bytes {
        match std::str::from_utf8(&body) {
            Ok(text) if self.secrets.iter().any(|secret| text.contains(secret.expose_secret())) => {
                self.redact(text).into()
            }
            _ => body,
        }
    }
}

/// The secrets in header values, each also without its scheme (`Bearer …`).
fn secrets<'a>(values: impl Iterator<Item = &'a SecretString>) -> Vec<SecretString> {
    let parts = values.flat_map(|value| {
        let value = value.expose_secret();
        [Some(value), value.split_once(' ').map(|(_, secret)| secret.trim())]
    });
    parts.flatten().filter(|secret| secret.len() >= SHORTEST_SECRET).map(SecretString::from).collect()
}

fn is_loopback(url: &str) -> bool {
    let Some(host) = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)) else {
        return false;
    };
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn key_header(kind: ProviderKind, key: &SecretString) -> (&'static str, String) {
    match kind {
        ProviderKind::Anthropic => ("x-api-key", key.expose_secret().to_owned()),
        ProviderKind::OpenAi => ("authorization", format!("Bearer {}", key.expose_secret())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(name: &str, key: &str) -> config::Provider {
        config::Provider {
            name: name.to_owned(),
            kind: ProviderKind::OpenAi,
            base_url: "https://api.example.com/v1".to_owned(),
            api_key: Some(SecretString::from(key)),
            headers: std::collections::BTreeMap::new(),
            settings: ToolSettings::default(),
            record: None,
        }
    }

    #[test]
    fn a_provider_that_is_configured_as_before_keeps_its_connections() {
        let before = Providers::new(&[configured("a", "key-1"), configured("b", "key-1")]).unwrap();
        let after = before.renewed(&[configured("b", "key-2"), configured("a", "key-1")]).unwrap();
        assert!(Arc::ptr_eq(&before.0[0], &after.0[1]));
        assert!(!Arc::ptr_eq(&before.0[1], &after.0[0]), "the key is another one");
        assert_eq!(after.default_of(ProviderKind::OpenAi).unwrap().name, "b");
    }
}
