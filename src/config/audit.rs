//! `audit`: what is kept of what passes through, for how long, where else it goes, and what happens when it cannot be
//! written.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use serde::Deserialize;

use super::continuity::{LONGEST, SHORTEST};
use super::limits::{self, DurationSchema};
use super::scope::Scope;
use super::signing_key::signing_key;
use super::yaml::At;
use super::{Pattern, environment, units, url};

/// How the audit works.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The name of this gateway among those that share a store; the host's name by default.
    pub instance: String,
    /// How long the others wait for a sign of life before they close what this gateway left open; 15 s by default.
    pub lease: Duration,
    /// What is kept of prompts, thoughts and answers where no provider says otherwise, and of arguments and results
    /// where no server does.
    pub record: Record,
    /// What happens to texts for which there is no room.
    pub on_full: OnFull,
    /// What happens while the store cannot be written.
    pub on_unavailable: OnUnavailable,
    /// Where `spool` writes meanwhile; `{store file}.spool`, or `toolgate.spool` beside the configuration.
    pub spool: PathBuf,
    /// The file that calls wait for instead of PostgreSQL; an embedded store has its own.
    pub write_ahead: Option<PathBuf>,
    /// How long records are kept.
    pub retention: Retention,
    /// How often the heads of all chains are signed, if there is anything new; 5 minutes by default.
    pub checkpoint_every: Duration,
    /// The file to which checkpoints are appended; they are logged in any case.
    pub checkpoint_file: Option<PathBuf>,
    /// Ed25519, PKCS#8 in PEM or the seed in base64; where none is given, one is made in a file beside the store.
    pub signing_key: Option<SecretString>,
    /// Where the records go as structured log lines.
    pub log: Option<AuditLog>,
    /// To whom they are told as `CloudEvents`.
    pub webhooks: Vec<Webhook>,
}

/// What is kept of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Record {
    /// Its size alone.
    None,
    /// Its size and its digest under its person's key.
    Digest,
    /// Its text without personal data and secrets.
    Redacted,
    /// Its text.
    #[default]
    Full,
}

/// What is kept of the arguments and results of one server's tools.
#[derive(Debug, Clone, Default)]
pub struct ServerRecord {
    /// Of all that no pattern fits; the audit's own setting where it is `None`.
    pub default: Option<Record>,
    /// Of tools by their names as the server lists them; the first pattern that fits counts.
    pub tools: Vec<(Pattern, Record)>,
}

/// What happens to texts for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// Rounds wait until there is.
    #[default]
    Block,
    /// Their sizes alone are kept, and counted.
    Drop,
}

/// What happens while the store cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnUnavailable {
    /// New interceptions get a 503; those under way end in order.
    #[default]
    Refuse,
    /// Records go into a file, and from there into the store when it is back.
    Spool,
}

/// How long records are kept; `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Rows.
    pub metadata: Option<Duration>,
    /// Texts.
    pub content: Option<Duration>,
    /// Who it was.
    pub identity: Option<Duration>,
}

/// Where the records go as structured log lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLog {
    /// The file; standard output where it is `None`.
    pub file: Option<PathBuf>,
    /// The most that they say of texts.
    pub content: Record,
}

/// To whom records are told as `CloudEvents`.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where they are posted.
    pub url: Url,
    /// Signs each delivery (HMAC-SHA256), where it is given.
    pub key: Option<SecretSlice<u8>>,
    /// Which record types; all where it is empty.
    pub records: Vec<String>,
    /// The most that they say of texts.
    pub content: Record,
}

/// Sixty days.
const KEPT: Duration = Duration::from_hours(60 * 24);

impl Default for Retention {
    fn default() -> Self {
        Self { metadata: Some(KEPT), content: Some(KEPT), identity: Some(KEPT) }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            instance: "toolgate".into(),
            lease: Duration::from_secs(15),
            record: Record::default(),
            on_full: OnFull::default(),
            on_unavailable: OnUnavailable::default(),
            spool: PathBuf::from("toolgate.spool"),
            write_ahead: None,
            retention: Retention::default(),
            checkpoint_every: Duration::from_mins(5),
            checkpoint_file: None,
            signing_key: None,
            log: None,
            webhooks: Vec::new(),
        }
    }
}

impl ServerRecord {
    /// What is kept of the texts of this tool.
    pub fn of(&self, tool: &str) -> Option<Record> {
        let fits = self.tools.iter().find(|(pattern, _)| pattern.matches(tool));
        fits.map(|(_, record)| *record).or(self.default)
    }
}

