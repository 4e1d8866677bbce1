//! Servers of 2026-07-28 that say when their tools change, or promise to.

use std::sync::Arc;
use std::time::Duration;

use rmcp::model::{
    ErrorData, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, SubscriptionFilter,
    Tool as RmcpTool,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{RoleServer, ServerHandler};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::super::testing::http_server;
use super::scripted::{Answer, Scripted};
use super::*;

/// What a server does with a subscription.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Tells,
    /// Ends it after each notice.
    Ends,
    /// Does not know the method, though it says that its list changes.
    Unknown,
}

#[derive(Clone)]
struct Changing {
    tool: watch::Sender<&'static str>,
    subscriptions: watch::Sender<usize>,
    manner: Manner,
}

impl ServerHandler for Changing {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_tool_list_changed().build())
    }

    async fn list_tools(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tool = RmcpTool::new(*self.tool.borrow(), "changes", Arc::new(Map::new()));
        Ok(ListToolsResult::with_all_items(vec![tool]))
    }

    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        (self.manner != Manner::Unknown).then(|| requested.clone())
    }

    async fn listen(&self, context: SubscriptionContext) -> Result<(), ErrorData> {
        let mut tool = self.tool.subscribe();
        self.subscriptions.send_modify(|count| *count += 1);
        while tool.changed().await.is_ok() {
            context.sink().notify_tool_list_changed().await.unwrap();
            if self.manner == Manner::Ends {
                break;
            }
        }
        Ok(())
    }
}

struct Running {
    url: String,
    server: Changing,
    _task: AbortOnDropHandle<()>,
}

impl Running {
    async fn start(manner: Manner) -> Self {
        let server =
            Changing { tool: watch::Sender::new("first"), subscriptions: watch::Sender::new(0), manner };
        let handler = server.clone();
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(LocalSessionManager::default()),
            StreamableHttpServerConfig::default(),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = axum::Router::new().route_service("/mcp", service);
        let task = TaskTracker::new().spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, server, _task: AbortOnDropHandle::new(task) }
    }

    async fn subscribed(&self, count: usize) {
        let mut subscriptions = self.server.subscriptions.subscribe();
        let waiting = subscriptions.wait_for(|so_far| *so_far >= count);
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("a subscription").unwrap();
    }
}

/// So seldom that only a notice can be what was noticed.
fn never_asked(url: &str) -> Server {
    let never = Duration::from_hours(1);
    Server { relist: never, probe: never, ..http_server("new", url) }
}

#[tokio::test]
async fn f38_a_modern_server_tells_of_changes_by_subscription() {
    let running = Running::start(Manner::Tells).await;
    let (fleet, status) = fleet_of(never_asked(&running.url)).await;
    assert_eq!((status.era, &*status.approved[0]), (Some(Era::Modern), "first"));
    running.subscribed(1).await;
    running.server.tool.send_replace("second");
    catalogue_becomes(&fleet, &["new__second"]).await;
    running.server.tool.send_replace("third");
    catalogue_becomes(&fleet, &["new__third"]).await;
}

#[tokio::test]
async fn f38_a_subscription_that_ends_is_followed_by_another() {
    let running = Running::start(Manner::Ends).await;
    let (fleet, _) = fleet_of(never_asked(&running.url)).await;
    for (count, tool) in [(1, "second"), (2, "third")] {
        running.subscribed(count).await;
        running.server.tool.send_replace(tool);
        catalogue_becomes(&fleet, &[&format!("new__{tool}")]).await;
    }
    // Between two subscriptions nobody is told; the next one finds out.
    running.server.tool.send_replace("fourth");
    catalogue_becomes(&fleet, &["new__fourth"]).await;
}

#[tokio::test]
async fn a_server_that_does_not_know_subscriptions_is_as_good_as_any() {
    let running = Running::start(Manner::Unknown).await;
    let relisted = Server { relist: Duration::from_millis(50), ..never_asked(&running.url) };
    let (fleet, _) = fleet_of(relisted).await;
    running.server.tool.send_replace("second");
    catalogue_becomes(&fleet, &["new__second"]).await;
    let status = fleet.status("new").unwrap();
    assert_eq!((status.state, status.last_failure), (ServerState::Ready, None));
}

#[tokio::test]
async fn a_subscription_that_is_never_acknowledged_holds_nothing_up() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "server/discover" => Answer::result(
            seen,
            json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {"listChanged": true}},
            }),
        ),
        "subscriptions/listen" => Answer::never(),
        "tools/list" => Answer::result(
            seen,
            json!({"resultType": "complete", "tools": tools(&["a"]), "ttlMs": 0, "cacheScope": "private"}),
        ),
        _ => Answer::result(seen, json!({"resultType": "complete", "content": []})),
    })
    .await;
    let probed = Server { probe: Duration::from_millis(50), ..http_server("new", &server.url) };
    let (fleet, status) = fleet_of(probed).await;
    assert_eq!((status.state, status.era), (ServerState::Ready, Some(Era::Modern)), "{status:?}");
    until("a subscription", || (server.count("subscriptions/listen") > 0).then_some(())).await;
    until("probes", || (server.count("tools/list") > 3).then_some(())).await;
    assert_eq!(call(&fleet, "new", "a", json!({})).await.1, ToolOutcome::Ok);
    assert_eq!(server.count("server/discover"), 1, "rmcp would hold back all calls behind another one");
    assert_eq!(fleet.status("new").unwrap().state, ServerState::Ready);
}

#[tokio::test]
async fn a_list_with_a_long_life_is_no_sign_of_it() {
    let running = Running::start(Manner::Tells).await;
    let probed = Server { probe: Duration::from_millis(50), ..never_asked(&running.url) };
    let (fleet, status) = fleet_of(probed).await;
    assert_eq!(status.state, ServerState::Ready);
    drop(running);
    let status = status_becomes(&fleet, "new", |status| !status.is_up()).await;
    assert_eq!(status.last_failure.unwrap().stage, Stage::List, "rmcp's cache would answer for it");
}
