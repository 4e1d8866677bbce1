//! How a server is doing, for readiness, `check`, the log and the administrator.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::approve::{LeftOut, Quarantined};
use super::connect::Era;

/// How one server is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ServerStatus {
    /// The administrator's name of the server.
    pub name: String,
    /// Its URL without credentials, or `stdio:` and its command.
    pub url: String,
    /// Whether the gateway counts as ready only when this server is.
    pub required: bool,
    /// Whether calls reach it now.
    pub state: ServerState,
    /// Since when it is in this state.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub since: Timestamp,
    /// How its protocol begins, once known.
    pub era: Option<Era>,
    /// The protocol version of the last connection, such as `2025-11-25`.
    pub protocol: Option<String>,
    /// Its approved tools by its own names, in its own order, as of the last list.
    pub approved: Vec<String>,
    /// The tools of the last list that are not approved or cannot be.
    pub left_out: Vec<LeftOut>,
    /// The tools of the last list that an administrator has to approve first, or has rejected.
    pub quarantined: Vec<Quarantined>,
    /// What is odd about the list or an approved tool.
    pub warnings: Vec<String>,
    /// What went wrong last; stays when the server has recovered.
    pub last_failure: Option<ServerFailure>,
    /// When the next attempt to connect is made, where one is awaited.
    #[schemars(with = "Option<String>")]
    pub next_attempt: Option<Timestamp>,
    /// The last lines that its process wrote to standard error.
    pub stderr: Vec<String>,
}

impl ServerStatus {
    /// Whether calls can reach it.
    pub fn is_up(&self) -> bool {
        self.state.is_up()
    }
}

/// Whether calls reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// The first attempt is under way, or the first after an order to restart.
    Starting,
    /// Connected, and its tools are listed.
    Ready,
    /// Connected, but it did not answer when it was asked last, or its list is not whole.
    Degraded,
    /// Not connected; the next attempt comes by itself.
    BackingOff,
    /// Not connected, and it will not be until someone changes something; tried again all the same, but seldom.
    FailedConfig,
    /// Nothing more is tried: the gateway closes, or the server is not configured any more.
    Stopped,
}

impl ServerState {
    /// Whether calls can reach a server in this state.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Ready | Self::Degraded)
    }

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::BackingOff => "backing-off",
            Self::FailedConfig => "failed-config",
            Self::Stopped => "stopped",
        }
    }
}

/// What went wrong with a server, and when in its life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema, thiserror::Error)]
#[error("{stage}: {message}")]
pub struct ServerFailure {
    /// How far it had come.
    pub stage: Stage,
    /// What happened.
    pub message: String,
    /// When.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

/// How far a server had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Starting the process or reaching the URL, and the protocol's handshake.
    Connect,
    /// Listing the tools.
    List,
    /// Answering the question whether it is still there.
    Probe,
    /// Connected.
    Run,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::List => "listing its tools",
            Self::Probe => "answering the probe",
            Self::Run => "running",
        })
    }
}
