//! Sends to the collector: protobuf over HTTP, again after what may pass, never for long.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use reqwest::Url;
use secrecy::ExposeSecret;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::post::{Posted, Poster};
use super::scope;
use crate::config::Otlp;

/// The pauses between tries; after the last one, what was to be sent is lost.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// The longest that a collector may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The collector.
pub(super) struct Client {
    traces: Url,
    metrics: Url,
    poster: Poster,
    headers: HeaderMap,
    resource: Resource,
    pauses: [Duration; 4],
    /// Whether the last request failed: the log tells of that once.
    fails: bool,
}

impl Client {
    pub(super) fn new(settings: &Otlp, resource: Resource) -> Result<Self, reqwest::Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            let value = HeaderValue::from_str(value.expose_secret());
            if let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), value) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            traces: below(&settings.endpoint, "v1/traces"),
            metrics: below(&settings.endpoint, "v1/metrics"),
            poster: Poster::new(&settings.endpoint)?,
            headers,
            resource,
            pauses: PAUSES,
            fails: false,
        })
    }

    /// Sends spans; gives back how many of them are lost.
    pub(super) async fn send_spans(&mut self, spans: Vec<Span>, ending: &CancellationToken) -> usize {
        let count = spans.len();
        let scope_spans = vec![ScopeSpans { scope: Some(scope()), spans, ..ScopeSpans::default() }];
        let resource = Some(self.resource.clone());
        let resource_spans = vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        match self.send(self.traces.clone(), body.into(), ending).await {
            None => count,
            Some(answer) => rejected(&answer),
        }
    }

    pub(super) async fn send_metrics(&mut self, metrics: Vec<Metric>, ending: &CancellationToken) {
        let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics, ..ScopeMetrics::default() }];
        let resource = Some(self.resource.clone());
        let resource_metrics =
            vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
        let body = ExportMetricsServiceRequest { resource_metrics }.encode_to_vec();
        self.send(self.metrics.clone(), body.into(), ending).await;
    }

    /// Posts until it is taken, refused or given up; the answer's body, where it was taken.
    async fn send(&mut self, url: Url, body: Bytes, ending: &CancellationToken) -> Option<Bytes> {
        let mut pauses = self.pauses.into_iter();
        loop {
            let posted = self.poster.post(&url, self.headers.clone(), body.clone()).await;
            let (why, pause) = match posted {
                Ok(Posted { status, body, .. }) if status.is_success() => {
                    self.fails = false;
                    return Some(body);
                }
                Ok(posted) => {
                    let pause = pauses.next().filter(|_| may_pass(posted.status));
                    (posted.refusal(), pause.map(|pause| posted.wait(pause, LONGEST_PAUSE)))
                }
                Err(error) => (error, pauses.next()),
            };
            let Some(pause) = pause.filter(|_| !ending.is_cancelled()) else {
                if !self.fails {
                    tracing::warn!(error = why, "the OpenTelemetry collector does not take what is sent");
                }
                self.fails = true;
                return None;
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = ending.cancelled() => {}
            }
        }
    }
}

#[cfg(test)]
impl Client {
    /// The same without pauses.
    pub(super) fn hasty(self) -> Self {
        Self { pauses: [Duration::ZERO; 4], ..self }
    }
}

/// What a collector answers that is too busy now (OTLP, "Failures").
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// How many spans a collector has not taken of those that it took.
fn rejected(answer: &Bytes) -> usize {
    let partial = ExportTraceServiceResponse::decode(answer.clone()).ok().and_then(|it| it.partial_success);
    let Some(partial) = partial.filter(|partial| partial.rejected_spans > 0) else { return 0 };
    tracing::warn!(
        rejected = partial.rejected_spans,
        why = partial.error_message,
        "the OpenTelemetry collector rejected spans"
    );
    usize::try_from(partial.rejected_spans).unwrap_or(0)
}

/// A path below the base URL, whatever that ends with.
fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{path}", base.path().trim_end_matches('/')));
    url
}