/// What is kept of what passes through, for how long, where else it goes, and what happens when it cannot be written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Audit")]
pub(super) struct WrittenAudit {
    /// The name of this gateway among those that share a store; the host's name by default.
    instance: Option<At<String>>,
    /// How long the others wait for a sign of life before they close what this gateway left open; 15s by default.
    #[schemars(with = "Option<DurationSchema>")]
    lease: Option<At<String>>,
    /// What is kept of prompts, thoughts, answers, arguments and results, where no provider, server or tool says
    /// otherwise: `none` (sizes alone), `digest`, `redacted` (without personal data and secrets) or `full`, the default.
    record: Option<Record>,
    /// What happens to texts while the queue to the store is full: `block` (rounds wait, the default) or `drop` (their
    /// sizes alone are kept, and counted).
    on_full: Option<OnFull>,
    /// What happens while the store cannot be written: `refuse` (new requests get a 503, the default) or `spool`
    /// (records go into a file, and from there into the store when it is back).
    on_unavailable: Option<OnUnavailable>,
    /// The file of `spool`; `toolgate.spool` beside this file by default, or the database's own name and `.spool`.
    spool: Option<At<String>>,
    /// A file that calls wait for instead of PostgreSQL with `durability: process`, on a disk that outlives this
    /// gateway; none by default. SQLite has its own.
    write_ahead: Option<At<String>>,
    /// How long records are kept.
    retention: WrittenRetention,
    /// The signed heads of all chains.
    checkpoints: WrittenCheckpoints,
    /// What signs checkpoints, as a reference: an Ed25519 key, PKCS#8 in PEM or the seed in base64. Where none is given,
    /// one is made in a file beside the store.
    signing_key: Option<At<String>>,
    /// Where the records go as structured log lines; nowhere by default.
    log: Option<WrittenAuditLog>,
    /// To whom the records are posted as `CloudEvents`.
    webhooks: Vec<WrittenWebhook>,
}

/// How long records are kept, each 1h to 3650d, or `0` for ever; 60d by default.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Retention")]
struct WrittenRetention {
    /// The records themselves. What they refer to is kept no longer than they are.
    #[schemars(with = "Option<KeptSchema>")]
    metadata: Option<At<String>>,
    /// Prompts, thoughts, answers, arguments and results, after their last use.
    #[schemars(with = "Option<KeptSchema>")]
    content: Option<At<String>>,
    /// Who it was.
    #[schemars(with = "Option<KeptSchema>")]
    identity: Option<At<String>>,
}

/// How long something is kept: a duration, or 0 for ever.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum KeptSchema {
    Ever(#[schemars(range(min = 0, max = 0))] u8),
    For(DurationSchema),
}

/// The signed heads of all chains, which prove later that nothing was taken away.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "Checkpoints")]
struct WrittenCheckpoints {
    /// How often they are made, if there is anything new; 5m by default.
    #[schemars(with = "Option<DurationSchema>")]
    every: Option<At<String>>,
    /// A file to which they are appended, best on another machine; they are logged in any case.
    file: Option<At<String>>,
}

/// Where the records go as structured log lines.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AuditLog")]
struct WrittenAuditLog {
    /// `stdout`, or a file to which they are appended.
    to: At<String>,
    /// The most that they say of texts: `none` (the default), `digest`, `redacted` or `full`.
    content: Option<Record>,
}

/// To whom records are posted as `CloudEvents`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Webhook")]
struct WrittenWebhook {
    /// Where they are posted.
    url: At<String>,
    /// Signs each delivery (HMAC-SHA256), as a reference: base64 behind `whsec_`, or any other text.
    secret: Option<At<String>>,
    /// Which records: `interception_start`, `interception_end`, `prompt_usage`, `token_usage`, `model_thought`,
    /// `tool_usage`, `tool_outcome`, `audit_event`, `audit_checkpoint`; all by default.
    #[serde(default)]
    records: Vec<At<String>>,
    /// The most that they say of texts: `none` (the default), `digest`, `redacted` or `full`.
    content: Option<Record>,
}

/// What webhooks can ask for.
const RECORDS: [&str; 9] = [
    "interception_start",
    "interception_end",
    "prompt_usage",
    "token_usage",
    "model_thought",
    "tool_usage",
    "tool_outcome",
    "audit_event",
    "audit_checkpoint",
];

/// How a webhook's secret begins that is written in base64.
const ENCODED_KEY: &str = "whsec_";

/// The chain of the commands, which no gateway may use.
const RESERVED_INSTANCE: &str = "cli";

/// The longest name of a gateway, characters.
const LONGEST_INSTANCE: usize = 100;

