use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::{Caller, ToolDefinition, ToolUseId};

/// The audit's proof that the intent of one call is durable; spent on the call itself.
///
/// Only [`super::Trail::clear`] makes one, from a permit, and it cannot be copied: what is recorded is what
/// is called.
#[derive(Debug)]
pub struct Clearance {
    id: ToolUseId,
    caller: Arc<Caller>,
    tool: Arc<ToolDefinition>,
    arguments: Map<String, Value>,
}

impl Clearance {
    pub(super) fn new(
        id: ToolUseId,
        caller: Arc<Caller>,
        tool: Arc<ToolDefinition>,
        arguments: Map<String, Value>,
    ) -> Self {
        Self { id, caller, tool, arguments }
    }

    /// The record that the outcome belongs to.
    pub fn id(&self) -> ToolUseId {
        self.id
    }

    /// For whom.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// The tool to call.
    pub fn tool(&self) -> &Arc<ToolDefinition> {
        &self.tool
    }

    /// Gives out the arguments, which ends the clearance.
    pub fn into_arguments(self) -> Map<String, Value> {
        self.arguments
    }
}
