//! What the administrator writes: `toolgate.yaml`, `mcp-servers/*.yaml` and `policies/*.yaml`.
//!
//! [`load`] reads the files, resolves `${…}` and checks everything once; after that the rest of the house
//! works with the plain values below. This is the only room that reads environment variables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::domain::Inject;

/// The whole configuration, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// Where the records go.
    pub store: Store,
    /// Who may call.
    pub auth: Auth,
    /// The upstreams, in the file's order: the first of a type is the default of its dialects.
    pub providers: Vec<Provider>,
    /// When tools are injected, where neither key nor provider says otherwise.
    pub inject: Inject,
    /// Which hosted tools callers may bring.
    pub hosted_tools: HostedTools,
    /// The caps on everything.
    pub limits: Limits,
    /// The approved MCP servers, sorted by name.
    pub servers: Vec<Server>,
    /// How a tool's name is made, with `{server}` and `{tool}`; `{server}__{tool}` by default.
    pub tool_name: String,
    /// The policy files' paths and texts; empty where there is no policies folder, and then the shipped
    /// default policy applies.
    pub policies: Vec<PolicySource>,
}

/// One policy file, as text: the policy room parses it.
#[derive(Debug, Clone)]
pub struct PolicySource {
    /// For messages.
    pub path: PathBuf,
    /// YAML.
    pub text: String,
}

/// Where the records go and what is promised of them.
#[derive(Debug, Clone)]
pub struct Store {
    /// The SQLite file.
    pub path: PathBuf,
    /// What a committed record survives.
    pub durability: Durability,
}

/// What a committed record survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A killed gateway (WAL with `synchronous=NORMAL`).
    #[default]
    Process,
    /// A power cut (WAL with `synchronous=FULL`).
    Power,
}

/// Who may call.
#[derive(Debug, Clone)]
pub enum Auth {
    /// Anyone on this machine; allowed on a loopback address only.
    None,
    /// Holders of these keys.
    Keys(Vec<Key>),
}

/// One caller's key.
#[derive(Debug, Clone)]
pub struct Key {
    /// The key's own name, for the records.
    pub name: String,
    /// The user or service it belongs to.
    pub user: String,
    /// That user's groups.
    pub groups: Vec<String>,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// When this key's requests get tools.
    pub inject: Option<Inject>,
}

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
    /// Headers added to every request, values may be secret.
    pub headers: BTreeMap<String, SecretString>,
    /// When requests to this provider get tools.
    pub inject: Option<Inject>,
}

/// Which dialects a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderKind {
    /// Messages.
    Anthropic,
    /// Chat completions and responses.
    OpenAi,
}

/// What callers may bring of tools that the provider itself runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HostedTools {
    /// Let callers name MCP servers of their own (`mcp_servers`, `mcp` tools): `false` by default.
    pub caller_mcp_servers: bool,
}

/// The caps on everything.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Request body, bytes.
    pub max_body_bytes: usize,
    /// One frame of a provider's stream, bytes.
    pub max_frame_bytes: usize,
    /// A provider's whole answer, bytes.
    pub max_answer_bytes: usize,
    /// Rounds with executed tools in one interception.
    pub max_rounds: u32,
    /// Executed tool calls in one interception.
    pub max_calls: u32,
    /// One tool result as the model gets it, bytes.
    pub max_result_bytes: usize,
    /// One interception with a streamed answer, from its first byte.
    pub wall_clock_streamed: Duration,
    /// One interception with a whole answer: Node clients give up after 300 s.
    pub wall_clock_whole: Duration,
    /// How long a provider may take to its first header or between two pieces of its answer.
    pub provider_silence: Duration,
    /// After how much silence a stream gets a keep-alive.
    pub keep_alive: Duration,
    /// How long running interceptions have to finish at shutdown.
    pub drain: Duration,
    /// Interceptions at once; more are refused with 503.
    pub max_interceptions: usize,
}

/// One approved MCP server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The administrator's name, which prefixes the tools' names.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Which of its tools are approved: all of them, where empty.
    pub allow: Vec<Pattern>,
    /// Which are not, whatever `allow` says.
    pub deny: Vec<Pattern>,
    /// Which of its tools change nothing.
    pub read_only: Vec<Pattern>,
    /// Free words that policies may refer to.
    pub labels: Vec<String>,
    /// How long one call may take without any progress.
    pub call_timeout: Duration,
    /// How long one call may take in all.
    pub max_call_time: Duration,
    /// How long connecting and listing may take.
    pub connect_timeout: Duration,
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
        /// Headers of every request; values may be secret.
        headers: BTreeMap<String, SecretString>,
    },
}

/// A glob, or a regular expression between slashes, over a whole tool name.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub text: String,
    regex: regex::Regex,
}