/// With the file of the store, where it has one.
pub(super) fn build(written: &WrittenAudit, store: Option<&Path>, scope: &mut Scope<'_>) -> Audit {
    let default = Audit::default();
    let instance = match &written.instance {
        Some(name) => scope.parsed(name, instance),
        None => environment::host_name().and_then(|name| instance(&name).ok()),
    };
    let spool = match (&written.spool, store) {
        (Some(path), _) => scope.path(path),
        (None, Some(store)) => Some(with_suffix(store, ".spool")),
        (None, None) => Some(scope.resolve_path(&default.spool)),
    };
    let write_ahead = match (&written.write_ahead, store) {
        (Some(path), Some(_)) => {
            let what = "a database in a file has its write-ahead file beside it";
            scope.refuse_with_help(path.place, what, "take this out; it is for PostgreSQL");
            None
        }
        (Some(path), None) => {
            let file = scope.path(path);
            if file.is_some() && file == spool {
                scope.refuse(path.place, "this is the file of the spool (`audit.spool`)");
            }
            file
        }
        (None, _) => None,
    };
    let every = limits::duration(written.checkpoints.every.as_ref(), scope);
    Audit {
        instance: instance.unwrap_or(default.instance),
        lease: limits::duration(written.lease.as_ref(), scope).unwrap_or(default.lease),
        record: written.record.unwrap_or_default(),
        on_full: written.on_full.unwrap_or_default(),
        on_unavailable: written.on_unavailable.unwrap_or_default(),
        spool: spool.unwrap_or(default.spool),
        write_ahead,
        retention: retention(&written.retention, scope),
        checkpoint_every: every.unwrap_or(default.checkpoint_every),
        checkpoint_file: written.checkpoints.file.as_ref().and_then(|path| scope.path(path)),
        signing_key: written.signing_key.as_ref().and_then(|key| secret_key(key, scope)),
        log: written.log.as_ref().and_then(|log| audit_log(log, scope)),
        webhooks: written.webhooks.iter().filter_map(|webhook| self::webhook(webhook, scope)).collect(),
    }
}

fn instance(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name == RESERVED_INSTANCE {
        return Err(format!("`{name}` is the name under which commands write to the audit"));
    }
    let fits =
        !name.is_empty() && name.chars().count() <= LONGEST_INSTANCE && !name.chars().any(char::is_control);
    if fits {
        Ok(name.to_owned())
    } else {
        Err(format!("expected a name of 1 to {LONGEST_INSTANCE} characters"))
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What a row refers to is not kept longer than the row.
fn retention(written: &WrittenRetention, scope: &mut Scope<'_>) -> Retention {
    let default = Retention::default();
    let mut kept = |written: &Option<At<String>>, default: Option<Duration>| match written {
        Some(written) => scope.parsed(written, time_kept).unwrap_or(default),
        None => default,
    };
    let metadata = kept(&written.metadata, default.metadata);
    let no_longer =
        |kept: Option<Duration>| metadata.map_or(kept, |most| Some(kept.map_or(most, |kept| kept.min(most))));
    let content = no_longer(kept(&written.content, default.content));
    let identity = no_longer(kept(&written.identity, default.identity));
    Retention { metadata, content, identity }
}

fn time_kept(text: &str) -> Result<Option<Duration>, String> {
    if text.trim() == "0" {
        return Ok(None);
    }
    let duration = units::duration(text)?;
    let fits = (SHORTEST..=LONGEST).contains(&duration);
    if fits { Ok(Some(duration)) } else { Err("expected 1h to 3650d, or 0 for ever".into()) }
}

fn secret_key(written: &At<String>, scope: &mut Scope<'_>) -> Option<SecretString> {
    let secret = scope.secret(written)?;
    match signing_key(secret.expose_secret()) {
        Ok(_) => Some(secret),
        Err(what) => {
            let help =
                "make one with `openssl genpkey -algorithm ed25519`, and refer to its file: `${file:…}`";
            scope.refuse_with_help(written.place, what, help);
            None
        }
    }
}

fn audit_log(written: &WrittenAuditLog, scope: &mut Scope<'_>) -> Option<AuditLog> {
    let file = if written.to.value == "stdout" { None } else { Some(scope.path(&written.to)?) };
    Some(AuditLog { file, content: written.content.unwrap_or(Record::None) })
}

fn webhook(written: &WrittenWebhook, scope: &mut Scope<'_>) -> Option<Webhook> {
    let url = url::build(&written.url, scope);
    let key = match &written.secret {
        Some(secret) => Some(webhook_key(secret, scope)?),
        None => None,
    };
    let records = written.records.iter().map(|name| scope.parsed(name, record_type)).collect::<Option<_>>();
    Some(Webhook { url: url?, key, records: records?, content: written.content.unwrap_or(Record::None) })
}

/// The bytes that sign, as the libraries of Standard Webhooks read a secret.
fn webhook_key(written: &At<String>, scope: &mut Scope<'_>) -> Option<SecretSlice<u8>> {
    let secret = scope.secret(written)?;
    let text = secret.expose_secret().trim();
    let key = match text.strip_prefix(ENCODED_KEY) {
        Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
        None => text.as_bytes().to_vec(),
    };
    if key.is_empty() {
        let what = format!("expected a secret: base64 behind `{ENCODED_KEY}`, or any other text");
        let help = "make one with `echo whsec_$(openssl rand -base64 32)`, and give it to the receiver too";
        scope.refuse_with_help(written.place, what, help);
        return None;
    }
    Some(key.into())
}

fn record_type(name: &str) -> Result<String, String> {
    let known = RECORDS.contains(&name);
    if known { Ok(name.to_owned()) } else { Err(format!("expected one of `{}`", RECORDS.join("`, `"))) }
}
