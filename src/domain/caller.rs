use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is asking, proven by a key (or everyone, where `auth: none` is allowed).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The name of the key that was presented; `anonymous` where no key is asked for.
    pub key: String,
    /// The user or service that the key belongs to.
    pub user: String,
    /// The groups of that user, as the configuration gives them.
    pub groups: Vec<String>,
    /// What this key says of its requests; what it leaves open, the provider's settings say.
    pub settings: ToolSettings,
}

/// How requests get tools and how their calls are shown, as far as a key or a provider says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ToolSettings {
    /// When tools are added.
    pub inject: Option<Inject>,
    /// How the client is shown the calls that the gateway runs.
    pub render: Option<Render>,
    /// Whether each of these calls is also told of in a short line of text.
    pub tool_lines: Option<bool>,
}

impl ToolSettings {
    /// These settings, and where they leave something open, those.
    #[must_use]
    pub fn or(self, those: Self) -> Self {
        Self {
            inject: self.inject.or(those.inject),
            render: self.render.or(those.render),
            tool_lines: self.tool_lines.or(those.tool_lines),
        }
    }
}

/// When approved tools are added to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Inject {
    /// When the request brings function tools of its own, as agents' requests do.
    #[default]
    Auto,
    /// In every request that can carry tools.
    Always,
    /// In none.
    Never,
}

/// How a client is shown the calls that the gateway runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Render {
    /// Not at all: works with every client.
    #[default]
    Hidden,
    /// In the API's own form for tools that run on the server's side.
    Native,
    /// As suits the client, where it is a known one; otherwise hidden.
    Auto,
}

/// In which form a client is shown them, once that is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Not at all.
    #[default]
    Hidden,
    /// In the API's own form for tools that run on the server's side.
    Native,
    /// As a sealed item, for clients that send back nothing else.
    Sealed,
}
