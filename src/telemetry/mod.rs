//! Where the records go besides the store, and the log that an operator reads.
//!
//! Each way out is an [`Outlet`] that the audit's writer tells of what it has committed: `metrics` counts at once, the
//! others have a queue (`feed.rs`) and a task each: `log` writes lines, `otlp` sends spans and metrics, `webhook` posts
//! events. `ocsf` is for exports. `line` says under which names a record goes out, `text` how much of its text does.
//! `console` is the operator's log, which `drain` writes.

mod console;
mod drain;
mod feed;
mod line;
mod log;
mod metrics;
mod names;
pub mod ocsf;
mod open;
mod otlp;
mod post;
mod text;
mod webhook;

#[cfg(test)]
mod testing;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Outlet, Outlets};
use crate::config::{Config, schema_of};

pub use console::{LogFormat, init};
pub use drain::Log;
pub use feed::Losses;
pub use metrics::{Format, Metrics, Now};

/// All ways out that are configured.
#[derive(Debug)]
pub struct Telemetry {
    metrics: Arc<Metrics>,
    outlets: Vec<Arc<dyn Outlet>>,
    losses: Vec<Losses>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Telemetry {
    /// Starts the tasks; nothing is sent yet.
    pub fn start(config: &Config) -> Result<Self, reqwest::Error> {
        let metrics = Arc::new(Metrics::default());
        let mut telemetry = Self {
            outlets: vec![Arc::clone(&metrics) as Arc<dyn Outlet>, Arc::new(console::Ended::default())],
            metrics,
            losses: Vec::new(),
            tasks: TaskTracker::new(),
            ending: CancellationToken::new(),
        };
        let instance = &config.audit.instance;
        if let Some(settings) = &config.audit.log {
            let (feed, task) = log::start(settings, telemetry.ending.clone());
            telemetry.add(feed, task);
        }
        if let Some(settings) = &config.telemetry.otlp {
            let (feed, task) = otlp::start(settings, instance, telemetry.ending.clone())?;
            telemetry.add(feed, task);
        }
        for (settings, number) in config.audit.webhooks.iter().zip(1..) {
            let (feed, task) = webhook::start(settings, number, instance, telemetry.ending.clone())?;
            telemetry.add(feed, task);
        }
        telemetry.tasks.close();
        Ok(telemetry)
    }

    fn add(&mut self, feed: feed::Feed, task: impl Future<Output = ()> + Send + 'static) {
        self.losses.push(feed.losses());
        self.outlets.push(Arc::new(feed));
        self.tasks.spawn(task);
    }

    /// What the audit tells of its records.
    pub fn outlets(&self) -> Outlets {
        Outlets::new(self.outlets.iter().cloned())
    }

    /// What has been counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What did not go out, a count for each outlet that can lose something.
    pub fn losses(&self) -> &[Losses] {
        &self.losses
    }

    /// Lets what waits go out, for so long at most. Called when the audit is closed: nothing comes any more.
    pub async fn close(&self, within: Duration) {
        self.ending.cancel();
        if tokio::time::timeout(within, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "not all records went out by log, webhook or OTLP before the end; the store has them"
            );
        }
    }
}

/// The file name and JSON Schema of the audit's log lines.
pub fn schema() -> (&'static str, schemars::Schema) {
    ("audit-log.schema.json", schema_of::<line::Line>())
}
