//! Servers of 2025-11-25 and older, and those that answer in neither era's way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::super::testing::http_server;
use super::scripted::{Answer, Scripted, Seen};
use super::*;
use crate::domain::Content;

fn echo(seen: &Seen) -> Answer {
    let arguments = &seen.body["params"]["arguments"];
    Answer::result(seen, json!({"content": [{"type": "text", "text": arguments.to_string()}]}))
}

pub(super) fn legacy(seen: &Seen) -> Answer {
    match seen.method.as_str() {
        "tools/list" => Answer::result(seen, json!({"tools": tools(&["echo"])})),
        "tools/call" => echo(seen),
        _ => Answer::legacy(seen),
    }
}

#[tokio::test]
async fn a_legacy_server_is_initialized_after_the_probe() {
    let server = Scripted::start(legacy).await;
    let (fleet, status) = fleet_of(http_server("old", &server.url)).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    assert_eq!((status.era, status.protocol.as_deref()), (Some(Era::Legacy), Some("2025-11-25")));
    assert_eq!(fleet.catalogue().tools()[0].definition.name, "old__echo");
    let (result, outcome) = call(&fleet, "old", "echo", json!({})).await;
    assert_eq!(
        (text(&result), outcome),
        ("{}", ToolOutcome::Ok),
        "arguments are sent even when there are none"
    );
    assert_eq!(
        server.methods(),
        ["server/discover", "initialize", "notifications/initialized", "tools/list", "tools/call"]
    );
    let initialize = &server.seen()[1].body["params"];
    assert_eq!(initialize["capabilities"], json!({}), "nothing is declared that a gateway cannot do");
    assert_eq!(initialize["protocolVersion"], "2025-11-25");
}

#[tokio::test]
async fn a_server_that_names_only_legacy_versions_in_a_modern_error_is_initialized() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "server/discover" => {
            let data = json!({"supported": ["2025-11-25", "2025-06-18"], "requested": "2026-07-28"});
            Answer::error(400, seen, -32022, "Unsupported protocol version", data)
        }
        _ => legacy(seen),
    })
    .await;
    let (_fleet, status) = fleet_of(http_server("k8s", &server.url)).await;
    assert_eq!((status.state, status.era), (ServerState::Ready, Some(Era::Legacy)), "{status:?}");
}

#[tokio::test]
async fn a_server_that_answers_discover_with_an_empty_success_is_initialized() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "server/discover" => Answer::result(seen, json!({})),
        _ => legacy(seen),
    })
    .await;
    let (_fleet, status) = fleet_of(http_server("yes", &server.url)).await;
    assert_eq!((status.state, status.era), (ServerState::Ready, Some(Era::Legacy)), "{status:?}");
}

#[tokio::test]
async fn a_server_that_answers_everything_with_an_empty_success_fails_alone() {
    let yes = Scripted::start(|seen| Answer::result(seen, json!({}))).await;
    let good = Scripted::start(legacy).await;
    let servers = [http_server("good", &good.url), http_server("yes", &yes.url)];
    let fleet =
        Fleet::start(&servers, "{server}__{tool}", None, testing::access().await, &TaskTracker::new());
    fleet.settled().await;
    let [good, yes] = fleet.statuses().try_into().unwrap();
    assert_eq!(good.state, ServerState::Ready);
    assert_eq!(yes.state, ServerState::BackingOff);
    assert_eq!(yes.last_failure.unwrap().stage, Stage::Connect);
    assert_eq!(fleet.catalogue().tools().len(), 1);
}

#[tokio::test]
async fn wrong_credentials_are_not_tried_twice() {
    let server = Scripted::start(|seen| Answer::error(401, seen, -32000, "who are you", Value::Null)).await;
    let (_fleet, status) = fleet_of(http_server("closed", &server.url)).await;
    let failure = status.last_failure.unwrap();
    assert_eq!(failure.stage, Stage::Connect);
    assert!(failure.message.contains("HTTP 401"), "{failure}");
    assert_eq!(server.methods(), ["server/discover"]);
}

