//! A round in the form in which it goes up, with the results of its calls.

use super::item;
use super::request::as_items;
use crate::dialect::raw::{Object, quote};
use crate::dialect::result::NO_RESULT;
use crate::dialect::{Items, KeptResult, KeptRound, NextRound, Request, Round, openai, result, text_of};
use crate::domain::{Content, ToolCall, ToolResult};

/// The round with one output item for each injected call.
pub fn keep(round: &Round, results: &[ToolResult]) -> KeptRound {
    let results = round.injected_calls().zip(results);
    let result = |(call, result)| KeptResult { element: call_output(call, result), follows: String::new() };
    KeptRound::new(round, results.map(result))
}

/// Puts a round into the history: by its id, where the provider stores it, else item by item; and one output
/// item per call.
pub fn append(request: &mut Request, round: &KeptRound, next: NextRound) {
    let kept = Object::parse(&round.items.0).unwrap_or_default();
    if let Some(id) = kept.get("id").filter(|id| kept.is_true("stored") && *id != "\"\"") {
        let outputs: Vec<&str> = round.results().map(|result| &*result.element).collect();
        request.draft.set("previous_response_id", id);
        request.draft.set("input", format!("[{}]", outputs.join(",")));
    } else {
        if let Some(text) = request.draft.object().get("input").filter(|input| input.starts_with('"')) {
            let items = format!("[{}]", as_items(text).join(","));
            request.draft.set_once("input", items);
        }
        request.draft.extend("input", &elements(round, true).join(","));
    }
    openai::set_tool_choice(&mut request.draft, next);
}

/// The elements of `input` that tell a round: its items, and the outputs of its injected calls. Without its
/// `reasoning`, an item that names itself would be missed.
pub fn elements(round: &KeptRound, reasoning: bool) -> Vec<String> {
    let kept = Object::parse(&round.items.0).unwrap_or_default();
    let output = kept.array("output");
    let returned = |text: &str| item::returned(text, kept.is_true("stored")).filter(|_| reasoning);
    let loses_reasoning = output.iter().any(|text| item::is_reasoning(text) && returned(text).is_none());
    let element = |text: &str| match item::is_reasoning(text) {
        true => returned(text),
        false if loses_reasoning => Some(item::without_id(text)),
        false => Some(text.to_owned()),
    };
    let items = output.into_iter().filter_map(element);
    items.chain(round.results().map(|result| result.element.clone())).collect()
}

/// Items, with what has to be known of their response when they go up: whether the provider stores it, and its id.
pub fn items(stored: bool, id: &str, items: &[String]) -> Items {
    Items(format!(r#"{{"stored":{stored},"id":{},"output":[{}]}}"#, quote(id), items.join(",")))
}

/// What a round says to the client.
pub fn text(round: &KeptRound) -> String {
    let kept = Object::parse(&round.items.0).unwrap_or_default();
    kept.array("output").into_iter().filter_map(item::text).collect()
}

/// The outputs that the client owes to a round: an error for each of its calls that it has not answered.
pub fn owed(round: &KeptRound, is_answered: impl Fn(&str) -> bool) -> Vec<String> {
    let owed = round.calls.iter().filter(|call| call.result.is_none() && !is_answered(&call.id));
    owed.map(|call| no_result(round, &call.id).element).collect()
}

/// What answers a call of the client's in its stead.
pub fn no_result(round: &KeptRound, call: &str) -> KeptResult {
    let kept = Object::parse(&round.items.0).unwrap_or_default();
    let no_result = quote(&result::mark_error(&ToolResult::error(NO_RESULT), NO_RESULT));
    let is_custom = kept.array("output").iter().any(|item| item::is_custom_call(item, call));
    let output = if is_custom { item::custom_output } else { item::output };
    KeptResult { element: output(call, &no_result), follows: String::new() }
}

/// The output of an injected call.
pub fn call_output(call: &ToolCall, result: &ToolResult) -> String {
    let parts = result::parts(result);
    if !parts.iter().any(|part| result::image(part).is_some()) {
        return item::output(&call.id, &quote(&result::mark_error(result, &text_of(result))));
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
