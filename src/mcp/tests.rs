//! A fleet against servers that are scripted, made with rmcp, or shell scripts.

mod apply;
mod client_sessions;
mod fresh;
mod legacy;
mod modern;
mod process;
#[allow(clippy::needless_pass_by_value, reason = "each test writes its JSON where it is used")]
mod scripted;
mod sharing;
mod states;
mod stuck;
mod subscriptions;
mod traps;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::audit::ToolOutcome;
use crate::config::Server;
use crate::domain::ToolResult;

/// A fleet of one server that has been tried once.
async fn fleet_of(server: Server) -> (Fleet, ServerStatus) {
    let fleet =
        Fleet::start(&[server], "{server}__{tool}", None, testing::access().await, &TaskTracker::new());
    fleet.settled().await;
    let status = fleet.statuses().remove(0);
    (fleet, status)
}

/// Calls as [`Fleet::call`] does, without a clearance, which only the audit can make.
async fn call(fleet: &Fleet, server: &str, tool: &str, arguments: Value) -> (ToolResult, ToolOutcome) {
    call_until(fleet, server, tool, arguments, &CancellationToken::new()).await
}

async fn call_until(
    fleet: &Fleet,
    server: &str,
    tool: &str,
    arguments: Value,
    cancel: &CancellationToken,
) -> (ToolResult, ToolOutcome) {
    let arguments: Map<String, Value> = serde_json::from_value(arguments).unwrap();
    fleet.server(server).unwrap().call(testing::call(tool, arguments), &testing::behalf(), cancel).await
}

/// Waits until the catalogue holds exactly these names.
async fn catalogue_becomes(fleet: &Fleet, names: &[&str]) {
    let is_it = |catalogue: &std::sync::Arc<Catalogue>| {
        catalogue.tools().iter().map(|tool| tool.definition.name.as_str()).eq(names.iter().copied())
    };
    let waiting = async { fleet.watch().wait_for(is_it).await.map(drop) };
    tokio::time::timeout(std::time::Duration::from_secs(20), waiting)
        .await
        .expect("the catalogue changes")
        .unwrap();
}

/// Waits until the status of a server is as it should be.
async fn status_becomes(fleet: &Fleet, server: &str, is_it: impl Fn(&ServerStatus) -> bool) -> ServerStatus {
    until(&format!("{server} gets there"), || fleet.status(server).filter(|status| is_it(status))).await
}

async fn state_becomes(fleet: &Fleet, server: &str, state: ServerState) -> ServerStatus {
    status_becomes(fleet, server, |status| status.state == state).await
}

/// Asks again and again until there is something, for what nothing tells of.
async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(2));
        loop {
            if let Some(found) = ask() {
                return found;
            }
            pause.tick().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), asking).await.expect(what)
}

fn text(result: &ToolResult) -> &str {
    match result.content.as_slice() {
        [crate::domain::Content::Text(text)] => text,
        other => panic!("not one text: {other:?}"),
    }
}

fn tools(names: &[&str]) -> Value {
    names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect()
}
