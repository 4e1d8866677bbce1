//! `store`: where the records go.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::scope::Scope;
use super::yaml::At;

/// The file beside `toolgate.yaml`, where nothing else is said.
const DEFAULT: &str = "toolgate.db";

/// Where the records go and what is promised of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The file of the `SQLite` database.
    pub path: PathBuf,
    /// What a committed record survives.
    pub durability: Durability,
}

/// What a committed record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A killed gateway (WAL with `synchronous=NORMAL`).
    #[default]
    Process,
    /// A power cut (WAL with `synchronous=FULL`).
    Power,
}

/// Where the records go: a URL, or a URL with what is promised of them.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Store")]
pub(super) enum WrittenStore {
    /// `sqlite:` and a path, relative to this file.
    Url(String),
    /// With settings.
    Full(FullStore),
}

/// A store with settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct FullStore {
    /// `sqlite:` and a path, relative to this file.
    url: At<String>,
    /// What a committed record survives: a killed `process` (the default) or a `power` cut.
    durability: Option<Durability>,
}

/// By hand, because serde's `untagged` loses the places of what is inside.
impl<'de> Deserialize<'de> for WrittenStore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = WrittenStore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL such as `sqlite:toolgate.db`, or the fields `url` and `durability`")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<WrittenStore, E> {
                Ok(WrittenStore::Url(url.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WrittenStore, A::Error> {
                FullStore::deserialize(MapAccessDeserializer::new(map)).map(WrittenStore::Full)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

pub(super) fn build(written: Option<&At<WrittenStore>>, scope: &mut Scope<'_>) -> Option<Store> {
    let (url, durability) = match written {
        None => {
            return Some(Store {
                path: scope.resolve_path(Path::new(DEFAULT)),
                durability: Durability::default(),
            });
        }
        Some(At { value: WrittenStore::Url(url), place }) => {
            (&At { value: url.clone(), place: *place }, Durability::default())
        }
        Some(At { value: WrittenStore::Full(full), .. }) => (&full.url, full.durability.unwrap_or_default()),
    };
    if url.value.starts_with("postgres:") || url.value.starts_with("postgresql:") {
        // Before anything else, so that the password of such a URL is not discussed.
        scope.refuse_masked_with_help(
            url.place,
            "PostgreSQL comes later: this version keeps its records in SQLite",
            format!("write `sqlite:{DEFAULT}`"),
        );
        return None;
    }
    let path = scope.parsed(url, sqlite_path)?;
    Some(Store { path: scope.resolve_path(&path), durability })
}

fn sqlite_path(url: &str) -> Result<PathBuf, String> {
    let wanted = format!("expected `sqlite:` and a path, such as `sqlite:{DEFAULT}`");
    let path = url.strip_prefix("sqlite:").ok_or(wanted.as_str())?;
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() {
        return Err(wanted);
    }
    if path.starts_with(":memory:") || path.contains('?') {
        return Err("expected a file: the records must outlive the gateway".into());
    }
    Ok(path.into())
}
