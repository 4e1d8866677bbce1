//! Which tools a caller sees, and under which names.

use std::sync::Arc;

use rmcp::ErrorData;
use serde_json::{Value, json};

use super::Endpoint;
use crate::domain::{Caller, ToolRef};
use crate::gateway::Gateway;
use crate::mcp::{Catalogue, Tool};

/// Whether the caller may see a tool of this server.
pub(super) fn has_any(gateway: &Gateway, caller: &Caller, server: &str) -> bool {
    let catalogue = gateway.fleet.catalogue();
    let endpoint = Endpoint::Server(server.to_owned());
    visible(gateway, &catalogue, caller, &endpoint).next().is_some()
}

/// Whether a session or stream of this caller may go on: who may not begin one any more has none.
pub(super) fn may_stay(gateway: &Gateway, caller: &Caller, endpoint: &Endpoint) -> bool {
    let may_enter = match endpoint {
        Endpoint::All => true,
        Endpoint::Server(server) => has_any(gateway, caller, server),
    };
    may_enter && gateway.identity.knows(caller)
}

/// The tool of this name, if the caller may see it here.
pub(super) fn find(gateway: &Gateway, caller: &Caller, endpoint: &Endpoint, name: &str) -> Option<Arc<Tool>> {
    let catalogue = gateway.fleet.catalogue();
    let tool = match endpoint {
        Endpoint::All => catalogue.get(name)?,
        Endpoint::Server(server) => {
            catalogue.of(&ToolRef { server: server.clone(), tool: name.to_owned() })?
        }
    };
    gateway.policy.may_see(caller, &tool.definition.source).is_ok().then(|| Arc::clone(tool))
}

/// The result of `tools/list`: all on one page, sorted by name.
pub(super) fn list(
    gateway: &Gateway,
    caller: &Caller,
    endpoint: &Endpoint,
    cursor: Option<&Value>,
) -> Result<Value, ErrorData> {
    if cursor.is_some_and(|cursor| !cursor.is_null()) {
        return Err(ErrorData::invalid_params("there is no page with this cursor", None));
    }
    Ok(json!({ "tools": shown(gateway, &gateway.fleet.catalogue(), caller, endpoint) }))
}

/// The definitions as this caller is shown them.
pub(super) fn shown(
    gateway: &Gateway,
    catalogue: &Catalogue,
    caller: &Caller,
    endpoint: &Endpoint,
) -> Vec<Value> {
    let mut tools: Vec<&Arc<Tool>> = visible(gateway, catalogue, caller, endpoint).collect();
    if *endpoint != Endpoint::All {
        tools.sort_by(|a, b| a.definition.source.cmp(&b.definition.source));
    }
    tools.into_iter().map(|tool| definition(tool, endpoint)).collect()
}

fn visible<'a>(
    gateway: &'a Gateway,
    catalogue: &'a Catalogue,
    caller: &'a Caller,
    endpoint: &'a Endpoint,
) -> impl Iterator<Item = &'a Arc<Tool>> {
    let is_here = move |tool: &ToolRef| match endpoint {
        Endpoint::All => true,
        Endpoint::Server(server) => tool.server == *server,
    };
    catalogue.tools().iter().filter(move |tool| {
        let source = &tool.definition.source;
        is_here(source) && gateway.policy.may_see(caller, source).is_ok()
    })
}

/// The server's own definition; what MCP asks of every tool is there, whatever the server left out.
fn definition(tool: &Tool, endpoint: &Endpoint) -> Value {
    let mut definition = tool.raw().clone();
    if *endpoint == Endpoint::All {
        definition["name"] = tool.definition.name.as_str().into();
    }
    if !definition["inputSchema"].is_object() {
        definition["inputSchema"] = json!({ "type": "object" });
    }
    definition
}
