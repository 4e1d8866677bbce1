use crate::dialect::raw::{Object, quote};
use crate::dialect::{KeptResult, KeptRound, NextRound, Request, Round, result};
use crate::domain::{Content, ToolCall, ToolResult};

use super::item;
use super::request::as_items;

/// The round with one output item for each injected call.
pub fn keep(round: &Round, results: &[ToolResult]) -> KeptRound {
    let results = round.injected_calls().zip(results);
    let result = |(call, result)| KeptResult { element: call_output(call, result), follows: String::new() };
    KeptRound::new(round, results.map(result))
}

/// Puts a round into the history: by its id, where the provider stores it, else item by item; and one output
/// item per call.
pub fn append(request: &mut Request, round: &KeptRound, next: NextRound) {
    let outputs = round.results().map(|result| result.element.clone());
    let items = Object::parse(&round.items.0).unwrap_or_default();
    if let Some(id) = items.get("id").filter(|id| items.is_true("stored") && *id != "\"\"") {
        request.draft.set("previous_response_id", id);
        request.draft.set("input", format!("[{}]", outputs.collect::<Vec<_>>().join(",")));
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
