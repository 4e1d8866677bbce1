//! Traces and metrics for an OpenTelemetry collector, by OTLP over HTTP, under the names of the `GenAI` and MCP
//! conventions.
//!
//! One half of a task gathers the records of each interception until its end (`gathering.rs`), makes spans of them
//! (`spans.rs`) and counts them (`meter.rs`); the other half (`outbox.rs`) sends both (`client.rs`). The protocol's messages are written directly: the SDK would
//! read environment variables and keep headers where a dump shows them.

mod attributes;
mod client;
mod gathering;
mod meter;
mod outbox;
mod spans;

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;

use self::attributes::Attributes;
use self::client::Client;
use self::gathering::Gathering;
use self::meter::Meter;
use self::outbox::{Outbox, outbox};
use super::feed::{CHECKPOINT, Feed, Intake, Item, feed};
use super::names::Labels;
use crate::config::{Otlp, Record};

/// Records that are taken at once.
const TAKEN: usize = 256;

/// The way to the collector, and the task that sends to it.
pub(super) fn start(
    settings: &Otlp,
    instance: &str,
    ending: CancellationToken,
) -> Result<(Feed, impl Future<Output = ()> + Send + use<>), reqwest::Error> {
    let (feed, intake) = feed("otlp", |kind| kind != CHECKPOINT, ending);
    let client = Client::new(settings, resource(&settings.service_name, instance))?;
    let (content, every) = (settings.content, settings.metrics_every);
    Ok((feed, export(intake, client, content, every)))
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

/// The half of the task that takes records; the other half is [`outbox::Outgoing`].
struct Export {
    intake: Intake,
    gathering: Gathering,
    names: Labels,
    meter: Meter,
    outbox: Outbox,
    content: Record,
}

async fn export(intake: Intake, client: Client, content: Record, every: Duration) {
    let ending = intake.ending().clone();
    let (outbox, outgoing) = outbox(intake.losses());
    let (gathering, names, meter) = (Gathering::new(content), Labels::default(), Meter::default());
    let export = Export { intake, gathering, names, meter, outbox, content };
    let (mut intake, ()) = tokio::join!(export.run(every), outgoing.send(client, &ending));
    intake.tell_losses(true);
}

impl Export {
    /// Takes records until there will never be any again.
    async fn run(mut self, every: Duration) -> Intake {
        let mut metrics = interval_at(Instant::now() + every, every);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut taken = Vec::new();
        loop {
            let due = self.outbox.due();
            tokio::select! {
                is_open = self.intake.take(&mut taken, TAKEN) => {
                    taken.drain(..).for_each(|item| self.take(item));
                    self.tell_losses();
                    if !is_open {
                        break;
                    }
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.outbox.close_batch(),
                _ = metrics.tick() => self.outbox.put_metrics(self.meter.metrics()),
            }
        }
        self.outbox.close_batch();
        self.outbox.put_metrics(self.meter.metrics());
        self.intake
    }

    fn take(&mut self, item: Item) {
        let Item::Record(record) = item else { return };
        let Some(interception) = self.gathering.take(record) else { return };
        self.meter.count(&interception, &self.names);
        for span in spans::of(&interception, &self.names, self.content) {
            self.outbox.put(span);
        }
    }

    fn tell_losses(&mut self) {
        let lost = self.gathering.take_lost();
        if lost > 0 {
            self.intake.lose(lost);
        }
    }
}

#[cfg(test)]
mod tests;
