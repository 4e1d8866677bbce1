//! Reads a request shallowly: the facts that decisions are made on.

use std::borrow::Cow;

use bytes::Bytes;

use super::history::BILLING;
use super::message::{Message, Part};
use crate::dialect::brought::{self, Brought, Line};
use crate::dialect::raw::{self, Object};
use crate::dialect::{ClientTools, Obstacle, Request, request};
use crate::domain::Failure;

/// The top-level keys that decisions are made on.
const KNOWN: &[&str] =
    &["model", "messages", "tools", "tool_choice", "stream", "system", "mcp_servers", "thread"];

/// Reads a request shallowly.
pub fn read(body: Bytes) -> Result<Request, Failure> {
    let request = Request::open(body, KNOWN)?;
    let object = request.draft.object();
    let (tools, obstacle, brought) = (client_tools(&object)?, obstacle(&object), brought(&object));
    Ok(Request { tools, obstacle, brought, ..request })
}

fn client_tools(object: &Object<'_>) -> Result<ClientTools, Failure> {
    let mut tools = ClientTools::default();
    for tool in request::tools(object)? {
        read_tool(&tool, &mut tools);
    }
    for server in object.array("mcp_servers") {
        let name = Object::parse(server).ok().and_then(|server| server.string("name").map(Into::into));
        tools.mcp_servers.push(name.unwrap_or_else(|| "unnamed".to_owned()));
    }
    Ok(tools)
}

fn read_tool(tool: &Object<'_>, tools: &mut ClientTools) {
    let kind = tool.string("type").unwrap_or("custom".into());
    if kind == "mcp_toolset" {
        tools.mcp_servers.push(tool.string("mcp_server_name").unwrap_or_default().into_owned());
        return;
    }
    if kind == "custom" {
        tools.has_functions = true;
    } else {
        tools.hosted.push(kind.into_owned());
    }
    if let Some(name) = tool.string("name") {
        tools.names.insert(name.into_owned());
    }
}

fn obstacle(object: &Object<'_>) -> Option<Obstacle> {
    if object.get("thread").is_some_and(|thread| thread != "null") {
        return Some(Obstacle::HeldByProvider);
    }
    match object.object("tool_choice")?.string("type")?.as_ref() {
        "auto" => None,
        "none" => Some(Obstacle::NoToolsWanted),
        "any" => Some(Obstacle::MustCall),
        _ => Some(Obstacle::ForcedChoice),
    }
}

/// Instructions stand beside the messages; Claude Code puts more of them between the user's.
fn brought(object: &Object<'_>) -> Brought {
    let mut brought =
        brought::brought(&object.array("messages"), |message| read_message(&Message::read(message)));
    let blocks = |system| raw::elements(system).unwrap_or_default().into_iter();
    let system = object.get("system").unwrap_or("[]");
    let texts: Vec<Cow<'_, str>> = match raw::text(system) {
        Some(text) => vec![text],
        None => blocks(system).map(Part::read).map(|block| block.string("text")).collect(),
    };
    let texts: Vec<_> =
        texts.into_iter().filter(|text| !text.is_empty() && !text.starts_with(BILLING)).collect();
    if !texts.is_empty() {
        brought.system.insert(0, texts.join("\n\n"));
    }
    brought
}

fn read_message(message: &Message<'_>) -> Vec<Line> {
    let text = || request::texts(message.content(), &["text"]);
    match &*message.role {
        "assistant" => vec![Line::Assistants],
        "system" => vec![Line::System(text())],
        _ => {
            let results = message.parts().filter(|block| block.kind == "tool_result");
            let results = results.map(|result| Line::Result(result.string("tool_use_id").into_owned()));
            results.chain([Line::User(text())]).collect()
        }
    }
}
