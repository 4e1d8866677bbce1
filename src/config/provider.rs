//! `providers`: the upstreams.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::audit::Record;
use super::headers::{self, WrittenHeaders};
use super::scope::Scope;
use super::yaml::At;
use super::{names, url};
use crate::domain::{Inject, Render, ToolSettings};

/// One upstream.
#[derive(Debug, Clone)]
pub struct Provider {
    /// The name in its routes.
    pub name: String,
    /// Which dialects it speaks.
    pub kind: ProviderKind,
    /// Without a trailing slash; for `anthropic` without, for `openai` with `/v1`.
    pub base_url: String,
    /// The organisation's key.
    pub api_key: Option<SecretString>,
    /// Headers added to every request, names in lower case, values may be secret.
    pub headers: BTreeMap<String, SecretString>,
    /// What it says of its requests.
    pub settings: ToolSettings,
    /// What is kept of prompts, thoughts and answers; where it is `None`, the audit's own setting.
    pub record: Option<Record>,
}

/// Which dialects a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Messages.
    Anthropic,
    /// Chat completions and responses.
    OpenAi,
}

/// One upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Provider")]
pub(super) struct WrittenProvider {
    /// The name in its routes: `http://gateway/NAME/v1/…`. Lower-case letters, digits, `-` and `_`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_-]{0,63}$"))]
    name: At<String>,
    /// What it speaks: `anthropic` (Messages) or `openai` (Chat Completions and Responses). The first
    /// provider of a type also serves the routes without a provider's name.
    #[serde(rename = "type")]
    kind: ProviderKind,
    /// Where its API is: `https://api.anthropic.com` for `anthropic`, `https://api.openai.com/v1` (with the
    /// version) for `openai`.
    base_url: At<String>,
    /// The organisation's key, as a reference: `${ANTHROPIC_API_KEY}` or `${file:path}`.
    api_key: Option<At<String>>,
    /// Headers added to every request. A secret value must be a reference.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    headers: WrittenHeaders,
    /// When requests to this provider get tools, where the caller's key does not say.
    inject: Option<Inject>,
    /// How clients are shown the calls that the gateway runs: `hidden`, `native`, or `auto` for what suits the
    /// client.
    render: Option<Render>,
    /// Whether each of these calls is also told of in a short line of text, for terminals that show nothing else.
    tool_lines: Option<bool>,
    /// What is kept of prompts, thoughts and answers: `none` (their size), `digest`, `redacted` or `full`. Where it is
    /// left out, what `audit.record` says.
    record: Option<Record>,
}

/// First parts of paths that the gateway itself serves.
const RESERVED: [&str; 5] = ["v1", "healthz", "readyz", "api", "mcp"];

pub(super) fn build_all(written: &[WrittenProvider], scope: &mut Scope<'_>) -> Vec<Provider> {
    names::refuse_duplicates("provider", written.iter().map(|provider| &provider.name), scope);
    written.iter().filter_map(|provider| build(provider, scope)).collect()
}

fn build(written: &WrittenProvider, scope: &mut Scope<'_>) -> Option<Provider> {
    let name = names::provider(&written.name, scope);
    if let Some(name) = name.as_deref().filter(|name| RESERVED.contains(name)) {
        scope.refuse(written.name.place, format!("`{name}` is a route of the gateway itself"));
    }
    let base_url = base_url(written, scope);
    let api_key = written.api_key.as_ref().map(|key| api_key(key, scope));
    let taken: &[_] = match (&api_key, written.kind) {
        (None, _) => &[],
        (_, ProviderKind::Anthropic) => &[("x-api-key", "`api_key`")],
        (_, ProviderKind::OpenAi) => &[("authorization", "`api_key`")],
    };
    let headers = headers::build(&written.headers, taken, scope);
    Some(Provider {
        name: name?,
        kind: written.kind,
        base_url: base_url?,
        api_key: api_key.flatten(),
        headers,
        record: written.record,
        settings: ToolSettings {
            inject: written.inject,
            render: written.render,
            tool_lines: written.tool_lines,
        },
    })
}

fn api_key(written: &At<String>, scope: &mut Scope<'_>) -> Option<SecretString> {
    use secrecy::ExposeSecret;

    let key = scope.secret(written)?;
    if key.expose_secret().is_empty() || http::HeaderValue::from_str(key.expose_secret()).is_err() {
        scope.refuse(written.place, "this key is empty, or has a character that no header can carry");
        return None;
    }
    Some(key)
}

fn base_url(written: &WrittenProvider, scope: &mut Scope<'_>) -> Option<String> {
    let url = url::build(&written.base_url, scope)?;
    if url.query().is_some() {
        scope.refuse(written.base_url.place, "a base URL has no query: the gateway appends paths to it");
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        scope.refuse_with_help(
            written.base_url.place,
            "a base URL carries no credentials",
            "use `api_key` or `headers`",
        );
        return None;
    }
    let text = url.as_str().trim_end_matches('/');
    Some(match written.kind {
        ProviderKind::Anthropic => text.strip_suffix("/v1").unwrap_or(text).to_owned(),
        ProviderKind::OpenAi => text.to_owned(),
    })
}
