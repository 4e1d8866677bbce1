//! What the administrator writes: `toolgate.yaml`, `mcp-servers/*.yaml` and `policies/*.yaml`.
//!
//! [`load`] reads the files, resolves `${…}` and checks everything once; after that the rest of the house
//! works with the plain values below. This is the only room that reads environment variables.
//!
//! Each concern has a file with its struct as meant (public), its struct as written (private, with the places
//! of its values) and a `build` from one to the other, which notes every problem in a `scope::Scope`.

#![allow(clippy::disallowed_methods, reason = "this is the room that may read variables")]

mod audit;
mod continuity;
mod credentials;
mod endpoints;
mod environment;
mod gateway_file;
mod headers;
mod inject;
mod interpolate;
mod keys;
mod limits;
mod load;
mod names;
mod pattern;
pub(crate) mod problem;
mod provider;
mod record;
mod same;
mod schema;
mod scope;
mod secret;
mod server;
mod signing_key;
mod store;
mod telemetry;
mod units;
mod url;
pub(crate) mod yaml;

#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::PathBuf;

use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

pub use audit::{Audit, AuditLog, OnFull, OnUnavailable, Record, Retention, ServerRecord, Webhook};
pub use continuity::Continuity;
pub use credentials::{
    AuthorizationCode, CallerHeader, ClientAuth, ClientCredentials, Credentials, OAuthClient, TokenExchange,
    TokenSource,
};
pub use endpoints::{Egress, LockMode};
pub use environment::{caller_key, child_environment, proxy_hosts, user_name};
pub use inject::InjectLimits;
pub(crate) use keys::ANONYMOUS;
pub use keys::{Auth, Key};
pub use limits::Limits;
pub use load::{check_server, folders, load, load_with, locate, parse_document, policy_sources};
pub use pattern::Pattern;
pub(crate) use pattern::{anchored, glob_to_regex};
pub use problem::ConfigError;
pub use provider::{Provider, ProviderKind};
pub(crate) use same::same_secrets;
pub(crate) use schema::schema_of;
pub use schema::schemas;
pub(crate) use secret::{holds_key, is_secret_name};
pub use server::{Expose, OnDrift, PoolLimits, Server, Sharing, Transport};
pub(crate) use signing_key::signing_key;
pub use store::{Durability, Location, Postgres, Store};
pub use telemetry::{Otlp, Telemetry};
pub use units::duration;

use crate::domain::ToolSettings;

/// The whole configuration, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder of `toolgate.yaml`, absolute.
    pub folder: PathBuf,
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// Where the records go.
    pub store: Store,
    /// How they are kept.
    pub audit: Audit,
    /// Traces and metrics.
    pub telemetry: Telemetry,
    /// Who may call.
    pub auth: Auth,
    /// The upstreams, in the file's order: the first of a type is the default of its dialects.
    pub providers: Vec<Provider>,
    /// When tools are injected and how their calls are shown, where neither key nor provider says.
    pub settings: ToolSettings,
    /// How many tools a conversation lists.
    pub inject_limits: InjectLimits,
    /// Which hosted tools callers may bring.
    pub hosted_tools: HostedTools,
    /// How conversations are remembered.
    pub continuity: Continuity,
    /// What seals them, the newest first; empty where a file beside the store holds the key.
    pub secret_keys: Vec<SecretString>,
    /// The caps on everything.
    pub limits: Limits,
    /// The approved MCP servers, sorted by name.
    pub servers: Vec<Server>,
    /// How a tool's name is made, with `{server}` and `{tool}`; `{server}__{tool}` by default.
    pub tool_name: String,
    /// How clients and browsers reach the gateway from outside, where that is not the address it listens on.
    pub public_url: Option<Url>,
    /// The hosts by which the MCP endpoint may be addressed, besides loopback, `listen` and `public_url`.
    pub allowed_hosts: Vec<String>,
    /// The origins of web pages that may call the MCP endpoint, besides that of `public_url`.
    pub allowed_origins: Vec<String>,
    /// Which addresses may be reached that only a server or its metadata names.
    pub egress: Egress,
    /// Whether `tools.lock` is in force.
    pub lock: LockMode,
    /// The policy files' paths and texts; empty where there is no policies folder, and then the shipped
    /// default policy applies.
    pub policies: Vec<PolicySource>,
}

/// One policy file, as text: the policy room parses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// For messages.
    pub path: PathBuf,
    /// YAML.
    pub text: String,
}

/// What callers may bring of tools that the provider itself runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HostedTools {
    /// Let callers name MCP servers of their own (`mcp_servers`, `mcp` tools): `false` by default.
    pub caller_mcp_servers: bool,
}

impl Config {
    /// A gateway for this machine alone, on a free port and without keys, with defaults for everything else;
    /// for the demo and for tests.
    pub fn loopback(providers: Vec<Provider>) -> Self {
        Self {
            folder: PathBuf::from("."),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            store: Store::sqlite("toolgate.db", Durability::default()),
            audit: Audit::default(),
            telemetry: Telemetry::default(),
            auth: Auth::None,
            providers,
            settings: ToolSettings::default(),
            inject_limits: InjectLimits::default(),
            hosted_tools: HostedTools::default(),
            continuity: Continuity::default(),
            secret_keys: vec![],
            limits: Limits::default(),
            servers: vec![],
            tool_name: gateway_file::DEFAULT_TOOL_NAME.into(),
            public_url: None,
            allowed_hosts: vec![],
            allowed_origins: vec![],
            egress: Egress::default(),
            lock: LockMode::Off,
            policies: vec![],
        }
    }
}
