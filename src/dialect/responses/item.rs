//! Items of a response, and what goes up in their place.

use crate::dialect::raw::{Object, Patch, quote};
use crate::domain::ToolCall;

/// The tool call of an output item; `None` where it is none, or one that the provider runs itself.
pub fn call(item: &str) -> Option<ToolCall> {
    let item = Object::parse(item).ok()?;
    let arguments = match item.string("type")?.as_ref() {
        "function_call" => "arguments",
        "custom_tool_call" => "input",
        _ => return None,
    };
    let field = |key| item.string(key).unwrap_or_default().into_owned();
    Some(ToolCall { id: field("call_id"), name: field("name"), arguments: field(arguments) })
}

/// Whether an output item is a call that an injected tool could be meant by: one without a namespace, which
/// only the client's tools have.
pub fn is_plain_function_call(item: &Object<'_>) -> bool {
    item.get("type") == Some("\"function_call\"")
        && item.get("namespace").is_none_or(|namespace| namespace == "null")
}

/// What a message says to the client, part by part; `None` for any other item.
pub fn text(item: &str) -> Option<String> {
    let item = Object::parse(item).ok().filter(|item| item.get("type") == Some("\"message\""))?;
    Some(said(&item))
}

/// What a message of the assistant's says: its texts and refusals, which are shown alike.
pub fn said(message: &Object<'_>) -> String {
    if let Some(text) = message.string("content") {
        return text.into_owned();
    }
    let parts = message.array("content").into_iter().filter_map(Object::within);
    parts.filter_map(|part| part.string("text").or_else(|| part.string("refusal"))).collect()
}

/// What a reasoning item says, summary and content.
pub fn thought(item: &str) -> Option<String> {
    let item = Object::parse(item).ok().filter(|item| item.get("type") == Some("\"reasoning\""))?;
    let parts = item.array("summary").into_iter().chain(item.array("content"));
    let texts = parts.filter_map(|part| Some(Object::parse(part).ok()?.string("text")?.into_owned()));
    Some(texts.collect::<Vec<_>>().join("\n"))
}

/// An item as the client gets it: without the sealed reasoning that only the gateway asked for.
pub fn without_seal(item: &str) -> String {
    let Ok(object) = Object::parse(item) else { return item.to_owned() };
    let mut patch = Patch::default();
    patch.remove(item, &object, &["encrypted_content"]);
    patch.apply(item)
}

/// An item that was cut short, with the text gathered so far.
pub fn cut_short(item: &str, text: &str) -> String {
    let Ok(object) = Object::parse(item) else { return item.to_owned() };
    let mut patch = Patch::default();
    patch.set(item, &object, "status", "\"incomplete\"");
    match object.get("type") {
        Some("\"message\"") => {
            let part = format!(r#"[{{"type":"output_text","text":"{text}","annotations":[]}}]"#);
            patch.set(item, &object, "content", &part);
        }
        Some("\"function_call\"") => patch.set(item, &object, "arguments", &format!("\"{text}\"")),
        _ => {}
    }
    patch.apply(item)
}

/// Whether an item is reasoning.
pub fn is_reasoning(item: &str) -> bool {
    Object::parse(item).is_ok_and(|item| item.get("type") == Some("\"reasoning\""))
}

/// Reasoning as it can go back up: with its seal, else by its name, where the provider has stored it.
pub fn returned(reasoning: &str, is_stored: bool) -> Option<String> {
    let item = Object::parse(reasoning).ok()?;
    if item.get("encrypted_content").is_some_and(|seal| seal != "null") {
        return Some(reasoning.to_owned());
    }
    let id = item.get("id").filter(|_| is_stored)?;
    Some(format!(r#"{{"type":"item_reference","id":{id}}}"#))
}

/// An item without the id by which the provider would miss its reasoning; where the id is all that it has, it
/// stays.
pub fn without_id(item: &str) -> String {
    let Ok(object) = Object::parse(item) else { return item.to_owned() };
    let can_do_without = matches!(
        object.string("type").as_deref(),
        None | Some(
            "message" | "function_call" | "custom_tool_call" | "web_search_call" | "local_shell_call"
        )
    );
    let mut patch = Patch::default();
    if can_do_without && object.get("type").or(object.get("role")).is_some() {
        patch.remove(item, &object, &["id"]);
    }
    patch.apply(item)
}

/// Whether an item is the custom tool call with this id.
pub fn is_custom_call(item: &str, call_id: &str) -> bool {
    Object::parse(item).is_ok_and(|item| {
        item.get("type") == Some("\"custom_tool_call\"")
            && item.string("call_id").is_some_and(|id| id == call_id)
    })
}

/// The output item that answers a call.
pub fn output(call_id: &str, output: &str) -> String {
    format!(r#"{{"type":"function_call_output","call_id":{},"output":{output}}}"#, quote(call_id))
}

/// The output item that answers a custom tool's call.
pub fn custom_output(call_id: &str, output: &str) -> String {
    format!(r#"{{"type":"custom_tool_call_output","call_id":{},"output":{output}}}"#, quote(call_id))
}

/// A message of the assistant's, as history takes it.
pub fn spoken(text: &str) -> String {
    format!(r#"{{"role":"assistant","content":{}}}"#, quote(text))
}
