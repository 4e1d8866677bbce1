//! `audit`: what is kept of what passes through, for how long, where else it goes, and what happens when it cannot be
//! written.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::Pattern;

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
    /// To whom they are told as CloudEvents.
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

/// To whom records are told as CloudEvents.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where they are posted.
    pub url: Url,
    /// Signs each delivery (HMAC-SHA256), where it is given.
    pub secret: Option<SecretString>,
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
