//! `telemetry`: traces, and metrics for who pulls or is pushed them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::audit::Record;
use super::headers::{self, WrittenHeaders};
use super::limits::{self, DurationSchema};
use super::scope::Scope;
use super::url;
use super::yaml::At;

/// Traces, and metrics for who pulls or is pushed them.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Where traces and metrics are sent by OTLP over HTTP; nowhere where it is `None`.
    pub otlp: Option<Otlp>,
    /// Where `/metrics` answers everyone, besides the gateway's own address, where it asks for a key.
    pub metrics_listen: Option<SocketAddr>,
}

/// Where traces and metrics are sent.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// The collector's base URL, such as `http://collector:4318`.
    pub endpoint: Url,
    /// Headers of each request, in lower case.
    pub headers: BTreeMap<String, SecretString>,
    /// `service.name`; `toolgate` by default.
    pub service_name: String,
    /// The most that spans say of texts; `none` by default.
    pub content: Record,
    /// How often metrics are sent; a minute by default.
    pub metrics_every: Duration,
}

impl Otlp {
    /// To this collector, with defaults for everything else.
    pub fn new(endpoint: Url) -> Self {
        Self {
            endpoint,
            headers: BTreeMap::new(),
            service_name: SERVICE_NAME.to_owned(),
            content: Record::None,
            metrics_every: METRICS_EVERY,
        }
    }
}

const SERVICE_NAME: &str = "toolgate";
const METRICS_EVERY: Duration = Duration::from_mins(1);

/// Traces and metrics.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Telemetry")]
pub(super) struct WrittenTelemetry {
    /// Sends traces and metrics to an OpenTelemetry collector.
    otlp: Option<WrittenOtlp>,
    /// An address and a port of their own for Prometheus, such as `127.0.0.1:9464`: `/metrics` answers everyone who
    /// reaches it. On the gateway's own address `/metrics` asks for a key that may administer or read the audit.
    metrics_listen: Option<At<String>>,
}

/// Where traces and metrics are sent by OTLP over HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Otlp")]
pub(super) struct WrittenOtlp {
    /// The collector's base URL, such as `http://collector:4318`; `/v1/traces` and `/v1/metrics` are added to it.
    endpoint: At<String>,
    /// Headers of each request; secrets as references.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, String>")]
    headers: WrittenHeaders,
    /// The resource's `service.name`; `toolgate` by default.
    service_name: Option<At<String>>,
    /// The most that spans say of prompts, answers, arguments and results; `none` by default.
    content: Option<Record>,
    /// How often metrics are sent, 1s to 24h; 1m by default.
    #[schemars(with = "Option<DurationSchema>")]
    metrics_every: Option<At<String>>,
}

pub(super) fn build(written: &WrittenTelemetry, scope: &mut Scope<'_>) -> Telemetry {
    let metrics_listen = written.metrics_listen.as_ref().and_then(|written| {
        scope.parsed(written, |text| {
            let text = text.replacen("localhost:", "127.0.0.1:", 1);
            text.parse().map_err(|_| "expected an address and a port, such as `127.0.0.1:9464`".into())
        })
    });
    Telemetry { otlp: written.otlp.as_ref().and_then(|otlp| build_otlp(otlp, scope)), metrics_listen }
}

fn build_otlp(written: &WrittenOtlp, scope: &mut Scope<'_>) -> Option<Otlp> {
    let endpoint = url::build(&written.endpoint, scope);
    if endpoint.as_ref().is_some_and(|url| url.path().ends_with("/v1/traces")) {
        scope.refuse_with_help(
            written.endpoint.place,
            "this is the URL for traces alone",
            "leave out `/v1/traces`: it is added, as is `/v1/metrics`",
        );
    }
    let headers = headers::build(&written.headers, &[], scope);
    let service_name = written.service_name.as_ref().and_then(|name| {
        scope.parsed(name, |text| match text.trim() {
            "" => Err("a service needs a name".into()),
            name => Ok(name.to_owned()),
        })
    });
    let every = limits::duration(written.metrics_every.as_ref(), scope);
    let default = Otlp::new(endpoint?);
    Some(Otlp {
        headers,
        service_name: service_name.unwrap_or(default.service_name),
        content: written.content.unwrap_or(default.content),
        metrics_every: every.unwrap_or(default.metrics_every),
        endpoint: default.endpoint,
    })
}
