//! `mcp-servers/*.yaml`: the approved MCP servers, one a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::audit::ServerRecord;
use super::credentials::{self, Credentials, WrittenCredentials};
use super::headers::{self, WrittenHeaders};
use super::limits::{self, DurationSchema};
use super::record::{self, WrittenRecord};
use super::scope::Scope;
use super::secret;
use super::yaml::At;
use super::{Pattern, names, url};
use crate::domain::Repeat;

/// One approved MCP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The administrator's name, which prefixes the tools' names.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Its command and arguments as they stand in the file, references unresolved: by these `tools.lock` knows it on
    /// every machine and with every secret. Empty for `http`.
    pub written_command: Vec<String>,
    /// What its references stand for: values that neither the log nor a status may repeat.
    pub confidential: Vec<SecretString>,
    /// What is kept of arguments and results.
    pub record: ServerRecord,
    /// Which of its tools are approved: all of them, where empty.
    pub allow: Vec<Pattern>,
    /// Which are not, whatever `allow` says.
    pub deny: Vec<Pattern>,
    /// Which of its tools change nothing.
    pub read_only: Vec<Pattern>,
    /// Free words about the server, for its administrators; nothing is decided by them yet.
    pub labels: Vec<String>,
    /// What becomes of its calls when their request comes again.
    pub repeat: Repeat,
    /// How long one call may take without any progress.
    pub call_timeout: Duration,
    /// How long one call may take in all.
    pub max_call_time: Duration,
    /// How long connecting and listing may take.
    pub connect_timeout: Duration,
    /// Whether the gateway counts as ready only when this server is.
    pub required: bool,
    /// Who shares a connection.
    pub sharing: Sharing,
    /// How many connections there may be that are not shared.
    pub pool: PoolLimits,
    /// How the gateway proves to the server whose request it is, besides the transport's headers.
    pub credentials: Credentials,
    /// What becomes of an approved tool whose definition changes.
    pub on_drift: OnDrift,
    /// Whether its tools are listed to models, or found by search.
    pub expose: Expose,
    /// How often its tools are listed again without being told to.
    pub relist: Duration,
    /// How often it is asked whether it still answers.
    pub probe: Duration,
}

impl Server {
    /// A server of which nothing else is said.
    pub fn new(name: impl Into<String>, transport: Transport) -> Self {
        let written_command = match &transport {
            Transport::Stdio { command, args, .. } => [command].into_iter().chain(args).cloned().collect(),
            Transport::Http { .. } => Vec::new(),
        };
        Self {
            name: name.into(),
            transport,
            written_command,
            confidential: Vec::new(),
            record: ServerRecord::default(),
            allow: Vec::new(),
            deny: Vec::new(),
            read_only: Vec::new(),
            labels: Vec::new(),
            repeat: Repeat::default(),
            call_timeout: CALL,
            max_call_time: TOTAL,
            connect_timeout: CONNECT,
            required: false,
            sharing: Sharing::default(),
            pool: PoolLimits::default(),
            credentials: Credentials::default(),
            on_drift: OnDrift::default(),
            expose: Expose::default(),
            relist: RELIST,
            probe: PROBE,
        }
    }
}

/// Who shares a connection to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Sharing {
    /// Everyone: for servers that keep nothing about who calls.
    #[default]
    Shared,
    /// Each caller has a connection of its own.
    PerCaller,
    /// Each conversation of a caller has one.
    PerConversation,
}

/// How many connections there may be that are not shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolLimits {
    /// How long an unused one is kept.
    pub idle: Duration,
    /// How many there may be at once.
    pub max: usize,
}

impl Default for PoolLimits {
    fn default() -> Self {
        Self { idle: Duration::from_mins(10), max: 100 }
    }
}

/// What becomes of an approved tool whose definition changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum OnDrift {
    /// It is neither shown nor called until it is approved again.
    #[default]
    Quarantine,
    /// The approved definition goes on being shown and called.
    KeepApproved,
}

/// Whether a server's tools are listed to models, or found by search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Expose {
    /// Listed as long as all such tools fit, else found by search.
    #[default]
    Auto,
    /// Always listed.
    Always,
    /// Always found by search.
    Search,
}

