use std::collections::HashMap;
use std::sync::Arc;

use super::Gateway;
use super::admission::Incoming;
use crate::dialect::Request;
use crate::domain::{Digest, Inject, ToolDefinition};
use crate::mcp::Tool;
use crate::provider::Provider;

/// The request header that turns `auto` off.
pub const SWITCH: &str = "x-toolgate-inject";

/// Which tools go into a request, and why, or why none do.
#[derive(Debug, Default)]
pub struct Injection {
    /// The word for it in the records and in the answer's header.
    pub word: &'static str,
    /// The tools, sorted by name: this conversation's pinned part of the catalogue.
    pub tools: Vec<Arc<Tool>>,
    by_name: HashMap<String, usize>,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
}

impl Injection {
    /// For a request that got no further.
    pub fn refused() -> Self {
        Self::none("refused")
    }

    fn none(word: &'static str) -> Self {
        Self { word, ..Self::default() }
    }

    /// Whether tools go in.
    pub fn is_active(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Stands for the definitions that go in; the default where none do.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<&[u8]> = Vec::new();
        for tool in &self.tools {
            let definition = &tool.definition;
            let texts = [&definition.name, &definition.description, &definition.input_schema];
            parts.extend(texts.map(String::as_bytes));
        }
        if parts.is_empty() { Digest::default() } else { Digest::of_parts(&parts) }
    }

    /// The definition of the injected tool with this name.
    pub fn definition(&self, name: &str) -> Option<&ToolDefinition> {
        self.tool(name).map(|tool| &*tool.definition)
    }

    /// What a server's injected tools are: name, description, input schema as JSON.
    pub fn of_server(&self, server: &str) -> Vec<(&str, &str, &str)> {
        let definitions = self.tools.iter().map(|tool| &tool.definition);
        let of_server = definitions.filter(|definition| definition.source.server == server);
        of_server
            .map(|tool| (tool.source.tool.as_str(), tool.description.as_str(), tool.input_schema.as_str()))
            .collect()
    }

    /// The injected tool with this name.
    pub fn tool(&self, name: &str) -> Option<&Arc<Tool>> {
        self.by_name.get(name).map(|at| &self.tools[*at])
    }
}

/// Decides which tools go into a request.
pub fn decide(gateway: &Gateway, incoming: &Incoming, provider: &Provider, request: &Request) -> Injection {
    if !incoming.operation.generates {
        return Injection::none("not-generating");
    }
    let settings = incoming.caller.settings.or(provider.settings).or(gateway.settings);
    let mode = settings.inject.unwrap_or_default();
    let switched_off =
        incoming.headers.get(SWITCH).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off"));
    match (mode, request.obstacle) {
        (Inject::Never, _) => return Injection::none("never"),
        (_, Some(obstacle)) => return Injection::none(obstacle.word()),
        (Inject::Auto, None) if switched_off => return Injection::none("switched-off"),
        (Inject::Auto, None) if !request.tools.has_functions => return Injection::none("no-client-tools"),
        _ => {}
    }
    let mut injection = Injection::none("injected");
    let room = incoming.operation.max_tools.saturating_sub(request.tools.count());
    for tool in gateway.fleet.catalogue().tools() {
        let definition = &tool.definition;
        if gateway.policy.may_see(&incoming.caller, &definition.source).is_err() {
            continue;
        }
        if request.tools.names.contains(&definition.name) {
            injection.left_out.push(format!("{}: the client has a tool of this name", definition.name));
            continue;
        }
        if injection.tools.len() >= room {
            injection.left_out.push(format!("{}: the provider takes no more tools", definition.name));
            continue;
        }
        injection.by_name.insert(definition.name.clone(), injection.tools.len());
        injection.tools.push(Arc::clone(tool));
    }
    if injection.tools.is_empty() {
        injection.word = "no-tools";
    }
    injection
}
