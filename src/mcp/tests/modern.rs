//! Servers made with rmcp: 2026-07-28 over HTTP, and a session that a legacy client keeps.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ServerCapabilities, ServerConfig, Tool as RmcpTool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::super::testing::http_server;
use super::*;

/// What a running call tells the test.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Started,
    Cancelled,
}

#[derive(Clone)]
struct Waiting {
    events: mpsc::UnboundedSender<Event>,
}

impl ServerHandler for Waiting {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = |name: &'static str| RmcpTool::new(name, "waits", Arc::new(Map::new()));
        Ok(ListToolsResult::with_all_items(vec![tool("answer"), tool("wait"), tool("progress")]))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        match request.name.as_ref() {
            "wait" => {
                self.events.send(Event::Started).unwrap();
                context.ct.cancelled().await;
                self.events.send(Event::Cancelled).unwrap();
            }
            "progress" => {
                let token = context.meta.get_progress_token().unwrap();
                for step in 0..4u8 {
                    tokio::time::sleep(Duration::from_millis(150)).await;
                    let progress = ProgressNotificationParam::new(token.clone(), f64::from(step));
                    context.peer.notify_progress(progress).await.unwrap();
                }
            }
            _ => {}
        }
        Ok(CallToolResult::success(vec![ContentBlock::text("done")]).into())
    }
}

struct Running {
    url: String,
    events: mpsc::UnboundedReceiver<Event>,
    _task: AbortOnDropHandle<()>,
}

async fn start() -> Running {
    let (sender, events) = mpsc::unbounded_channel();
    let service = StreamableHttpService::new(
        move || Ok(Waiting { events: sender.clone() }),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().route_service("/mcp", service);
    let task = TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
    Running { url, events, _task: AbortOnDropHandle::new(task) }
}

#[tokio::test]
async fn a_modern_server_is_discovered_and_called() {
    let server = start().await;
    let (fleet, status) = fleet_of(http_server("new", &server.url)).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    assert_eq!((status.era, status.protocol.as_deref()), (Some(Era::Modern), Some("2026-07-28")));
    let (result, outcome) = call(&fleet, "new", "answer", json!({})).await;
    assert_eq!((text(&result), outcome), ("done", ToolOutcome::Ok));
}

#[tokio::test]
async fn a_cancelled_call_ends_at_once_and_the_server_hears_of_it() {
    let mut server = start().await;
    let (fleet, _) = fleet_of(http_server("new", &server.url)).await;
    let cancel = CancellationToken::new();
    let (fleet_of_call, cancel_of_call) = (fleet.clone(), cancel.clone());
    let running = TaskTracker::new()
        .spawn(async move { call_until(&fleet_of_call, "new", "wait", json!({}), &cancel_of_call).await });
    assert_eq!(server.events.recv().await, Some(Event::Started));
    let (_, outcome) = call(&fleet, "new", "answer", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Ok, "calls on one connection run side by side");
    cancel.cancel();
    assert_eq!(running.await.unwrap().1, ToolOutcome::Cancelled);
    assert_eq!(server.events.recv().await, Some(Event::Cancelled));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up_and_cancelled() {
    let mut server = start().await;
    let limits = Server { call_timeout: Duration::from_millis(200), ..http_server("new", &server.url) };
    let (fleet, _) = fleet_of(limits).await;
    let (result, outcome) = call(&fleet, "new", "wait", json!({})).await;
    assert_eq!(outcome, ToolOutcome::TimedOut);
    assert!(text(&result).contains("within 0.2 s"), "{result:?}");
    assert_eq!(server.events.recv().await, Some(Event::Started));
    assert_eq!(server.events.recv().await, Some(Event::Cancelled));
}

#[tokio::test]
async fn progress_keeps_a_call_alive_up_to_its_whole_time() {
    let server = start().await;
    let patient = Server { call_timeout: Duration::from_millis(400), ..http_server("patient", &server.url) };
    let (fleet, _) = fleet_of(patient.clone()).await;
    let (_, outcome) = call(&fleet, "patient", "progress", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Ok, "600 ms with progress, 400 ms of silence allowed");
    let (fleet, _) = fleet_of(Server { max_call_time: Duration::from_millis(450), ..patient }).await;
    let (_, outcome) = call(&fleet, "patient", "progress", json!({})).await;
    assert_eq!(outcome, ToolOutcome::TimedOut);
}

#[tokio::test]
async fn a_call_that_is_cancelled_before_it_starts_is_not_sent() {
    let mut server = start().await;
    let (fleet, _) = fleet_of(http_server("new", &server.url)).await;
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (_, outcome) = call_until(&fleet, "new", "wait", json!({}), &cancel).await;
    assert_eq!(outcome, ToolOutcome::Cancelled);
    assert!(server.events.try_recv().is_err());
}
