//! A scripted MCP server over streamable HTTP, made with rmcp: tools whose calls the test answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use futures::future::BoxFuture;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ListToolsResult, PaginatedRequestParams,
    ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::client::patiently;
use crate::provider::Gate;

type Handler = Arc<dyn Fn(Map<String, Value>) -> BoxFuture<'static, Value> + Send + Sync>;

/// The server, as the tests see it.
#[derive(Clone, Default)]
pub struct McpServer {
    tools: BTreeMap<String, (Value, String, Handler)>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<(String, Value)>>,
    metas: Mutex<Vec<Value>>,
    arrived: watch::Sender<usize>,
    cancelled: watch::Sender<usize>,
    lists: watch::Sender<usize>,
    descriptions: Mutex<BTreeMap<String, String>>,
    withheld: Mutex<BTreeSet<String>>,
    runtimes: Mutex<Vec<Runtime>>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.runtimes.get_mut().unwrap().drain(..).for_each(Runtime::shutdown_background);
    }
}

impl McpServer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tool that takes any object and answers at once with this result (`CallToolResult` as JSON).
    pub fn tool(self, name: &str, result: Value) -> Self {
        self.tool_with(name, json!({"type": "object", "properties": {}}), move |_| {
            let result = result.clone();
            Box::pin(async move { result })
        })
    }

    /// Adds a tool that answers with its arguments as text.
    pub fn echo(self, name: &str) -> Self {
        self.tool_with(name, json!({"type": "object", "properties": {}}), |arguments| {
            Box::pin(async move { text(&Value::Object(arguments).to_string()) })
        })
    }

    /// Adds a tool with this input schema and handler.
    pub fn tool_with(
        mut self,
        name: &str,
        schema: Value,
        handler: impl Fn(Map<String, Value>) -> BoxFuture<'static, Value> + Send + Sync + 'static,
    ) -> Self {
        self.tools.insert(name.to_owned(), (schema, format!("The tool {name}."), Arc::new(handler)));
        self
    }

    /// Adds a tool that answers with its name once the gate is open.
    pub fn gated(self, name: &str, gate: &Gate) -> Self {
        let (gate, result) = (gate.clone(), text(name));
        self.tool_with(name, json!({"type": "object", "properties": {}}), move |_| {
            let (gate, result) = (gate.clone(), result.clone());
            Box::pin(async move {
                gate.pass().await;
                result
            })
        })
    }

    /// Describes a tool otherwise from now on.
    pub fn describe(&self, tool: &str, description: &str) {
        self.shared.descriptions.lock().unwrap().insert(tool.to_owned(), description.to_owned());
    }

    /// Lists a tool, or does not list it any more.
    pub fn list(&self, tool: &str, is_listed: bool) {
        let mut withheld = self.shared.withheld.lock().unwrap();
        if is_listed {
            withheld.remove(tool)
        } else {
            withheld.insert(tool.to_owned())
        };
    }

    /// Waits until the tools have been listed once more, from the first page on.
    pub async fn listed_again(&self) {
        let mut lists = self.shared.lists.subscribe();
        let before = *lists.borrow_and_update();
        patiently("a list", lists.wait_for(|lists| *lists > before)).await.unwrap();
    }

    /// Starts the server on loopback and gives its URL.
    ///
    /// It runs in threads of its own, so that it can go down with all its connections.
    #[allow(clippy::unused_async, reason = "as the other servers of the tests start")]
    pub async fn start(&self) -> String {
        self.start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// The same at an address of the test's choice, such as one where it has been before.
    pub fn start_at(&self, address: SocketAddr) -> String {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let server = self.clone();
        let service = StreamableHttpService::new(
            move || Ok(server.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let routes = Router::new().nest_service("/mcp", service);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.spawn(async move {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), routes).await
        });
        self.shared.runtimes.lock().unwrap().push(runtime);
        format!("http://{address}/mcp")
    }

    /// Goes down, and all connections with it.
    pub fn go_down(&self) {
        self.shared.runtimes.lock().unwrap().drain(..).for_each(Runtime::shutdown_background);
    }

    /// The calls so far: tool and arguments.
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// The `_meta` of each call so far.
    pub fn metas(&self) -> Vec<Value> {
        self.shared.metas.lock().unwrap().clone()
    }

    /// Waits until this many calls have come.
    pub async fn arrived(&self, count: usize) {
        let mut arrived = self.shared.arrived.subscribe();
        patiently("arrived", arrived.wait_for(|arrived| *arrived >= count)).await.unwrap();
    }

    /// How many calls were cancelled so far.
    pub fn cancellations(&self) -> usize {
        *self.shared.cancelled.borrow()
    }

    /// Waits until this many calls were cancelled.
    pub async fn cancelled(&self, count: usize) {
        let mut cancelled = self.shared.cancelled.subscribe();
        patiently("cancelled", cancelled.wait_for(|cancelled| *cancelled >= count)).await.unwrap();
    }
}

/// A result of one text.
pub fn text(text: &str) -> Value {
    json!({"content": [{"type": "text", "text": text}]})
}

impl ServerHandler for McpServer {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::default();
        info.capabilities = ServerCapabilities::builder().enable_tools().build();
        info
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let (said, withheld) =
            (self.shared.descriptions.lock().unwrap(), self.shared.withheld.lock().unwrap());
        self.shared.lists.send_modify(|lists| *lists += 1);
        let listed = self.tools.iter().filter(|(name, _)| !withheld.contains(*name));
        let tool = |(name, (schema, description, _)): (&String, &(Value, String, Handler))| -> Tool {
            let description = said.get(name).unwrap_or(description);
            serde_json::from_value(json!({"name": name, "description": description, "inputSchema": schema}))
                .unwrap()
        };
        Ok(ListToolsResult::with_all_items(listed.map(tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (_, _, handler) = self.tools.get(&*request.name).unwrap().clone();
        let arguments = request.arguments.unwrap_or_default();
        self.shared.calls.lock().unwrap().push((request.name.to_string(), Value::Object(arguments.clone())));
        self.shared.metas.lock().unwrap().push(serde_json::to_value(&context.meta).unwrap());
        self.shared.arrived.send_modify(|arrived| *arrived += 1);
        tokio::select! {
            result = handler(arguments) => {
                let result: CallToolResult = serde_json::from_value(result).unwrap();
                Ok(result.into())
            }
            () = context.ct.cancelled() => {
                self.shared.cancelled.send_modify(|cancelled| *cancelled += 1);
                Err(ErrorData::internal_error("cancelled", None))
            }
        }
    }
}
