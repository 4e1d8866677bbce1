//! All approved tools with their names as models see them, as one immutable snapshot.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::approve::{Approved, Quarantine, Quarantined};
use super::names;
use super::shelves::Shelf;
use crate::config::Expose;
use crate::domain::{ToolDefinition, ToolRef};

/// An immutable snapshot of all approved tools, sorted by name.
///
/// It holds definitions, not what happens to be up: a server that is down keeps its tools.
#[derive(Debug)]
pub struct Catalogue {
    tools: Vec<Arc<Tool>>,
    by_name: HashMap<String, Arc<Tool>>,
    by_source: HashMap<ToolRef, Arc<Tool>>,
    quarantined: HashMap<ToolRef, Quarantined>,
    version: u64,
}

/// An approved tool.
#[derive(Debug)]
pub struct Tool {
    /// The tool as a model is shown it.
    pub definition: Arc<ToolDefinition>,
    /// Whether it is listed, or found by search.
    pub expose: Expose,
    approved: Arc<Approved>,
}

impl Default for Catalogue {
    /// Of no servers.
    fn default() -> Self {
        Self::build("", [])
    }
}

impl Catalogue {
    /// Names the tools of all servers by `pattern`.
    pub(super) fn build<'a>(pattern: &str, shelves: impl IntoIterator<Item = &'a Shelf>) -> Self {
        let shelves: Vec<&Shelf> = shelves.into_iter().collect();
        let quarantined = shelves.iter().flat_map(|shelf| shelf.quarantined()).collect();
        let all: Vec<(&Shelf, &Arc<Approved>)> =
            shelves.into_iter().flat_map(|shelf| shelf.tools.iter().map(move |tool| (shelf, tool))).collect();
        let sources: Vec<ToolRef> = all.iter().map(|(_, tool)| tool.source.clone()).collect();
        let names = names::assign(pattern, &sources);
        let mut tools: Vec<Arc<Tool>> = all
            .into_iter()
            .zip(names)
            .map(|((shelf, tool), name)| Arc::new(Tool::new(shelf, tool, name)))
            .collect();
        tools.sort_by(|a, b| a.definition.name.cmp(&b.definition.name));
        let mut hasher = DefaultHasher::new();
        for tool in &tools {
            let ToolDefinition { name, source, description, input_schema, read_only, .. } = &*tool.definition;
            (name, source, description, input_schema, read_only, &tool.approved.raw).hash(&mut hasher);
        }
        let by_name = tools.iter().map(|tool| (tool.definition.name.clone(), tool.clone())).collect();
        let by_source = tools.iter().map(|tool| (tool.definition.source.clone(), tool.clone())).collect();
        Self { tools, by_name, by_source, quarantined, version: hasher.finish() }
    }

    /// All tools, sorted by name.
    pub fn tools(&self) -> &[Arc<Tool>] {
        &self.tools
    }

    /// The tool of this name, which is the one that models see.
    pub fn get(&self, name: &str) -> Option<&Arc<Tool>> {
        self.by_name.get(name)
    }

    /// The tool that a server has under this name of its own.
    pub fn of(&self, source: &ToolRef) -> Option<&Arc<Tool>> {
        self.by_source.get(source)
    }

    /// Why a tool that is not here may not be used yet, or not any more.
    pub fn quarantined(&self, source: &ToolRef) -> Option<&Quarantined> {
        self.quarantined.get(source).filter(|_| !self.by_source.contains_key(source))
    }

    /// Whether an administrator has rejected what the server lists under this name.
    pub fn is_rejected(&self, source: &ToolRef) -> bool {
        self.quarantined(source).is_some_and(|quarantined| quarantined.reason == Quarantine::Rejected)
    }

    /// A digest of the definitions: equal exactly when models are shown the same, within one process.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl Tool {
    fn new(shelf: &Shelf, approved: &Arc<Approved>, name: String) -> Self {
        let definition = Arc::new(ToolDefinition {
            name,
            source: approved.source.clone(),
            server_url: shelf.server_url.clone(),
            description: approved.description.clone(),
            input_schema: approved.input_schema.clone(),
            read_only: approved.read_only,
            repeat: shelf.config.repeat,
            timeout: shelf.config.max_call_time,
            digest: approved.digest,
        });
        Self { definition, expose: shelf.config.expose, approved: approved.clone() }
    }

    /// The whole definition by the server's own name, as MCP writes it.
    pub fn raw(&self) -> &Value {
        &self.approved.raw
    }

    /// Reads the arguments as the model wrote them (no text means none) and checks them against the
    /// server's own schema. The error is a text for the model: what is wrong and where, as JSON pointers.
    pub fn check(&self, arguments: &str) -> Result<Map<String, Value>, String> {
        self.approved.check.check(arguments)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::approve::approve;
    use super::super::testing;
    use super::*;
    use crate::config::Server;

    fn shelf(server: &str, tools: &[&str]) -> Shelf {
        let listed: Vec<Value> = tools
            .iter()
            .map(|name| json!({"name": name, "inputSchema": {"type": "object", "required": ["id"]}}))
            .collect();
        let config = testing::http_server(server, "http://x/");
        let approved = approve(&config, &listed, None).approved;
        let mut shelf = Shelf::empty(Server { max_call_time: Duration::from_secs(9), ..config });
        shelf.tools = approved.into_iter().map(Arc::new).collect();
        shelf
    }

    fn names(catalogue: &Catalogue) -> Vec<&str> {
        catalogue.tools().iter().map(|tool| tool.definition.name.as_str()).collect()
    }

    #[test]
    fn f33_the_order_is_that_of_the_names_whatever_the_servers_say() {
        let (a, b) = (shelf("a", &["z", "b"]), shelf("b", &["a"]));
        let catalogue = Catalogue::build("{server}__{tool}", [&a, &b]);
        assert_eq!(names(&catalogue), ["a__b", "a__z", "b__a"]);
        let again = Catalogue::build("{server}__{tool}", [&b, &shelf("a", &["b", "z"])]);
        assert_eq!(names(&again), names(&catalogue));
        assert_eq!(again.version(), catalogue.version());
        assert_ne!(Catalogue::build("{server}__{tool}", [&a]).version(), catalogue.version());
    }

    #[test]
    fn a_tool_is_found_by_its_name_and_checks_its_arguments() {
        let catalogue = Catalogue::build("{server}__{tool}", [&shelf("a", &["get"])]);
        let tool = catalogue.get("a__get").unwrap();
        assert_eq!(tool.definition.source.to_string(), "a/get");
        assert_eq!(tool.definition.timeout, Duration::from_secs(9));
        assert!(tool.check(r#"{"id": 1}"#).is_ok());
        assert!(tool.check("").unwrap_err().contains("\"id\" is a required property"));
        assert!(catalogue.get("get").is_none());
        assert!(catalogue.of(&tool.definition.source).is_some_and(|found| Arc::ptr_eq(found, tool)));
        assert!(catalogue.of(&ToolRef { server: "a".into(), tool: "set".into() }).is_none());
    }
}
