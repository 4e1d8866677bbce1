use std::sync::Arc;

use crate::dialect::{Request, raw};
use crate::domain::ToolDefinition;

/// Adds tools after the client's own.
pub fn inject(request: &mut Request, tools: &[Arc<ToolDefinition>]) {
    if tools.is_empty() {
        return;
    }
    let definitions: Vec<String> = tools.iter().map(|tool| definition(tool)).collect();
    request.draft.extend("tools", &definitions.join(","));
    request.injected = Arc::new(tools.iter().map(|tool| tool.name.clone()).collect());
}

fn definition(tool: &ToolDefinition) -> String {
    let (name, description) = (raw::quote(&tool.name), raw::quote(&tool.description));
    format!(r#"{{"name":{name},"description":{description},"input_schema":{}}}"#, tool.input_schema)
}