/// How a server is reached.
#[derive(Debug, Clone)]
pub enum Transport {
    /// A child process that speaks MCP on its standard input and output.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Its environment besides PATH, HOME and the like; values may be secret.
        env: BTreeMap<String, SecretString>,
        /// Its working folder.
        cwd: Option<PathBuf>,
    },
    /// Streamable HTTP.
    Http {
        /// The endpoint.
        url: String,
        /// Headers of every request, names in lower case; values may be secret.
        headers: BTreeMap<String, SecretString>,
    },
}

/// One approved MCP server of Toolgate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Toolgate: one MCP server")]
pub(super) struct WrittenServer {
    /// The server's name, which prefixes the names of its tools. Lower-case letters, digits and `-`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9-]{0,31}$"))]
    pub(super) name: At<String>,
    /// How it is reached: `stdio` (a child process) or `http` (streamable HTTP).
    transport: WrittenTransport,
    /// stdio: the program; with a `/` in it, relative to this file.
    command: Option<At<String>>,
    /// stdio: its arguments.
    args: Option<At<Vec<At<String>>>>,
    /// stdio: its environment. A secret value must be a reference.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    env: Option<At<BTreeMap<String, At<String>>>>,
    /// stdio: its working folder, relative to this file.
    cwd: Option<At<String>>,
    /// http: the endpoint.
    url: Option<At<String>>,
    /// http: headers of every request. A secret value must be a reference.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    headers: Option<At<WrittenHeaders>>,
    /// Which of its tools are approved, and which change nothing.
    #[serde(default)]
    tools: WrittenTools,
    /// Free words about the server, for its administrators; nothing is decided by them yet.
    #[serde(default)]
    labels: Vec<At<String>>,
    /// What becomes of a call that ran, or still runs, when the same request comes again after a cut: `join` uses
    /// its result again (the default), `rerun` runs it again.
    #[serde(default)]
    repeat: Repeat,
    /// What is kept of arguments and results: `none` (their size), `digest`, `redacted` or `full`, for all its tools
    /// or by tool. Where it is left out, what the gateway's `audit.record` says.
    record: Option<At<WrittenRecord>>,
    /// How long it may take.
    #[serde(default)]
    timeouts: WrittenTimeouts,
    /// Whether the gateway counts as ready only when this server is; `false` by default.
    #[serde(default)]
    required: bool,
    /// Who shares a connection: `shared` (everyone, the default), `per-caller`, `per-conversation`.
    /// Credentials that are the callers' own are never shared.
    sharing: Option<At<Sharing>>,
    /// How many connections there may be where they are not shared.
    #[serde(default)]
    pool: WrittenPool,
    /// How the gateway proves to the server whose request it is, besides `headers`.
    credentials: Option<WrittenCredentials>,
    /// What becomes of an approved tool whose definition changes: `quarantine` (the default) or `keep-approved`.
    #[serde(default)]
    on_drift: OnDrift,
    /// Whether its tools are listed to models (`always`), found by search (`search`), or the one as long as all
    /// fit and else the other (`auto`, the default).
    #[serde(default)]
    expose: Expose,
    /// How often its tools are listed again without being told to; 5m by default.
    #[schemars(with = "Option<DurationSchema>")]
    relist: Option<At<String>>,
    /// How often it is asked whether it still answers; 30s by default.
    #[schemars(with = "Option<DurationSchema>")]
    probe: Option<At<String>>,
}

/// How many connections there may be where they are not shared.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct WrittenPool {
    /// How long an unused one is kept; 10m by default.
    #[schemars(with = "Option<DurationSchema>")]
    idle: Option<At<String>>,
    /// How many there may be at once; 100 by default.
    #[schemars(range(min = 1))]
    max: Option<At<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum WrittenTransport {
    /// A child process that speaks MCP on its standard input and output.
    Stdio,
    /// Streamable HTTP.
    Http,
}

/// Patterns over the tools' own names: globs, or regular expressions between slashes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct WrittenTools {
    /// Which tools are approved: all of them, where this is left out.
    allow: Vec<At<String>>,
    /// Which are not, whatever `allow` says.
    deny: Vec<At<String>>,
    /// Which change nothing, so that a call may be cancelled half-way.
    read_only: Vec<At<String>>,
}

/// How long the server may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
struct WrittenTimeouts {
    /// One call without any progress; 60s by default.
    #[schemars(with = "Option<DurationSchema>")]
    call: Option<At<String>>,
    /// One call in all; 300s by default.
    #[schemars(with = "Option<DurationSchema>")]
    total: Option<At<String>>,
    /// Connecting and listing the tools; 30s by default.
    #[schemars(with = "Option<DurationSchema>")]
    connect: Option<At<String>>,
}

