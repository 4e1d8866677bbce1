//! A configuration that changes while the gateway runs: read whole, checked whole, in force whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::changes::Changes;
use super::files::Files;
use crate::audit::Recording;
use crate::config::{self, Config, ConfigError};
use crate::gateway::Gateway;
use crate::policy::{Policy, PolicyError};
use crate::provider::ProviderError;

/// Takes over changes of the files.
#[derive(Debug)]
pub(super) struct Reloader {
    path: PathBuf,
    /// What is in force.
    config: Config,
    shared: Shared,
    current: Arc<ArcSwap<Gateway>>,
}

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error("{} cannot change while the gateway runs: undo the change, or start the gateway again", .0.join(", "))]
    Fixed(Vec<&'static str>),
    /// Files that are written anew are gone for a moment, and without any the shipped policy would allow everything.
    #[error("there are no policies any more: start the gateway again to go back to the shipped one")]
    NoPolicies,
}

impl Reloader {
    /// Of the gateway that runs with this configuration, which was read from `path`.
    pub(super) fn new(path: &Path, config: Config, shared: Shared, current: Arc<ArcSwap<Gateway>>) -> Self {
        Self { path: path.to_owned(), config, shared, current }
    }

    /// Reloads when the files change, and when `hangup` comes, until `ending`.
    pub(super) async fn run(mut self, mut hangup: Signal, tasks: TaskTracker, ending: CancellationToken) {
        let mut files = Files::of(&self.path);
        // They may have changed since they were read first.
        let mut is_asked = false;
        loop {
            let reading = tasks.spawn_blocking(move || {
                self.reload_and_tell(is_asked);
                self
            });
            let Ok(reloader) = reading.await else {
                tracing::error!("the configuration is not reloaded any more");
                return;
            };
            self = reloader;
            is_asked = tokio::select! {
                () = ending.cancelled() => return,
                hangup = hangup.recv() => hangup.is_some(),
                () = files.changed() => {
                    files.settled().await;
                    false
                }
            };
            // A folder may be another one now; watched before it is read, so that nothing is missed.
            files = Files::of(&self.path);
        }
    }

    fn reload_and_tell(&mut self, is_asked: bool) {
        match self.reload() {
            Ok(changes) if !changes.is_empty() => {
                tracing::info!(%changes, "the configuration was reloaded");
            }
            Ok(_) if is_asked => tracing::info!("the configuration is as it was"),
            Ok(_) => {}
            Err(refusal) => {
                tracing::error!(error = %refusal, "the configuration was not reloaded: all stays as it was");
            }
        }
    }

    /// Puts the files in force as they are now; nothing of them, where anything is wrong.
    pub(super) fn reload(&mut self) -> Result<Changes, Refusal> {
        let config = config::load(&self.path)?;
        let changes = Changes::between(&self.config, &config);
        if !changes.fixed.is_empty() {
            return Err(Refusal::Fixed(changes.fixed));
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        let running = self.current.load();
        if config.policies.is_empty() && !self.config.policies.is_empty() {
            return Err(Refusal::NoPolicies);
        }
        let policy = Policy::load(&config.policies)?;
        let providers = running.providers.renewed(&config.providers)?;
        // From here on nothing can fail. Until the servers are what they are to be, the old rules hold as well.
        self.shared.policy.add(policy);
        self.current.store(Arc::new(self.shared.gateway(&config, providers)));
        self.shared.audit.record(Recording::of(&config));
        self.shared.fleet.apply(&config.servers, &config.tool_name);
        self.shared.policy.settle();
        self.config = config;
        Ok(changes)
    }
}
