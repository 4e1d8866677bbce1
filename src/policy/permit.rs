use std::sync::Arc;

use crate::domain::{Caller, ToolDefinition};

/// Policy's proof that one call of one tool is allowed to one caller; spent on a clearance.
///
/// Only [`super::Policy::permit`] makes one, and it cannot be copied.
#[derive(Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    tool: Arc<ToolDefinition>,
    rule: String,
    policy: String,
}

impl Permit {
    pub(super) fn new(caller: Arc<Caller>, tool: Arc<ToolDefinition>, rule: String, policy: String) -> Self {
        Self { caller, tool, rule, policy }
    }

    /// A permit without a policy, for the tests of the rooms that need one.
    #[cfg(test)]
    pub(crate) fn for_tests(caller: Arc<Caller>, tool: Arc<ToolDefinition>, rule: &str) -> Self {
        Self::new(caller, tool, rule.to_owned(), String::new())
    }

    /// Who may call.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The tool that may be called.
    pub fn tool(&self) -> &Arc<ToolDefinition> {
        &self.tool
    }

    /// The name of the rule that allows it.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// The version of the policy that the rule belongs to.
    pub fn policy(&self) -> &str {
        &self.policy
    }
}
