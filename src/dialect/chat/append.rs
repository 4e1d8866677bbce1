use crate::dialect::raw::quote;
use crate::dialect::{KeptResult, KeptRound, NextRound, Request, Round, result};
use crate::domain::{ToolCall, ToolResult};

/// The round with one tool message for each injected call.
///
/// Tool messages take text alone, so images follow in one message of the user's.
pub fn keep(round: &Round, results: &[ToolResult]) -> KeptRound {
    let results = round.injected_calls().zip(results);
    KeptRound::new(round, results.map(|(call, result)| tool_message(call, result)))
}

/// Puts the assistant's turn and one tool message per call into the history.
pub fn append(request: &mut Request, round: &KeptRound, next: NextRound) {
    request.draft.extend("messages", &turn(round));
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

/// A round that the gateway answered, as elements of `messages`.
pub fn turn(round: &KeptRound) -> String {
    let mut turn = round.items.0.clone();
    for result in round.results() {
        turn.push(',');
        turn.push_str(&result.element);
    }
    if let Some(images) = images(round.results()) {
        turn.push(',');
        turn.push_str(&images);
    }
    turn
}

/// The message that brings the images of these results, where there are any.
pub fn images<'a>(results: impl Iterator<Item = &'a KeptResult>) -> Option<String> {
    let parts: Vec<&str> =
        results.map(|result| result.follows.as_str()).filter(|parts| !parts.is_empty()).collect();
    (!parts.is_empty()).then(|| format!(r#"{{"role":"user","content":[{}]}}"#, parts.join(",")))
}

fn tool_message(call: &ToolCall, result: &ToolResult) -> KeptResult {
    let (mut texts, mut images) = (Vec::new(), Vec::new());
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
    KeptResult {
        element: format!(r#"{{"role":"tool","tool_call_id":{},"content":{content}}}"#, quote(&call.id)),
        follows: images.join(","),
    }
}

fn text_part(text: &str) -> String {
    format!(r#"{{"type":"text","text":{}}}"#, quote(text))
}
