//! How the audit works, as the configuration says.

use std::path::PathBuf;
use std::time::Duration;

use super::{Clock, Recording};
use crate::config::{Config, Durability, OnFull, OnUnavailable};

/// How the audit works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where times come from.
    pub clock: Clock,
    /// Places in the queue, and as many again for the ends of interceptions that run.
    pub capacity: u32,
    /// After how many failed tries in a row intents, and new interceptions, are refused.
    pub write_attempts: u32,
    /// The pause after the first failed try; it doubles with each.
    pub retry_after: Duration,
    /// How long the writer goes on trying after the gateway has begun to close.
    pub last_tries: Duration,
    /// The name of this gateway among those that share the store.
    pub instance: String,
    /// How long the others wait for a sign of life.
    pub lease: Duration,
    /// What is kept of texts.
    pub recording: Recording,
    /// What happens to texts for which there is no room.
    pub on_full: OnFull,
    /// What happens while the store cannot be written.
    pub on_unavailable: OnUnavailable,
    /// Where records wait for the store, if they do.
    pub spool: PathBuf,
    /// The file that calls wait for instead of a store that has none beside it.
    pub write_ahead: Option<PathBuf>,
    /// What records survive, wherever they are.
    pub durability: Durability,
}

/// Interceptions over the limit whose refusals can be recorded at once.
const REFUSALS: u32 = 256;

impl Settings {
    /// As this configuration says.
    pub fn of(config: &Config) -> Self {
        let defaults = Self::default();
        let at_once = u32::try_from(config.limits.max_interceptions).unwrap_or(u32::MAX);
        Self {
            capacity: defaults.capacity.max(at_once.saturating_add(REFUSALS)),
            instance: config.audit.instance.clone(),
            lease: config.audit.lease,
            recording: Recording::of(config),
            on_full: config.audit.on_full,
            on_unavailable: config.audit.on_unavailable,
            spool: config.audit.spool.clone(),
            write_ahead: config.audit.write_ahead.clone(),
            durability: config.store.durability,
            ..defaults
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Clock::default(),
            capacity: 4096,
            write_attempts: 3,
            retry_after: Duration::from_millis(50),
            last_tries: Duration::from_secs(15),
            instance: "toolgate".to_owned(),
            lease: Duration::from_secs(15),
            recording: Recording::default(),
            on_full: OnFull::default(),
            on_unavailable: OnUnavailable::default(),
            spool: PathBuf::from("toolgate.spool"),
            write_ahead: None,
            durability: Durability::default(),
        }
    }
}
