//! What a client is shown of calls that the gateway ran.

use super::message::{SHOWN_ID, text_block};
use crate::dialect::raw::quote;
use crate::dialect::{Showing, ShownCall, text_of};
use crate::domain::Form;

/// The content blocks that show a round's calls: all calls, then the lines about them, then all results.
pub fn show(showing: &Showing<'_>, form: Form) -> Vec<String> {
    let calls = &showing.calls;
    let lines = calls.iter().filter_map(|call| call.line.as_deref()).map(text_block);
    if form == Form::Hidden {
        return lines.collect();
    }
    calls.iter().map(mcp_tool_use).chain(lines).chain(calls.iter().map(mcp_tool_result)).collect()
}

fn mcp_tool_use(shown: &ShownCall<'_>) -> String {
    let (tool, server) = (quote(shown.tool), quote(shown.server));
    let input = shown.arguments();
    format!(
        r#"{{"type":"mcp_tool_use","id":"{SHOWN_ID}{}","name":{tool},"server_name":{server},"input":{input}}}"#,
        shown.seal
    )
}

fn mcp_tool_result(shown: &ShownCall<'_>) -> String {
    let content = Some(text_of(shown.result)).filter(|content| !content.is_empty());
    format!(
        r#"{{"type":"mcp_tool_result","tool_use_id":"{SHOWN_ID}{}","is_error":{},"content":[{}]}}"#,
        shown.seal,
        shown.result.is_error,
        content.as_deref().map(text_block).unwrap_or_default()
    )
}
