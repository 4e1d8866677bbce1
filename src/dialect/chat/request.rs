use bytes::Bytes;

use crate::dialect::draft::Draft;
use crate::dialect::raw::{self, Object, Patch};
use crate::dialect::{ClientTools, Delivery, Obstacle, Request};
use crate::domain::{Failure, FailureKind};

/// The top-level keys that decisions are made on.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "tools",
    "tool_choice",
    "stream",
    "stream_options",
    "n",
    "functions",
    "function_call",
    "web_search_options",
];

/// Reads a request shallowly. A stream is always asked to tell its usage, for the records.
pub fn read(body: Bytes) -> Result<Request, Failure> {
    let draft = Draft::read(body, KNOWN)?;
    let object = draft.object();
    let model = match object.string("model") {
        Some(model) if !model.is_empty() => model.into_owned(),
        _ => return Err(bad("`model` is missing: name the model as a string")),
    };
    let delivery = if object.is_true("stream") { Delivery::Streamed } else { Delivery::Whole };
    let tools = client_tools(&object)?;
    let obstacle = obstacle(&object);
    let prompt = prompt(&object);
    let options = (delivery == Delivery::Streamed).then(|| usage_options(&object)).flatten();
    let mut request = Request { tools, obstacle, prompt, ..Request::new(model, delivery, draft) };
    if let Some(options) = options {
        request.draft.set("stream_options", options);
    }
    Ok(request)
}

/// Whether the client itself asked for the usage chunk.
pub fn wants_usage(request: &Request) -> bool {
    let object = request.draft.object();
    object.object("stream_options").is_some_and(|options| options.is_true("include_usage"))
}

/// `stream_options` with `include_usage`; `None` where the client has it already.
fn usage_options(object: &Object<'_>) -> Option<String> {
    let text = object.get("stream_options").filter(|text| text.starts_with('{')).unwrap_or("{}");
    let options = Object::parse(text).ok()?;
    if options.is_true("include_usage") {
        return None;
    }
    let mut patch = Patch::default();
    patch.set(text, &options, "include_usage", "true");
    Some(patch.apply(text))
}

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::BadRequest, message)
}

fn client_tools(object: &Object<'_>) -> Result<ClientTools, Failure> {
    let mut tools = ClientTools::default();
    if let Some(value) = object.get("tools").filter(|value| *value != "null") {
        for tool in raw::elements(value).ok_or_else(|| bad("`tools` must be an array"))? {
            let tool = Object::parse(tool).map_err(|_| bad("each of `tools` must be an object"))?;
            if let Some(key) = tool.ambiguous_key() {
                return Err(bad(format!("the key {key:?} stands twice in one of `tools`")));
            }
            read_tool(&tool, &mut tools);
        }
    }
    if object.get("web_search_options").is_some_and(|options| options != "null") {
        tools.hosted.push("web_search".to_owned());
    }
    Ok(tools)
}

fn read_tool(tool: &Object<'_>, tools: &mut ClientTools) {
    match tool.string("type").unwrap_or("function".into()).as_ref() {
        kind @ ("function" | "custom") => {
            tools.has_functions |= kind == "function";
            if let Some(name) = tool.object(kind).and_then(|inner| inner.string("name").map(Into::into)) {
                tools.names.insert(name);
            }
        }
        "mcp" => tools.mcp_servers.push(tool.string("server_label").unwrap_or_default().into_owned()),
        hosted => tools.hosted.push(hosted.to_owned()),
    }
}

fn obstacle(object: &Object<'_>) -> Option<Obstacle> {
    let is_set = |key: &str| object.get(key).is_some_and(|value| value != "null");
    if object.number("n").is_some_and(|n| n > 1) {
        return Some(Obstacle::SeveralChoices);
    }
    if is_set("functions") || is_set("function_call") {
        return Some(Obstacle::LegacyFunctions);
    }
    match object.get("tool_choice")? {
        "null" | "\"auto\"" => None,
        "\"none\"" => Some(Obstacle::NoToolsWanted),
        _ => Some(Obstacle::ForcedChoice),
    }
}

/// The text of the last message, if it is the user's.
fn prompt(object: &Object<'_>) -> Option<String> {
    let messages = object.array("messages");
    let message = Object::parse(messages.last()?).ok()?;
    if message.string("role")? != "user" {
        return None;
    }
    if let Some(text) = message.string("content") {
        return Some(text.into_owned());
    }
    let texts: Vec<String> = message.array("content").iter().filter_map(|part| text_of(part)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn text_of(part: &str) -> Option<String> {
    let part = Object::parse(part).ok()?;
    (part.string("type")? == "text").then(|| part.string("text").map(Into::into))?
}
