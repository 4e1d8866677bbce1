//! A round in the form in which it goes up, with the results of its calls.

use crate::dialect::raw::{self, Object, quote};
use crate::dialect::result::NO_RESULT;
use crate::dialect::{Items, KeptResult, KeptRound, NextRound, Request, Round, result};
use crate::domain::{Content, ToolResult};

/// The round with one `tool_result` block for each injected call.
pub fn keep(round: &Round, results: &[ToolResult]) -> KeptRound {
    let results = round
        .injected_calls()
        .zip(results)
        .map(|(call, result)| KeptResult { element: tool_result(&call.id, result), follows: String::new() });
    KeptRound::new(round, results)
}

/// Puts the assistant's turn and one user message with all results into the history.
pub fn append(request: &mut Request, round: &KeptRound, next: NextRound) {
    request.draft.extend("messages", &turn(round).join(","));
    if let Some(choice) = tool_choice(request, next) {
        request.draft.set("tool_choice", choice);
    }
}

/// A round and the gateway's answers to it, as elements of `messages`; the API takes none that is empty.
pub fn turn(round: &KeptRound) -> Vec<String> {
    let results: Vec<&str> = round.results().map(|result| result.element.as_str()).collect();
    let said = (round.items.0 != "[]").then(|| assistant(&round.items));
    let answered = (!results.is_empty()).then(|| user(&results.join(",")));
    said.into_iter().chain(answered).collect()
}

/// What the model said in a round, as an element of `messages`.
pub fn assistant(items: &Items) -> String {
    format!(r#"{{"role":"assistant","content":{}}}"#, items.0)
}

/// A user message of these blocks, which are joined by commas.
pub fn user(blocks: &str) -> String {
    format!(r#"{{"role":"user","content":[{blocks}]}}"#)
}

/// What `tool_choice` becomes; `None` where it stays.
fn tool_choice(request: &Request, next: NextRound) -> Option<String> {
    if next == NextRound::MayNotCall {
        return Some(r#"{"type":"none"}"#.to_owned());
    }
    let object = request.draft.object();
    let (text, choice) = (object.get("tool_choice")?, object.object("tool_choice")?);
    if matches!(choice.string("type")?.as_ref(), "auto" | "none") {
        return None;
    }
    let mut patch = raw::Patch::default();
    patch.set(text, &choice, "type", r#""auto""#);
    let relaxed = patch.apply(text);
    let choice = Object::parse(&relaxed).ok()?;
    let mut patch = raw::Patch::default();
    patch.remove(&relaxed, &choice, &["name"]);
    Some(patch.apply(&relaxed))
}

/// What answers a call of the client's in its stead.
pub fn no_result(call: &str) -> KeptResult {
    KeptResult { element: tool_result(call, &ToolResult::error(NO_RESULT)), follows: String::new() }
}

/// The block that answers the call of this id.
pub fn tool_result(id: &str, result: &ToolResult) -> String {
    let mut content: Vec<String> = result::parts(result).iter().filter_map(block).collect();
    if content.is_empty() && result.is_error {
        // An error without content is refused by the API.
        content.extend(block(&Content::Text("The tool failed without saying why.".to_owned())));
    }
    let mut text = format!(r#"{{"type":"tool_result","tool_use_id":{}"#, quote(id));
    if !content.is_empty() {
        text.push_str(r#","content":["#);
        text.push_str(&content.join(","));
        text.push(']');
    }
    if result.is_error {
        text.push_str(r#","is_error":true"#);
    }
    text.push('}');
    text
}

/// A part as a content block; `None` for an empty text, which the API refuses.
fn block(part: &Content) -> Option<String> {
    let source = |kind: &str, media_type: &str, data: &str| {
        let (media_type, data) = (quote(media_type), quote(data));
        format!(r#"{{"type":"{kind}","source":{{"type":"base64","media_type":{media_type},"data":{data}}}}}"#)
    };
    if let Some((media_type, data)) = result::image(part) {
        return Some(source("image", media_type, data));
    }
    match part {
        Content::BlobResource { media_type: Some(media_type), data, .. }
            if media_type == "application/pdf" =>
        {
            Some(source("document", media_type, data))
        }
        other => {
            let text = result::in_words(other);
            (!text.trim().is_empty()).then(|| format!(r#"{{"type":"text","text":{}}}"#, quote(&text)))
        }
    }
}
