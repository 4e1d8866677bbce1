//! Tools beside the client's own.

use std::sync::Arc;

use super::request::is_stored;
use crate::dialect::{Request, raw};
use crate::domain::ToolDefinition;

/// What has to be asked for, where the provider stores nothing, so that reasoning can go back up.
pub const ENCRYPTED_REASONING: &str = "reasoning.encrypted_content";

/// Adds tools after the client's own, and asks for sealed reasoning where a later round will need it.
pub fn inject(request: &mut Request, tools: &[Arc<ToolDefinition>]) {
    request.add_tools(tools, definition);
    if adds_reasoning(request) {
        request.draft.extend("include", &raw::quote(ENCRYPTED_REASONING));
    }
}

/// Whether sealed reasoning is asked for on the gateway's account, not the client's.
pub fn adds_reasoning(request: &Request) -> bool {
    let included = request.draft.object().array("include");
    let asked = included.iter().any(|what| raw::string(what).is_some_and(|what| what == ENCRYPTED_REASONING));
    request.has_injected() && !is_stored(request) && !asked && !never_reasons(&request.model)
}

/// Models that answer 400 to a request for sealed reasoning, because they have none.
fn never_reasons(model: &str) -> bool {
    ["gpt-3.5", "gpt-4", "chatgpt-4o"].iter().any(|family| model.starts_with(family))
}

/// A tool as this API lists it.
pub fn definition(tool: &ToolDefinition) -> String {
    let (name, description) = (raw::quote(&tool.name), raw::quote(&tool.description));
    let schema = &tool.input_schema;
    // `strict` is this API's default, and few servers' schemas are written for it.
    format!(
        r#"{{"type":"function","name":{name},"description":{description},"parameters":{schema},"strict":false}}"#
    )
}
