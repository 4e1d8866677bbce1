//! `toolgate.yaml` as written, and what it means.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::audit::{self, WrittenAudit};
use super::continuity::{self, WrittenContinuity};
use super::endpoints::{self, LockMode, WrittenEgress};
use super::inject::{self, WrittenInject};
use super::keys::{self, WrittenAuth, WrittenKey};
use super::limits::{self, WrittenLimits};
use super::provider::{self, WrittenProvider};
use super::scope::Scope;
use super::store::{self, WrittenStore};
use super::telemetry::{self, WrittenTelemetry};
use super::yaml::{At, Place};
use super::{Config, HostedTools, Store, url};
use crate::domain::{Render, ToolSettings};

/// The configuration of Toolgate. Texts may hold `${NAME}`, `${NAME:-default}` and `${file:path}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Toolgate")]
pub(super) struct WrittenConfig {
    /// The address and port to listen on; 127.0.0.1:8080 by default.
    listen: Option<At<String>>,
    /// Where the records go; `sqlite:toolgate.db` by default.
    store: Option<At<WrittenStore>>,
    /// What is kept of what passes through, for how long, where else it goes, and what happens when it cannot be written.
    #[serde(default)]
    audit: WrittenAudit,
    /// `none` lets in everyone on this machine, on a loopback address only; otherwise give `keys`.
    auth: Option<At<WrittenAuth>>,
    /// When approved tools are added to requests, where neither key nor provider says; `auto` by default. Or that as
    /// `mode`, with how many tools are listed before they are found by search.
    inject: Option<At<WrittenInject>>,
    /// How clients are shown the calls that the gateway runs, where neither key nor provider says; `hidden` by
    /// default.
    render: Option<Render>,
    /// Whether each of these calls is also told of in a short line of text, where neither key nor provider says;
    /// `false` by default.
    tool_lines: Option<bool>,
    /// How the model's names of tools are made; `{server}__{tool}` by default.
    tool_name: Option<At<String>>,
    /// The upstreams.
    #[serde(default)]
    providers: Vec<WrittenProvider>,
    /// The callers' keys.
    keys: Option<At<Vec<WrittenKey>>>,
    /// What callers may bring of tools that a provider itself runs.
    #[serde(default)]
    hosted_tools: HostedTools,
    /// How conversations are remembered.
    #[serde(default)]
    continuity: WrittenContinuity,
    /// The keys that seal what is kept of conversations, as references, the newest first: each 32 characters or
    /// more. Where none is given, one is made in a file beside the store; with PostgreSQL they must be given.
    #[serde(default)]
    secret_keys: Vec<At<String>>,
    /// The caps on everything.
    #[serde(default)]
    limits: WrittenLimits,
    /// How clients and browsers reach the gateway from outside, such as `https://gateway.example.com`, where that is
    /// not the address it listens on.
    public_url: Option<At<String>>,
    /// Host names by which the MCP endpoint may be addressed, besides loopback, `listen` and `public_url`.
    #[serde(default)]
    allowed_hosts: Vec<At<String>>,
    /// Origins of web pages that may call the MCP endpoint, besides that of `public_url`.
    #[serde(default)]
    allowed_origins: Vec<At<String>>,
    /// What the gateway may reach that only a server or its metadata names; public addresses by default.
    #[serde(default)]
    egress: WrittenEgress,
    /// Whether `tools.lock` is in force: `auto` (as soon as the file exists, the default), `required` (the
    /// gateway does not start without it) or `off`.
    #[serde(default)]
    lock: LockMode,
    /// Traces and metrics; metrics can be had on the gateway's own address in any case.
    #[serde(default)]
    telemetry: WrittenTelemetry,
}

pub(super) const DEFAULT_TOOL_NAME: &str = "{server}__{tool}";

