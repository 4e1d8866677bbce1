//! `policies/*.yaml` as written.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::yaml::At;

/// Rules of Toolgate: who may see and call which tools. Deny comes first, then allow; where nothing matches,
/// the answer is deny.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Toolgate: policy")]
pub(super) struct WrittenPolicy {
    /// The rules; their order means nothing.
    #[serde(default)]
    pub rules: Vec<WrittenRule>,
    /// What the rules of all files together must answer; checked whenever they are loaded.
    #[serde(default)]
    pub tests: Vec<At<WrittenTest>>,
}

/// One rule. It matches when all lists that it has match.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rule")]
pub(super) struct WrittenRule {
    /// The rule's name, which the records show; unique over all files.
    pub name: At<String>,
    /// What the rule says where it matches.
    pub effect: Effect,
    /// Globs over the caller's user; left out, any user.
    pub users: Option<At<Vec<At<String>>>>,
    /// Globs over the caller's groups, one of which must match; left out, any caller.
    pub groups: Option<At<Vec<At<String>>>>,
    /// Globs over the name of the caller's key; left out, any key.
    pub keys: Option<At<Vec<At<String>>>>,
    /// Globs over `server/tool`, with the names that the servers give their tools; `*` is every tool.
    pub tools: At<Vec<At<String>>>,
    /// What the rule is about; left out, `see_tool` and `call_tool`. `administer` must be named, and is asked of a
    /// whole server, as `server/*`; so must `read_audit`, which is asked of everything, as `*/*`.
    pub actions: Option<At<Vec<Action>>>,
}

/// What a rule says where it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effect {
    /// Yes, unless another rule denies.
    Allow,
    /// No, whatever other rules say.
    Deny,
}

/// What a caller may do with a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// The tool is offered to the caller's model.
    SeeTool,
    /// The tool is called for the caller.
    #[default]
    CallTool,
    /// The caller may know everything about the server, and start it anew.
    Administer,
    /// The caller may read all records, of all callers.
    ReadAudit,
}

impl Action {
    pub(super) const ALL: [Self; 4] = [Self::SeeTool, Self::CallTool, Self::Administer, Self::ReadAudit];

    /// What a rule that allows is about where it does not say it: never administration or records.
    pub(super) const USE: [Self; 2] = [Self::SeeTool, Self::CallTool];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SeeTool => "see_tool",
            Self::CallTool => "call_tool",
            Self::Administer => "administer",
            Self::ReadAudit => "read_audit",
        }
    }
}

/// One question to the rules, and the answer that is expected.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Test")]
pub(super) struct WrittenTest {
    /// Who asks.
    pub caller: WrittenCaller,
    /// The tool, as `server/tool`.
    pub tool: At<String>,
    /// What the caller wants to do with it; `call_tool` by default.
    #[serde(default)]
    pub action: Action,
    /// The right answer.
    pub expect: Effect,
}

/// A caller in a test.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Caller")]
pub(super) struct WrittenCaller {
    /// The user.
    pub user: String,
    /// The user's groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The name of the key; `test` by default.
    #[serde(default = "test_key")]
    pub key: String,
}

fn test_key() -> String {
    "test".into()
}
