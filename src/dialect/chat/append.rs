use crate::dialect::raw::quote;
use crate::dialect::{NextRound, Request, Round, result};
use crate::domain::{ToolCall, ToolResult};

/// Puts the assistant's turn and one tool message per call into the history.
///
/// Tool messages take text alone, so images follow in one message of the user's.
pub fn append(request: &mut Request, round: &Round, results: &[ToolResult], next: NextRound) {
    let mut turn = round.items.0.clone();
    let mut images = Vec::new();
    for (call, result) in round.injected_calls().zip(results) {
        turn.push(',');
        turn.push_str(&tool_message(call, result, &mut images));
    }
    if !images.is_empty() {
        turn.extend([r#",{"role":"user","content":["#, &images.join(","), "]}"]);
    }
    request.draft.extend("messages", &turn);
    if next == NextRound::MayNotCall {
        request.draft.set("tool_choice", r#""none""#);
    } else if request
        .draft
        .object()
        .get("tool_choice")
        .is_some_and(|choice| choice.starts_with('{') || choice == "\"required\"")
    {
        request.draft.set("tool_choice", r#""auto""#);
    }
}

fn tool_message(call: &ToolCall, result: &ToolResult, images: &mut Vec<String>) -> String {
    let mut texts = Vec::new();
    for part in result::parts(result) {
        if let Some((media_type, data)) = result::image(&part) {
            images.push(text_part(&format!("Image that {} returned for call {}:", call.name, call.id)));
            let url = quote(&format!("data:{media_type};base64,{data}"));
            images.push(format!(r#"{{"type":"image_url","image_url":{{"url":{url}}}}}"#));
            texts.push(format!("[image, {media_type}: see the next user message]"));
        } else {
            texts.push(result::in_words(&part));
        }
    }
    let content = quote(&result::mark_error(result, &texts.join("\n")));
    format!(r#"{{"role":"tool","tool_call_id":{},"content":{content}}}"#, quote(&call.id))
}

fn text_part(text: &str) -> String {
    format!(r#"{{"type":"text","text":{}}}"#, quote(text))
}