/// Checks everything; `None` where a part could not be made, and then the problems say why.
pub(super) fn build(written: &WrittenConfig, folder: PathBuf, scope: &mut Scope<'_>) -> Option<Config> {
    let listen = listen(written.listen.as_ref(), scope);
    let auth = keys::build(
        written.auth.as_ref(),
        written.keys.as_ref(),
        listen.map(|address| (address, written.listen.as_ref())),
        scope,
    );
    let store = store::build(written.store.as_ref(), scope);
    let audit = audit::build(&written.audit, store.as_ref().and_then(Store::path), scope);
    let tool_name = match &written.tool_name {
        Some(pattern) => scope.parsed(pattern, tool_name),
        None => Some(DEFAULT_TOOL_NAME.into()),
    };
    let providers = provider::build_all(&written.providers, scope);
    if written.providers.is_empty() {
        scope.refuse_file("there are no `providers`: requests would have nowhere to go");
    }
    let (inject, inject_limits) = inject::build(written.inject.as_ref(), scope);
    let limits = limits::build(&written.limits, scope);
    let continuity = continuity::build(&written.continuity, scope);
    let secret_keys = continuity::secret_keys(&written.secret_keys, scope);
    if let (Some(written), Some(true)) = (&written.store, store.as_ref().map(Store::is_shared)) {
        shared_keys(written.place, !secret_keys.is_empty(), audit.signing_key.is_some(), scope);
    }
    let public_url = written.public_url.as_ref().and_then(|written| url::build(written, scope));
    let allowed_hosts = endpoints::hosts(&written.allowed_hosts, scope);
    let allowed_origins = endpoints::origins(&written.allowed_origins, scope);
    let egress = endpoints::egress(&written.egress, scope);
    let telemetry = telemetry::build(&written.telemetry, scope);
    Some(Config {
        folder,
        listen: listen?,
        store: store?,
        audit,
        telemetry,
        auth: auth?,
        providers,
        settings: ToolSettings { inject, render: written.render, tool_lines: written.tool_lines },
        inject_limits,
        hosted_tools: written.hosted_tools,
        continuity,
        secret_keys,
        limits,
        servers: vec![],
        tool_name: tool_name?,
        public_url,
        allowed_hosts,
        allowed_origins,
        egress,
        lock: written.lock,
        policies: vec![],
    })
}

/// Gateways that share a store must share its keys: a file beside the store, which holds them otherwise, is not there.
fn shared_keys(store: Place, sealing: bool, signing: bool, scope: &mut Scope<'_>) {
    if !sealing {
        scope.refuse_masked_with_help(
            store,
            "with PostgreSQL `secret_keys` must be given, the same to all gateways that share it",
            "make one with `openssl rand -base64 32`, and write `secret_keys: [\"${TOOLGATE_SECRET_KEY}\"]`",
        );
    }
    if !signing {
        scope.refuse_masked_with_help(
            store,
            "with PostgreSQL `audit.signing_key` must be given, the same to all gateways that share it",
            "make one with `openssl rand -base64 32`, and write `audit: { signing_key: \"${TOOLGATE_SIGNING_KEY}\" }`",
        );
    }
}

fn listen(written: Option<&At<String>>, scope: &mut Scope<'_>) -> Option<SocketAddr> {
    let Some(written) = written else { return Some(SocketAddr::from(([127, 0, 0, 1], 8080))) };
    scope.parsed(written, |text| {
        let text = text.replacen("localhost:", "127.0.0.1:", 1);
        text.parse()
            .map_err(|_| "expected an address and a port, such as `127.0.0.1:8080` or `[::1]:8080`".into())
    })
}

/// Only what every provider accepts in a tool's name may stand beside the placeholders.
fn tool_name(pattern: &str) -> Result<String, String> {
    if !pattern.contains("{tool}") {
        return Err("`{tool}` must stand in it, or all tools would have one name".into());
    }
    let literal = pattern.replace("{server}", "").replace("{tool}", "");
    if literal.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
        Ok(pattern.to_owned())
    } else {
        Err("expected letters, digits, `_` and `-` beside `{server}` and `{tool}`".into())
    }
}
