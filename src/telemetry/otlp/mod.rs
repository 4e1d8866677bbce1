//! Traces and metrics for an OpenTelemetry collector, by OTLP over HTTP, under the names of the `GenAI` and MCP
//! conventions.
//!
//! One task gathers the records of each interception until its end (`gathering.rs`), makes spans of them (`spans.rs`),
//! counts them (`meter.rs`), and sends both (`client.rs`). The protocol's messages are written directly: the SDK would
//! read environment variables and keep headers where a dump shows them.

mod attributes;
mod client;
mod gathering;
mod meter;
mod spans;

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attributes::Attributes;
use self::client::Client;
use self::gathering::Gathering;
use self::meter::Meter;
use super::feed::{Feed, Intake, Item, feed};
use crate::config::{Otlp, Record};

/// Spans of one request, about.
const BATCH: usize = 512;
/// How long spans wait for others.
const LINGER: Duration = Duration::from_secs(2);
/// Records that are taken at once.
const TAKEN: usize = 256;

/// The way to the collector, and the task that sends to it.
pub(super) fn start(
    settings: &Otlp,
    instance: &str,
    ending: CancellationToken,
) -> Result<(Feed, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
    let (feed, intake) = feed("otlp", |kind| !kind.starts_with("audit_"), ending);
    let client = Client::new(settings, resource(&settings.service_name, instance))?;
    let (content, every) = (settings.content, settings.metrics_every);
    Ok((feed, Export { intake, client, spans: Vec::new(), meter: Meter::default(), content }.run(every)))
}

fn resource(service: &str, instance: &str) -> Resource {
    let mut attributes = Attributes::default();
    attributes.text("service.name", service);
    attributes.text("service.version", env!("CARGO_PKG_VERSION"));
    attributes.text("service.instance.id", instance);
    Resource { attributes: attributes.into(), ..Resource::default() }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// The task.
struct Export {
    intake: Intake,
    client: Client,
    spans: Vec<Span>,
    meter: Meter,
    content: Record,
}

impl Export {
    async fn run(mut self, every: Duration) {
        let mut gathering = Gathering::new(self.content);
        let mut metrics = interval_at(Instant::now() + every, every);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due = Instant::now();
        let mut taken = Vec::new();
        loop {
            let had_none = self.spans.is_empty();
            tokio::select! {
                is_open = self.intake.take(&mut taken, TAKEN) => {
                    for item in taken.drain(..) {
                        let Item::Record(record) = item else { continue };
                        let Some(interception) = gathering.take(record) else { continue };
                        self.meter.count(&interception);
                        self.spans.extend(spans::of(&interception, self.content));
                    }
                    let lost = gathering.take_lost();
                    if lost > 0 {
                        self.intake.lose(lost);
                    }
                    if !is_open {
                        break;
                    }
                }
                () = sleep_until(due), if !had_none => self.send_spans().await,
                _ = metrics.tick() => self.send_metrics().await,
            }
            if had_none && !self.spans.is_empty() {
                due = Instant::now() + LINGER;
            }
            if self.spans.len() >= BATCH {
                self.send_spans().await;
            }
        }
        self.send_spans().await;
        self.send_metrics().await;
    }

    async fn send_spans(&mut self) {
        while !self.spans.is_empty() {
            let batch: Vec<Span> = self.spans.drain(..self.spans.len().min(BATCH)).collect();
            let lost = self.client.send_spans(batch, self.intake.ending()).await;
            if lost > 0 {
                self.intake.lose(lost);
            }
        }
    }

    /// They add up, so that what is not sent now goes with the next.
    async fn send_metrics(&mut self) {
        let metrics = self.meter.metrics();
        if !metrics.is_empty() {
            self.client.send_metrics(metrics, self.intake.ending()).await;
        }
    }
}

#[cfg(test)]
mod tests;
