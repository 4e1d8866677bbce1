//! `store`: where the records go.
//!
//! A PostgreSQL URL may hold a password: nothing here shows one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use reqwest::Url;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::interpolate::is_reference;
use super::scope::Scope;
use super::yaml::At;

/// The file beside `toolgate.yaml`, where nothing else is said.
const DEFAULT: &str = "toolgate.db";

/// Where the records go and what is promised of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    /// Which database.
    pub at: Location,
    /// What a record that was waited for survives.
    pub durability: Durability,
}

/// Which database.
#[derive(Debug, Clone, PartialEq)]
pub enum Location {
    /// The file of an embedded database.
    Sqlite(PathBuf),
    /// A server, which several gateways may share.
    Postgres(Postgres),
}

/// A PostgreSQL database.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// With user and password.
    pub url: SecretString,
    /// The same without either, as it may be shown.
    pub shown: String,
}

impl PartialEq for Postgres {
    fn eq(&self, other: &Self) -> bool {
        self.url.expose_secret() == other.url.expose_secret()
    }
}

impl Store {
    /// An embedded database in this file.
    pub fn sqlite(path: impl Into<PathBuf>, durability: Durability) -> Self {
        Self { at: Location::Sqlite(path.into()), durability }
    }

    /// The file, where the database is embedded.
    pub fn path(&self) -> Option<&Path> {
        match &self.at {
            Location::Sqlite(path) => Some(path),
            Location::Postgres(_) => None,
        }
    }

    /// Whether several gateways may share it.
    pub fn is_shared(&self) -> bool {
        matches!(self.at, Location::Postgres(_))
    }
}

impl FromStr for Location {
    type Err = String;

    /// Reads a URL, or the path of a file, as a command line gives it.
    fn from_str(text: &str) -> Result<Self, String> {
        if is_postgres(text) {
            return postgres(text, None).map(Self::Postgres);
        }
        let path = if text.starts_with("sqlite:") { sqlite_path(text)? } else { PathBuf::from(text) };
        Ok(Self::Sqlite(path))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(server) => f.write_str(&server.shown),
        }
    }
}

/// What a record that was waited for survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A killed gateway (SQLite: calls wait for a file beside the database, which has `synchronous=NORMAL`; PostgreSQL:
    /// `synchronous_commit=off`, and `audit.write_ahead` where that is given). A power cut, or a crash of the server,
    /// may cost the last records.
    #[default]
    Process,
    /// A power cut (SQLite: WAL with `synchronous=FULL`; PostgreSQL: `synchronous_commit=on`).
    Power,
}

/// Where the records go: a URL, or a URL with what is promised of them.
#[derive(Debug, JsonSchema)]
#[schemars(untagged, rename = "Store")]
pub(super) enum WrittenStore {
    /// `sqlite:` and a path, relative to this file, or `postgres://user@host/database`.
    Url(String),
    /// With settings.
    Full(FullStore),
}

/// A store with settings.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub(super) struct FullStore {
    /// `sqlite:` and a path, relative to this file, or `postgres://user@host/database`.
    url: At<String>,
    /// The password for PostgreSQL, where the URL has none; in a URL, special characters would have to be escaped.
    password: Option<At<String>>,
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
                f.write_str(
                    "a URL such as `sqlite:toolgate.db`, or the fields `url`, `password` and `durability`",
                )
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
    let (url, password, durability) = match written {
        None => return Some(Store::sqlite(scope.resolve_path(Path::new(DEFAULT)), Durability::default())),
        Some(At { value: WrittenStore::Url(url), place }) => {
            (&At { value: url.clone(), place: *place }, None, Durability::default())
        }
        Some(At { value: WrittenStore::Full(full), .. }) => {
            (&full.url, full.password.as_ref(), full.durability.unwrap_or_default())
        }
    };
    if has_literal_password(&url.value) {
        scope.refuse_literal(url.place, "a password must not stand in the file");
        return None;
    }
    let password = match password {
        Some(password) => Some(scope.secret(password)?),
        None => None,
    };
    let text = scope.text(url)?;
    let at = if is_postgres(&text) {
        postgres(&text, password.as_ref()).map(Location::Postgres)
    } else if password.is_some() {
        Err("only PostgreSQL asks for a `password`".to_owned())
    } else {
        sqlite_path(&text).map(|path| Location::Sqlite(scope.resolve_path(&path)))
    };
    match at {
        Ok(at) => Some(Store { at, durability }),
        Err(why) if !is_postgres(&text) => {
            scope.refuse(url.place, why);
            None
        }
        Err(why) => {
            // The URL may have a password in it.
            scope.refuse_masked_with_help(
                url.place,
                &why,
                "see `store` in the documentation of the configuration",
            );
            None
        }
    }
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Whether a URL as it is written has a password that is no reference.
fn has_literal_password(written: &str) -> bool {
    let Some((_, rest)) = written.split_once("://").filter(|_| is_postgres(written)) else { return false };
    let Some((user, _)) = rest.rsplit_once('@') else { return false };
    user.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !is_reference(password))
}

fn postgres(text: &str, password: Option<&SecretString>) -> Result<Postgres, String> {
    let wanted = "expected `postgres://user@host:port/database`";
    // The parser's own words could quote a password.
    let mut url = Url::parse(text).map_err(|_| wanted.to_owned())?;
    if let Some(password) = password {
        url.set_password(Some(password.expose_secret())).map_err(|()| wanted.to_owned())?;
    }
    let secret = SecretString::from(String::from(url.clone()));
    let named = url.host_str().is_some_and(|host| !host.is_empty())
        || url.query_pairs().any(|(key, _)| key == "host");
    if !named || url.path().len() < 2 {
        return Err(format!("{wanted}: host and database must be named"));
    }
    let nothing_secret = url.set_username("").is_ok() & url.set_password(None).is_ok();
    url.set_query(None);
    let shown = if nothing_secret { String::from(url) } else { format!("postgres://…{}", url.path()) };
    Ok(Postgres { url: secret, shown })
}

fn sqlite_path(url: &str) -> Result<PathBuf, String> {
    let wanted = format!(
        "expected `sqlite:` and a path, such as `sqlite:{DEFAULT}`, or `postgres://user@host/database`"
    );
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
