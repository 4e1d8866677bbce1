//! `keys` and `auth`: who may call.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::names;
use super::problem::Problem;
use super::scope::Scope;
use super::yaml::At;
use crate::domain::{Inject, Render, ToolSettings};

/// Who may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Auth {
    /// Anyone on this machine; allowed on a loopback address only.
    None,
    /// Holders of these keys.
    Keys(Vec<Key>),
}

/// One caller's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's own name, for the records.
    pub name: String,
    /// The user or service it belongs to.
    pub user: String,
    /// That user's groups.
    pub groups: Vec<String>,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// What it says of its requests.
    pub settings: ToolSettings,
}

/// How callers prove who they are.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum WrittenAuth {
    /// Not at all: anyone on this machine may call. Only on a loopback address.
    None,
}

/// One caller's key; `toolgate keys new` makes one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Key")]
pub(super) struct WrittenKey {
    /// The key's own name, for the records and the policies.
    name: At<String>,
    /// The user or service that it belongs to.
    user: At<String>,
    /// That user's groups.
    #[serde(default)]
    groups: Vec<At<String>>,
    /// SHA-256 of the key, 64 hexadecimal digits.
    sha256: At<String>,
    /// When this key's requests get tools: `always` suits chat applications.
    inject: Option<Inject>,
    /// How clients are shown the calls that the gateway runs: `hidden`, `native`, or `auto` for what suits the
    /// client.
    render: Option<Render>,
    /// Whether each of these calls is also told of in a short line of text, for terminals that show nothing else.
    tool_lines: Option<bool>,
}

/// The name of the key of callers that have none, which policies may treat as the owner of this machine.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// Keys that everyone would try first; their hashes are computed when they are compared.
const WELL_KNOWN: [&str; 30] = [
    "",
    "\n",
    "a",
    "abc",
    "abc123",
    "admin",
    "anonymous",
    "api-key",
    "apikey",
    "changeme",
    "demo",
    "dummy",
    "example",
    "key",
    "letmein",
    "none",
    "null",
    "password",
    "secret",
    "sk-1234",
    "sk-12345",
    "sk-test",
    "sk-x",
    "test",
    "test-key",
    "tg_",
    "token",
    "toolgate",
    "1234",
    "123456",
];

/// `auth: none` or `keys`, and exactly one of them.
pub(super) fn build(
    auth: Option<&At<WrittenAuth>>,
    keys: Option<&At<Vec<WrittenKey>>>,
    listen: Option<(SocketAddr, Option<&At<String>>)>,
    scope: &mut Scope<'_>,
) -> Option<Auth> {
    match (auth, keys) {
        (None, Some(keys)) if !keys.value.is_empty() => Some(Auth::Keys(build_keys(&keys.value, scope))),
        (Some(auth), None) => {
            check_loopback(auth, listen, scope);
            Some(Auth::None)
        }
        (Some(auth), Some(keys)) => {
            let problem =
                Problem::new(scope.source, Some(auth.place), "`auth: none` beside `keys`: only one can hold");
            scope.problems.push(problem.note("the keys are at", scope.source, keys.place));
            None
        }
        (None, _) => {
            let problem = Problem::new(
                scope.source,
                keys.map(|keys| keys.place),
                "nobody may call: there are no `keys`",
            );
            scope.problems.push(problem.help(
                "make a key with `toolgate keys new`, or write `auth: none` to let in everyone on this machine",
            ));
            None
        }
    }
}

fn check_loopback(
    auth: &At<WrittenAuth>,
    listen: Option<(SocketAddr, Option<&At<String>>)>,
    scope: &mut Scope<'_>,
) {
    if let Some((address, written)) = listen
        && !address.ip().is_loopback()
    {
        scope.refuse_with_help(
            written.map_or(auth.place, |written| written.place),
            "without keys the gateway listens on a loopback address only: others could reach this one",
            "listen on `127.0.0.1:8080`, or leave out `auth: none` and give `keys` (see `toolgate keys new`)",
        );
    }
}

fn build_keys(written: &[WrittenKey], scope: &mut Scope<'_>) -> Vec<Key> {
    names::refuse_duplicates("key", written.iter().map(|key| &key.name), scope);
    let keys: Vec<Key> = written.iter().filter_map(|key| build_key(key, scope)).collect();
    refuse_same_hashes(written, scope);
    keys
}

fn build_key(written: &WrittenKey, scope: &mut Scope<'_>) -> Option<Key> {
    let name = names::free(&written.name, "a key's name", scope);
    if name.as_deref() == Some(ANONYMOUS) {
        scope.refuse(
            written.name.place,
            "`anonymous` is what callers without a key are called: take another name",
        );
    }
    let user = names::free(&written.user, "a user's name", scope);
    let groups =
        written.groups.iter().filter_map(|group| names::free(group, "a group's name", scope)).collect();
    let sha256 = scope.parsed(&written.sha256, |text| {
        decode_sha256(text).ok_or_else(|| "expected the SHA-256 of a key: 64 hexadecimal digits".into())
    })?;
    if WELL_KNOWN.iter().any(|key| Sha256::digest(key).as_slice() == sha256) {
        scope.refuse_with_help(
            written.sha256.place,
            "this is the hash of a key that everyone would try first",
            "make a random one with `toolgate keys new`",
        );
        return None;
    }
    let settings =
        ToolSettings { inject: written.inject, render: written.render, tool_lines: written.tool_lines };
    Some(Key { name: name?, user: user?, groups, sha256, settings })
}

fn refuse_same_hashes(written: &[WrittenKey], scope: &mut Scope<'_>) {
    for (index, key) in written.iter().enumerate() {
        let same = |other: &&WrittenKey| other.sha256.value.eq_ignore_ascii_case(&key.sha256.value);
        if let Some(first) = written[..index].iter().find(same) {
            let what = "two keys have the same hash: whose requests would these be?";
            let problem = Problem::new(scope.source, Some(key.sha256.place), what);
            scope.problems.push(problem.note("the first one is at", scope.source, first.sha256.place));
        }
    }
}

fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    if digits.len() == 64 { bytes.try_into().ok() } else { None }
}
