//! Reads a request shallowly: the facts that decisions are made on.

use bytes::Bytes;

use crate::dialect::raw::Object;
use crate::dialect::{ClientTools, Obstacle, Request, request};
use crate::domain::Failure;

/// The top-level keys that decisions are made on.
const KNOWN: &[&str] =
    &["model", "messages", "tools", "tool_choice", "stream", "system", "mcp_servers", "thread"];

/// Reads a request shallowly.
pub fn read(body: Bytes) -> Result<Request, Failure> {
    let request = Request::open(body, KNOWN)?;
    let object = request.draft.object();
    let (tools, obstacle, prompt) = (client_tools(&object)?, obstacle(&object), prompt(&object));
    Ok(Request { tools, obstacle, prompt, ..request })
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

/// The text of the user's last message, unless it only carries tool results.
fn prompt(object: &Object<'_>) -> Option<String> {
    let messages = object.array("messages");
    let message = messages.iter().rev().map_while(|message| Object::within(message)).find(|message| {
        // Claude Code puts messages of role `system` between the user's.
        message.string("role").is_none_or(|role| role != "system")
    })?;
    request::user_text(&message, "text")
}