const CALL: Duration = Duration::from_mins(1);
const TOTAL: Duration = Duration::from_mins(5);
const CONNECT: Duration = Duration::from_secs(30);
const RELIST: Duration = Duration::from_mins(5);
const PROBE: Duration = Duration::from_secs(30);

/// Headers that MCP's streamable HTTP transport sets.
const TRANSPORT_HEADERS: [(&str, &str); 4] = [
    ("accept", "MCP's transport"),
    ("last-event-id", "MCP's transport"),
    ("mcp-protocol-version", "MCP's transport"),
    ("mcp-session-id", "MCP's transport"),
];

pub(super) fn build(written: &WrittenServer, scope: &mut Scope<'_>) -> Option<Server> {
    let name = names::server(&written.name, scope);
    refuse_foreign_fields(written, scope);
    let transport = match written.transport {
        WrittenTransport::Stdio => build_stdio(written, scope),
        WrittenTransport::Http => build_http(written, scope),
    };
    let tools = &written.tools;
    let [allow, deny, read_only] =
        [&tools.allow, &tools.deny, &tools.read_only].map(|written| patterns(written, scope));
    let labels = written.labels.iter().filter_map(|label| names::free(label, "a label", scope)).collect();
    let timeouts = &written.timeouts;
    let [call, total, connect] =
        [(&timeouts.call, CALL), (&timeouts.total, TOTAL), (&timeouts.connect, CONNECT)]
            .map(|(written, default)| limits::duration(written.as_ref(), scope).unwrap_or(default));
    let pool = PoolLimits {
        idle: limits::duration(written.pool.idle.as_ref(), scope).unwrap_or(PoolLimits::default().idle),
        max: limits::count(written.pool.max.as_ref(), scope).unwrap_or(PoolLimits::default().max),
    };
    let [relist, probe] = [(&written.relist, RELIST), (&written.probe, PROBE)]
        .map(|(written, default)| limits::duration(written.as_ref(), scope).unwrap_or(default));
    let credentials = match &written.credentials {
        Some(credentials) => build_credentials(credentials, written, scope),
        None => Some(Credentials::None),
    };
    let sharing = sharing(written, credentials.as_ref(), scope);
    Some(Server {
        name: name?,
        transport: transport?,
        written_command: written_command(written),
        confidential: confidential(written, scope),
        record: record::build(written.record.as_ref(), scope),
        allow,
        deny,
        read_only,
        labels,
        repeat: written.repeat,
        call_timeout: call.min(total),
        max_call_time: total,
        connect_timeout: connect,
        required: written.required,
        sharing,
        pool,
        credentials: credentials?,
        on_drift: written.on_drift,
        expose: written.expose,
        relist,
        probe,
    })
}

/// One request has one credential, and only HTTP has a place for it.
fn build_credentials(
    credentials: &WrittenCredentials,
    written: &WrittenServer,
    scope: &mut Scope<'_>,
) -> Option<Credentials> {
    let built = credentials::build(credentials, scope)?;
    if written.transport == WrittenTransport::Stdio {
        scope.refuse_with_help(
            credentials.place(),
            "`credentials` belong to `transport: http`",
            "a child process gets its secrets in `env`",
        );
    }
    for (name, value) in written.headers.iter().flat_map(|headers| &headers.value) {
        if built.sent_in().is_some_and(|sent_in| name.eq_ignore_ascii_case(sent_in)) {
            let place = scope.key_place(name, value.place);
            scope.refuse(place, format!("`{name}` is what the `credentials` are sent in"));
        }
    }
    Some(built)
}

fn sharing(written: &WrittenServer, credentials: Option<&Credentials>, scope: &mut Scope<'_>) -> Sharing {
    let are_the_callers_own = credentials.is_some_and(Credentials::are_the_callers_own);
    match &written.sharing {
        Some(At { value: Sharing::Shared, place }) if are_the_callers_own => {
            scope.refuse_with_help(
                *place,
                "credentials that are the callers' own cannot be shared",
                "write `per-caller` or `per-conversation`",
            );
            Sharing::PerCaller
        }
        Some(sharing) => sharing.value,
        None if are_the_callers_own => Sharing::PerCaller,
        None => Sharing::Shared,
    }
}

