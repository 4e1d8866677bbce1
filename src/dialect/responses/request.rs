//! Reads a request shallowly: the facts that decisions are made on.

use bytes::Bytes;

use super::element::{Element, Kind};
use crate::dialect::brought::{self, Brought, Line};
use crate::dialect::raw::{self, Object};
use crate::dialect::{ClientTools, Obstacle, Request, request};
use crate::domain::Failure;

/// The top-level keys that decisions are made on.
const KNOWN: &[&str] = &[
    "model",
    "input",
    "tools",
    "tool_choice",
    "stream",
    "store",
    "include",
    "background",
    "conversation",
    "previous_response_id",
];

/// Reads a request shallowly.
pub fn read(body: Bytes) -> Result<Request, Failure> {
    let request = Request::open(body, KNOWN)?;
    let object = request.draft.object();
    let items = object.array("input");
    let (mut tools, mut references) = (client_tools(&object)?, Vec::new());
    for item in items.iter().filter_map(|item| Object::within(item)) {
        request::unambiguous(&item, "an item of `input`")?;
        references.extend(reference(&item));
        // `additional_tools` and `tool_search_output` bring tools too; a listing of a hosted server's does not.
        if item.get("tools").is_some() && item.get("type") != Some("\"mcp_list_tools\"") {
            read_tools(&item, &mut tools)?;
        }
    }
    let (obstacle, brought) = (obstacle(&object), brought(&object, &items));
    let previous: Option<String> = object.string("previous_response_id").map(Into::into);
    references.extend(previous.clone());
    Ok(Request { tools, obstacle, references, previous, brought, ..request })
}

/// Whether the provider is asked to keep the response, which is its default.
pub fn is_stored(request: &Request) -> bool {
    request.draft.object().get("store") != Some("false")
}

/// The items of an `input`, which may be a text alone.
pub fn as_items(input: &str) -> Vec<String> {
    match raw::elements(input) {
        Some(items) => items.into_iter().map(str::to_owned).collect(),
        None => vec![format!(r#"{{"role":"user","content":{input}}}"#)],
    }
}

fn client_tools(object: &Object<'_>) -> Result<ClientTools, Failure> {
    let mut tools = ClientTools::default();
    read_tools(object, &mut tools)?;
    Ok(tools)
}

/// Reads the `tools` of an object: a request, or an item that brings more.
fn read_tools(object: &Object<'_>, tools: &mut ClientTools) -> Result<(), Failure> {
    for tool in request::tools(object)? {
        match tool.string("type").unwrap_or("function".into()).as_ref() {
            kind @ ("function" | "custom") => {
                tools.has_functions |= kind == "function";
                tools.names.extend(tool.string("name").map(Into::into));
            }
            // Codex groups its MCP tools so; their calls carry the namespace, so their names are their own.
            "namespace" => {
                let mut inner = ClientTools::default();
                read_tools(&tool, &mut inner)?;
                tools.has_functions |= inner.has_functions;
                tools.mcp_servers.extend(inner.mcp_servers);
            }
            "mcp" => {
                let name = tool.string("server_label").or_else(|| tool.string("server_url"));
                tools.mcp_servers.push(name.unwrap_or_default().into_owned());
            }
            hosted => tools.hosted.push(hosted.to_owned()),
        }
    }
    Ok(())
}

fn obstacle(object: &Object<'_>) -> Option<Obstacle> {
    if object.is_true("background") {
        return Some(Obstacle::Background);
    }
    if object.get("conversation").is_some_and(|conversation| conversation != "null") {
        return Some(Obstacle::HeldByProvider);
    }
    match object.get("tool_choice")? {
        "null" | "\"auto\"" => None,
        "\"none\"" => Some(Obstacle::NoToolsWanted),
        "\"required\"" => Some(Obstacle::MustCall),
        _ => Some(Obstacle::ForcedChoice),
    }
}

/// The id of an `item_reference`, whose type may be left out.
fn reference(item: &Object<'_>) -> Option<String> {
    let is_reference = match item.string("type") {
        Some(kind) => kind == "item_reference",
        None => item.get("role").is_none() && item.get("id").is_some(),
    };
    is_reference.then(|| item.string("id").map(Into::into))?
}

/// Instructions stand beside the items, and among them.
fn brought(object: &Object<'_>, items: &[&str]) -> Brought {
    let mut brought = brought::brought(items, |item| read_item(&Element::read(item, false)));
    brought.prompt = object.string("input").map(Into::into).or(brought.prompt);
    let instructions = object.string("instructions").filter(|text| !text.is_empty());
    brought.system.splice(0..0, instructions.map(Into::into));
    brought
}

fn read_item(item: &Element<'_>) -> Vec<Line> {
    let text = || request::texts(item.fields.get("content").unwrap_or("[]"), &["input_text", "text"]);
    match (item.kind, &*item.string("role")) {
        (kind, _) if kind.is_assistants() => vec![Line::Assistants],
        (Kind::Output, _) => vec![Line::Result(item.string("call_id").into_owned())],
        (_, "user") => vec![Line::User(text())],
        (_, "system" | "developer") => vec![Line::System(text())],
        _ => Vec::new(),
    }
}
