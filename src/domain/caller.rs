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
    /// When this key's requests get tools; `None` leaves it to the provider's setting.
    pub inject: Option<Inject>,
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
