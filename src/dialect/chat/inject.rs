//! Tools beside the client's own.

use std::sync::Arc;

use crate::dialect::{Request, raw};
use crate::domain::ToolDefinition;

/// Adds tools after the client's own.
pub fn inject(request: &mut Request, tools: &[Arc<ToolDefinition>]) {
    request.add_tools(tools, definition);
}

/// A tool as this API lists it.
pub fn definition(tool: &ToolDefinition) -> String {
    let (name, description) = (raw::quote(&tool.name), raw::quote(&tool.description));
    let schema = &tool.input_schema;
    format!(
        r#"{{"type":"function","function":{{"name":{name},"description":{description},"parameters":{schema}}}}}"#
    )
}