fn written_command(written: &WrittenServer) -> Vec<String> {
    let args = written.args.iter().flat_map(|args| &args.value);
    written.command.iter().chain(args).map(|word| word.value.clone()).collect()
}

fn confidential(written: &WrittenServer, scope: &Scope<'_>) -> Vec<SecretString> {
    let args = written.args.iter().flat_map(|args| &args.value);
    let env = written.env.iter().flat_map(|env| env.value.values());
    let headers = written.headers.iter().flat_map(|headers| headers.value.values());
    let texts = written.command.iter().chain(&written.url).chain(args).chain(env).chain(headers);
    texts.flat_map(|text| scope.references.values(&text.value)).map(SecretString::from).collect()
}

/// A field of the other transport is a sign that something else was meant.
fn refuse_foreign_fields(written: &WrittenServer, scope: &mut Scope<'_>) {
    let (other, foreign) = match written.transport {
        WrittenTransport::Stdio => (
            "http",
            vec![
                ("url", written.url.as_ref().map(|at| at.place)),
                ("headers", written.headers.as_ref().map(|at| at.place)),
            ],
        ),
        WrittenTransport::Http => (
            "stdio",
            vec![
                ("command", written.command.as_ref().map(|at| at.place)),
                ("args", written.args.as_ref().map(|at| at.place)),
                ("env", written.env.as_ref().map(|at| at.place)),
                ("cwd", written.cwd.as_ref().map(|at| at.place)),
            ],
        ),
    };
    for (field, place) in foreign {
        if let Some(place) = place {
            let place = scope.key_place(field, place);
            scope.refuse(
                place,
                format!("`{field}` belongs to `transport: {other}`, and this server has another"),
            );
        }
    }
}

fn build_stdio(written: &WrittenServer, scope: &mut Scope<'_>) -> Option<Transport> {
    let Some(command) = &written.command else {
        scope.refuse(written.name.place, "a `stdio` server needs a `command`");
        return None;
    };
    let command = scope.parsed(command, |text| {
        if text.trim().is_empty() {
            Err("an empty command starts nothing".into())
        } else {
            Ok(text.to_owned())
        }
    });
    let args =
        written.args.iter().flat_map(|args| &args.value).filter_map(|arg| argument(arg, scope)).collect();
    let env = environment(written, scope);
    let cwd = written.cwd.as_ref().and_then(|cwd| scope.path(cwd));
    let command = command?;
    // A bare name is looked up in PATH; a path must not depend on where the gateway was started.
    let command = match Path::new(&command) {
        path if command.contains('/') => scope.resolve_path(path).to_string_lossy().into_owned(),
        _ => command,
    };
    Some(Transport::Stdio { command, args, env, cwd })
}

/// `--token=literal` would show the secret to everyone who lists the processes, and to readers of the file.
fn argument(written: &At<String>, scope: &mut Scope<'_>) -> Option<String> {
    let literal = written.value.split_once('=').is_some_and(|(name, value)| {
        name.starts_with('-') && secret::is_secret_name(name) && !value.contains("${")
    });
    if literal {
        scope.refuse_literal(written.place, "a secret must not stand in the file");
        return None;
    }
    scope.text(written)
}

fn environment(written: &WrittenServer, scope: &mut Scope<'_>) -> BTreeMap<String, SecretString> {
    let mut env = BTreeMap::new();
    for (name, value) in written.env.iter().flat_map(|env| &env.value) {
        if name.is_empty() || name.contains(['=', '\0']) {
            let place = scope.key_place(name, value.place);
            scope.refuse(place, "this is not a variable's name");
        } else if let Some(value) = scope.named_value(name, value) {
            env.insert(name.clone(), value);
        }
    }
    env
}

fn build_http(written: &WrittenServer, scope: &mut Scope<'_>) -> Option<Transport> {
    let Some(written_url) = &written.url else {
        scope.refuse(written.name.place, "an `http` server needs a `url`");
        return None;
    };
    let url = url::build(written_url, scope);
    let headers = match &written.headers {
        Some(headers) => headers::build(&headers.value, &TRANSPORT_HEADERS, scope),
        None => BTreeMap::new(),
    };
    Some(Transport::Http { url: url?.into(), headers })
}

fn patterns(written: &[At<String>], scope: &mut Scope<'_>) -> Vec<Pattern> {
    written.iter().filter_map(|pattern| scope.parsed(pattern, Pattern::parse)).collect()
}
