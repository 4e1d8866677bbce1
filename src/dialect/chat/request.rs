//! Reads a request shallowly: the facts that decisions are made on.

use bytes::Bytes;

use crate::dialect::brought::{self, Line};
use crate::dialect::raw::{Object, Patch};
use crate::dialect::{ClientTools, Delivery, Obstacle, Request, request};
use crate::domain::Failure;

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
    let mut request = Request::open(body, KNOWN)?;
    let object = request.draft.object();
    let (tools, obstacle) = (client_tools(&object)?, obstacle(&object));
    let brought = brought::brought(&object.array("messages"), read_message);
    let options = (request.delivery == Delivery::Streamed).then(|| usage_options(&object)).flatten();
    if let Some(options) = options {
        request.draft.set("stream_options", options);
    }
    Ok(Request { tools, obstacle, brought, ..request })
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

fn client_tools(object: &Object<'_>) -> Result<ClientTools, Failure> {
    let mut tools = ClientTools::default();
    for tool in request::tools(object)? {
        read_tool(&tool, &mut tools);
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
    if object.get("n").and_then(|n| n.parse().ok()).is_some_and(|n: f64| n > 1.0) {
        return Some(Obstacle::SeveralChoices);
    }
    if is_set("functions") || is_set("function_call") {
        return Some(Obstacle::LegacyFunctions);
    }
    match object.get("tool_choice")? {
        "null" | "\"auto\"" => None,
        "\"none\"" => Some(Obstacle::NoToolsWanted),
        "\"required\"" => Some(Obstacle::MustCall),
        _ => Some(Obstacle::ForcedChoice),
    }
}

fn read_message(message: &str) -> Vec<Line> {
    let message = Object::within(message).unwrap_or_default();
    let text = || request::texts(message.get("content").unwrap_or("[]"), &["text"]);
    match message.string("role").as_deref() {
        Some("assistant") => vec![Line::Assistants],
        Some("system" | "developer") => vec![Line::System(text())],
        Some("tool") => vec![Line::Result(message.string("tool_call_id").unwrap_or_default().into_owned())],
        Some("user") => vec![Line::User(text())],
        _ => Vec::new(),
    }
}
