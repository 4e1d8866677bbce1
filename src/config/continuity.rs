//! `continuity` and `secret_keys`: how conversations are remembered, and what seals what is kept of them.

use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::limits::{self, DurationSchema, SizeSchema};
use super::scope::Scope;
use super::units;
use super::yaml::At;

/// How conversations are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Continuity {
    /// How long the hidden part of a conversation is kept after its last use.
    pub retention: Duration,
    /// How much of it is held in memory before the store, bytes.
    pub memory: usize,
    /// Within what time the same request counts as a repeat.
    pub repeat_window: Duration,
}

impl Default for Continuity {
    fn default() -> Self {
        Self {
            retention: Duration::from_hours(30 * 24),
            memory: 64 << 20,
            repeat_window: Duration::from_mins(10),
        }
    }
}

/// How conversations are remembered, so that a model knows in its next turn what tools told it in this one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Continuity")]
pub(super) struct WrittenContinuity {
    /// How long it is kept after its last use, 1h to 3650d; 30d by default.
    #[schemars(with = "Option<DurationSchema>")]
    retention: Option<At<String>>,
    /// How much of it is held in memory before the store; 64MiB by default.
    #[schemars(with = "Option<SizeSchema>")]
    memory: Option<At<String>>,
    /// Within what time the same request counts as a repeat after a cut, 1s to 24h; 10m by default.
    #[schemars(with = "Option<DurationSchema>")]
    repeat_window: Option<At<String>>,
}

/// The shortest time for which anything is kept.
pub(super) const SHORTEST: Duration = Duration::from_hours(1);
/// The longest, but for ever.
pub(super) const LONGEST: Duration = Duration::from_hours(3650 * 24);

/// A shorter key could be guessed, characters.
const SHORTEST_KEY: usize = 32;

pub(super) fn build(written: &WrittenContinuity, scope: &mut Scope<'_>) -> Continuity {
    let default = Continuity::default();
    let retention = written.retention.as_ref().and_then(|written| {
        scope.parsed(written, |text| {
            let duration = units::duration(text)?;
            let fits = (SHORTEST..=LONGEST).contains(&duration);
            if fits { Ok(duration) } else { Err("expected 1h to 3650d".into()) }
        })
    });
    Continuity {
        retention: retention.unwrap_or(default.retention),
        memory: limits::size(written.memory.as_ref(), scope).unwrap_or(default.memory),
        repeat_window: limits::duration(written.repeat_window.as_ref(), scope)
            .unwrap_or(default.repeat_window),
    }
}

/// The sealing keys, each long enough.
pub(super) fn secret_keys(written: &[At<String>], scope: &mut Scope<'_>) -> Vec<SecretString> {
    let mut keys = Vec::new();
    for key in written {
        match scope.secret(key) {
            Some(secret) if secret.expose_secret().trim().len() < SHORTEST_KEY => scope.refuse_with_help(
                key.place,
                format!("a key of fewer than {SHORTEST_KEY} characters could be guessed"),
                "make one with `openssl rand -base64 32`",
            ),
            Some(secret) => keys.push(secret),
            None => {}
        }
    }
    keys
}
