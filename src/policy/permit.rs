use std::sync::Arc;

use crate::domain::{Caller, ToolDefinition};

/// Which rule decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ruling {
    /// The rule's name.
    pub rule: String,
    /// The version of the policy that it belongs to.
    pub policy: String,
}

/// Policy's proof that one call of one tool is allowed to one caller; spent on a clearance.
///
/// Only [`super::Policy::permit`] makes one, and it cannot be copied.
#[derive(Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    tool: Arc<ToolDefinition>,
    ruling: Ruling,
}

impl Permit {
    pub(super) fn new(caller: Arc<Caller>, tool: Arc<ToolDefinition>, ruling: Ruling) -> Self {
        Self { caller, tool, ruling }
    }

    /// A permit without a policy, for the tests of the rooms that need one.
    #[cfg(test)]
    pub(crate) fn for_tests(caller: Arc<Caller>, tool: Arc<ToolDefinition>, ruling: Ruling) -> Self {
        Self::new(caller, tool, ruling)
    }

    /// Who may call.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The tool that may be called.
    pub fn tool(&self) -> &Arc<ToolDefinition> {
        &self.tool
    }

    /// The rule that allows it.
    pub fn ruling(&self) -> &Ruling {
        &self.ruling
    }
}
