use bytes::Bytes;

use crate::dialect::draft::Draft;
use crate::dialect::raw::{self, Object};
use crate::dialect::{ClientTools, Delivery, Obstacle, Request};
use crate::domain::{Failure, FailureKind};

/// The top-level keys that decisions are made on.
const KNOWN: &[&str] =
    &["model", "messages", "tools", "tool_choice", "stream", "system", "mcp_servers", "thread"];

/// Reads a request shallowly.
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
    Ok(Request { tools, obstacle, prompt, ..Request::new(model, delivery, draft) })
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
        _ => Some(Obstacle::ForcedChoice),
    }
}

/// The text of the user's last message, unless it only carries tool results.
fn prompt(object: &Object<'_>) -> Option<String> {
    let messages = object.array("messages");
    let message = messages.iter().rev().map_while(|message| Object::parse(message).ok()).find(|message| {
        // Claude Code puts messages of role `system` between the user's (facts: wire 1.2).
        message.string("role").is_none_or(|role| role != "system")
    })?;
    if message.string("role")? != "user" {
        return None;
    }
    if let Some(text) = message.string("content") {
        return Some(text.into_owned());
    }
    let blocks = message.array("content");
    let texts: Vec<String> = blocks.iter().filter_map(|block| text_of(block)).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

fn text_of(block: &str) -> Option<String> {
    let block = Object::parse(block).ok()?;
    (block.string("type")? == "text").then(|| block.string("text").map(Into::into))?
}
