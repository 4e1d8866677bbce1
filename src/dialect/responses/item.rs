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

/// Whether an item can go back up to a provider that stores nothing: reasoning only with its seal.
pub fn can_return(item: &str) -> bool {
    Object::parse(item).is_ok_and(|item| {
        item.get("type") != Some("\"reasoning\"")
            || item.get("encrypted_content").is_some_and(|seal| seal != "null")
    })
}

/// The output item that answers a call.
pub fn output(call_id: &str, output: &str) -> String {
    format!(r#"{{"type":"function_call_output","call_id":{},"output":{output}}}"#, quote(call_id))
}
