//! How a server is doing, for `check`, the log and the administrator.

use super::approve::{LeftOut, Quarantined};
use super::connect::Era;

/// How one server is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerStatus {
    /// The administrator's name of the server.
    pub name: String,
    /// Its URL without credentials, or `stdio:` and its command.
    pub url: String,
    /// Whether calls reach it now.
    pub state: ServerState,
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
}

/// Whether calls reach a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// The first attempt is under way.
    Connecting,
    /// Connected, and its tools are listed.
    Ready,
    /// Not connected; the next attempt comes by itself.
    Failed,
}

/// What went wrong with a server, and when in its life.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: {message}")]
pub struct ServerFailure {
    /// How far it had come.
    pub stage: Stage,
    /// What happened.
    pub message: String,
}

/// How far a server had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Starting the process or reaching the URL, and the protocol's handshake.
    Connect,
    /// Listing the tools.
    List,
    /// Connected.
    Run,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::List => "listing its tools",
            Self::Run => "running",
        })
    }
}
