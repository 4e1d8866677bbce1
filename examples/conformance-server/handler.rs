//! The server's side of every method.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, GetPromptRequestParams,
    GetPromptResponse, InputRequiredResult, ListPromptsResult, ListResourceTemplatesResult,
    ListResourcesResult, ListToolsResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig, SetLevelRequestParams,
    SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{NotificationContext, RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::inputs::{self, Given};
use super::{content, tools};

/// The server; its clones are one server.
#[derive(Debug, Clone)]
pub struct ConformanceServer {
    pub changes: broadcast::Sender<Change>,
    more_tools: Arc<AtomicBool>,
    more_prompts: Arc<AtomicBool>,
}

/// Which list changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Tools,
    Prompts,
}

impl Default for ConformanceServer {
    fn default() -> Self {
        Self { changes: broadcast::channel(64).0, more_tools: Arc::default(), more_prompts: Arc::default() }
    }
}

impl ConformanceServer {
    /// Its endpoint, at `/mcp`.
    pub fn routes(self) -> axum::Router {
        let config = StreamableHttpServerConfig::default()
            .with_allowed_origins(["http://localhost:*", "http://127.0.0.1:*"]);
        let sessions = Arc::new(LocalSessionManager::default());
        let service = StreamableHttpService::new(move || Ok(self.clone()), sessions, config);
        axum::Router::new().nest_service("/mcp", service)
    }

    /// Adds what comes and goes to a list, or takes it away, and says so.
    pub fn change(&self, change: Change) {
        let list = match change {
            Change::Tools => &self.more_tools,
            Change::Prompts => &self.more_prompts,
        };
        list.fetch_xor(true, Ordering::SeqCst);
        // Nobody may be listening.
        let _ = self.changes.send(change);
    }

    fn tools(&self) -> Vec<Value> {
        content::tools(self.more_tools.load(Ordering::SeqCst))
    }
}

/// A complete result, as one of rmcp's types; for older clients rmcp takes the type out again.
fn complete<T: DeserializeOwned>(mut result: Value) -> Result<T, ErrorData> {
    result["resultType"] = "complete".into();
    typed(result)
}

/// JSON as one of rmcp's types.
pub fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|error| ErrorData::internal_error(error.to_string(), None))
}

fn given<'a>(responses: Option<&'a serde_json::Map<String, Value>>, state: Option<&'a String>) -> Given<'a> {
    Given { responses, state: state.map(String::as_str) }
}

impl ServerHandler for ConformanceServer {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::default();
        info.server_info.name = "conformance-server".into();
        info.server_info.version = env!("CARGO_PKG_VERSION").into();
        info.instructions = Some("Call the tools by the names that the suite knows.".into());
        let capabilities = json!({
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "logging": {},
            "completions": {}
        });
        info.capabilities = typed(capabilities).unwrap_or_else(|_| ServerCapabilities::default());
        info
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        complete(json!({"tools": self.tools()}))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let tool = self.tools().into_iter().find(|tool| tool["name"] == name)?;
        typed(tool).ok()
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = Value::Object(call.arguments.unwrap_or_default());
        if let Some(result) = tools::call(self, &call.name, &arguments, &context).await? {
            return Ok(CallToolResponse::Complete(complete(result)?));
        }
        let responses = call.input_responses.map(|responses| responses.into_iter().collect());
        let client = context.client_capabilities().unwrap_or_default();
        let result =
            inputs::answer(&call.name, &given(responses.as_ref(), call.request_state.as_ref()), &client)?;
        if result["resultType"] == "input_required" {
            return Ok(CallToolResponse::InputRequired(typed::<InputRequiredResult>(result)?));
        }
        Ok(CallToolResponse::Complete(complete(result)?))
    }

    async fn list_prompts(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        complete(json!({"prompts": content::prompts(self.more_prompts.load(Ordering::SeqCst))}))
    }

    async fn get_prompt(
        &self,
        prompt: GetPromptRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let arguments = Value::Object(prompt.arguments.unwrap_or_default());
        if let Some(messages) = content::messages(&prompt.name, &arguments) {
            return Ok(GetPromptResponse::Complete(complete(json!({"messages": messages}))?));
        }
        if prompt.name != "test_input_required_result_prompt" {
            return Err(ErrorData::invalid_params(format!("Unknown prompt: {}", prompt.name), None));
        }
        let responses = prompt.input_responses.map(|responses| responses.into_iter().collect());
        match inputs::for_prompt(&given(responses.as_ref(), prompt.request_state.as_ref())) {
            Ok(messages) => Ok(GetPromptResponse::Complete(complete(json!({"messages": messages}))?)),
            Err(need) => Ok(GetPromptResponse::InputRequired(typed(need)?)),
        }
    }

    async fn list_resources(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        complete(json!({"resources": content::resources()}))
    }

    async fn list_resource_templates(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        complete(json!({"resourceTemplates": content::templates()}))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let Some(content) = content::resource(&request.uri) else {
            return Err(ErrorData::resource_not_found(
                "Resource not found",
                Some(json!({"uri": request.uri})),
            ));
        };
        let result: ReadResourceResult = complete(json!({"contents": [content]}))?;
        Ok(result.into())
    }

    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        complete(json!({"completion": {"values": ["test", "testing"], "total": 2, "hasMore": false}}))
    }

    async fn set_level(
        &self,
        _request: SetLevelRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(
        &self,
        _request: SubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _request: UnsubscribeRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.changes.subscribe();
        loop {
            let change = tokio::select! {
                () = context.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // What was not accepted is refused by the sink, and that is all there is to do about it.
            let _ = match change {
                Ok(Change::Tools) => context.sink().notify_tool_list_changed().await,
                Ok(Change::Prompts) => context.sink().notify_prompt_list_changed().await,
                Err(_) => return Ok(()),
            };
        }
    }

    async fn on_initialized(&self, context: NotificationContext<RoleServer>) {
        let mut changes = self.changes.subscribe();
        while let Ok(change) = changes.recv().await {
            let told = match change {
                Change::Tools => context.peer.notify_tool_list_changed().await,
                Change::Prompts => context.peer.notify_prompt_list_changed().await,
            };
            if told.is_err() {
                return;
            }
        }
    }
}
