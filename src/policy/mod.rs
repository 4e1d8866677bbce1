//! What a caller may do. Rules are allow or deny, deny first; where nothing matches, the answer is deny.

mod permit;

pub use permit::Permit;

use std::sync::Arc;

use crate::config::PolicySource;
use crate::domain::{Caller, ToolDefinition, ToolRef};

/// All rules in force, swapped whole.
#[derive(Debug)]
pub struct Policy {}

/// Why policy said no.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The rule that denied, or `None` where no rule allowed.
    pub rule: Option<String>,
}

/// What is wrong with a policy file, rendered for a person with file, line, caret and hint.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

impl Policy {
    /// Reads the files (the shipped default where there are none) and runs their tests.
    pub fn load(_sources: &[PolicySource]) -> Result<Self, PolicyError> {
        unimplemented!()
    }

    /// May this caller be shown this tool?
    pub fn may_see(&self, _caller: &Caller, _tool: &ToolRef) -> Result<(), Denial> {
        unimplemented!()
    }

    /// May this caller call this tool once?
    pub fn permit(&self, _caller: &Caller, _tool: &Arc<ToolDefinition>) -> Result<Permit, Denial> {
        unimplemented!()
    }
}
