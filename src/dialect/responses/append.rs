use crate::dialect::raw::{Object, quote};
use crate::dialect::{NextRound, Request, Round, result};
use crate::domain::{Content, ToolCall, ToolResult};

use super::item;
use super::request::as_items;

/// Puts a round into the history: by its id, where the provider stores it, else item by item; and one output
/// item per call.
pub fn append(request: &mut Request, round: &Round, results: &[ToolResult], next: NextRound) {
    let outputs: Vec<String> =
        round.injected_calls().zip(results).map(|(call, result)| call_output(call, result)).collect();
    let items = Object::parse(&round.items.0).unwrap_or_default();
    if items.is_true("stored") && !round.facts.response_id.is_empty() {
        request.draft.set("previous_response_id", quote(&round.facts.response_id));
        request.draft.set("input", format!("[{}]", outputs.join(",")));
    } else {
        if let Some(text) = request.draft.object().get("input").filter(|input| input.starts_with('"')) {
            let items = format!("[{}]", as_items(text).join(","));
            request.draft.set_once("input", items);
        }
        let returned =
            items.array("output").into_iter().filter(|item| item::can_return(item)).map(str::to_owned);
        let all: Vec<String> = returned.chain(outputs).collect();
        request.draft.extend("input", &all.join(","));
    }
    let forced = |choice: &str| choice.starts_with('{') || choice == "\"required\"";
    if next == NextRound::MayNotCall {
        request.draft.set("tool_choice", r#""none""#);
    } else if request.draft.object().get("tool_choice").is_some_and(forced) {
        request.draft.set("tool_choice", r#""auto""#);
    }
}

fn call_output(call: &ToolCall, result: &ToolResult) -> String {
    let parts = result::parts(result);
    if !parts.iter().any(|part| result::image(part).is_some()) {
        let texts: Vec<String> = parts.iter().map(result::in_words).collect();
        return item::output(&call.id, &quote(&result::mark_error(result, &texts.join("\n"))));
    }
    let mark = result.is_error.then(|| text_part("Error:"));
    let content: Vec<String> = mark.into_iter().chain(parts.iter().map(part)).collect();
    item::output(&call.id, &format!("[{}]", content.join(",")))
}

fn part(part: &Content) -> String {
    let Some((media_type, data)) = result::image(part) else { return text_part(&result::in_words(part)) };
    let url = quote(&format!("data:{media_type};base64,{data}"));
    format!(r#"{{"type":"input_image","image_url":{url},"detail":"auto"}}"#)
}

fn text_part(text: &str) -> String {
    format!(r#"{{"type":"input_text","text":{}}}"#, quote(text))
}
