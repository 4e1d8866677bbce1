use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Digest;

/// What the gateway's own tools have in place of a server's name, which no server may have.
pub const OWN_SERVER: &str = "toolgate";

/// A tool by the names that its server gives it; `server/tool` when printed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ToolRef {
    /// The administrator's name of the server.
    pub server: String,
    /// The tool's name as its server lists it.
    pub tool: String,
}

impl fmt::Display for ToolRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

/// An approved tool as a model is shown it, with what the gateway needs to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolDefinition {
    /// The name that the model sees: `^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$`, unique in its catalogue.
    pub name: String,
    /// Where the tool comes from.
    pub source: ToolRef,
    /// The server's URL, or `stdio:` and its command, for the records.
    pub server_url: String,
    /// What the server says the tool is for.
    pub description: String,
    /// The input schema as compact canonical JSON, cleaned of what providers reject.
    pub input_schema: String,
    /// The administrator says that a call changes nothing, so it may be cancelled half-way.
    pub read_only: bool,
    /// What becomes of a call when its request comes again.
    pub repeat: Repeat,
    /// How long one call may take in all.
    pub timeout: Duration,
    /// Of the definition as its server lists it, and of the server: the one that stands in `tools.lock`.
    #[serde(default)]
    pub digest: Digest,
}

/// What becomes of a call that ran, or still runs, when the same request comes again after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Repeat {
    /// Its result is used again, also when it has yet to come.
    #[default]
    Join,
    /// It runs again.
    Rerun,
}

/// How a call that is run here came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// A model called an injected tool.
    Injected,
    /// A model found the tool by search, and called it by its name.
    Search,
    /// An MCP client called it.
    Mcp,
}

impl Via {
    /// The word for it in the records.
    pub fn word(self) -> &'static str {
        match self {
            Self::Injected => "injected",
            Self::Search => "search",
            Self::Mcp => "mcp",
        }
    }
}