#[tokio::test]
async fn a_forgotten_session_is_started_again_and_the_call_goes_through() {
    // The sessions are numbered; the server forgets the first as a restart would, and says so without an id.
    let started = Arc::new(AtomicU32::new(0));
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "initialize" => {
            let session = if started.fetch_add(1, Ordering::SeqCst) == 0 { "first" } else { "second" };
            Answer::legacy(seen).with_session(session)
        }
        "tools/call" if seen.session.as_deref() == Some("first") => Answer::raw(
            400,
            json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "Bad Request: No valid session ID provided"}}),
        ),
        _ => legacy(seen),
    })
    .await;
    let (fleet, _) = fleet_of(http_server("everything", &server.url)).await;
    let (result, outcome) = call(&fleet, "everything", "echo", json!({"a": 1})).await;
    assert_eq!((text(&result), outcome), (r#"{"a":1}"#, ToolOutcome::Ok));
}

#[tokio::test]
async fn an_error_without_an_id_ends_its_call() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/call" => {
            Answer::raw(400, json!({"jsonrpc": "2.0", "error": {"code": -32600, "message": "not like this"}}))
        }
        _ => legacy(seen),
    })
    .await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    let (result, outcome) = call(&fleet, "s", "echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::ToolError);
    assert!(result.is_error && text(&result).contains("not like this"), "{result:?}");
}

#[tokio::test]
async fn f43_a_repeated_cursor_ends_the_list_with_a_warning() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/list" => {
            let name = seen.body["params"]["cursor"].as_str().unwrap_or("first").to_owned();
            Answer::result(seen, json!({"tools": tools(&[&name]), "nextCursor": "again"}))
        }
        _ => legacy(seen),
    })
    .await;
    let (_fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!(status.approved, ["first", "again"]);
    assert!(status.warnings[0].contains("repeated a cursor"), "{:?}", status.warnings);
    assert_eq!(status.state, ServerState::Degraded, "there may be more");
}

#[tokio::test]
async fn f30_one_bad_tool_on_the_wire_leaves_the_others() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/list" => Answer::result(
            seen,
            json!({"tools": [
                {"name": "a", "inputSchema": true, "outputSchema": true},
                {"name": 7, "inputSchema": {}},
                {"name": "b", "inputSchema": {"type": "string"}},
                {"name": "c", "annotations": {"readOnlyHint": "maybe"}},
            ]}),
        ),
        _ => legacy(seen),
    })
    .await;
    let (_fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!(status.approved, ["a", "c"]);
    let left_out: Vec<&str> = status.left_out.iter().map(|left| left.tool.as_str()).collect();
    assert_eq!(left_out, ["tool 2", "b"]);
}

#[tokio::test]
async fn f31_one_bad_content_block_on_the_wire_leaves_the_others() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/call" => Answer::result(
            seen,
            json!({"content": [
                {"type": "hologram"},
                {"type": "image", "data": "iVBORw0KGgo="},
                {"type": "text", "text": "fine"},
            ], "isError": true, "_meta": {"io.modelcontextprotocol/serverInfo": {"icons": []}}}),
        ),
        _ => legacy(seen),
    })
    .await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    let (result, outcome) = call(&fleet, "s", "echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::ToolError);
    assert_eq!(
        result.content,
        [
            Content::Text(r#"{"type":"hologram"}"#.into()),
            Content::Image { media_type: "image/png".into(), data: "iVBORw0KGgo=".into() },
            Content::Text("fine".into()),
        ]
    );
}

#[tokio::test]
async fn an_unknown_tool_is_a_tool_error_with_the_servers_words() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/call" => Answer::error(200, seen, -32602, "Unknown tool: echo", Value::Null),
        _ => legacy(seen),
    })
    .await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    let (result, outcome) = call(&fleet, "s", "echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::ToolError);
    assert!(text(&result).contains("-32602: Unknown tool: echo"), "{result:?}");
}

#[tokio::test]
async fn a_server_that_is_down_answers_with_a_tool_error() {
    let server =
        Server { call_timeout: Duration::from_millis(50), ..http_server("down", "http://127.0.0.1:1/mcp") };
    let (fleet, status) = fleet_of(server).await;
    assert_eq!(status.state, ServerState::BackingOff);
    let failure = status.last_failure.unwrap();
    assert!(failure.message.contains("refused") && !failure.message.contains("http://"), "{failure}");
    let (result, outcome) = call(&fleet, "down", "echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Unreachable);
    assert!(result.is_error && text(&result).contains("`down`"));
}

#[tokio::test]
async fn f39_a_server_that_goes_away_keeps_its_tools_and_calls_fail_fast() {
    let server = Scripted::start(legacy).await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    drop(server);
    let (result, outcome) = call(&fleet, "s", "echo", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Unreachable, "{result:?}");
    assert_eq!(fleet.catalogue().tools().len(), 1);
}
