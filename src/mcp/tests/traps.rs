//! Servers that break the rules in ways that real ones do.

use std::time::Duration;

use super::super::testing::{http_server, shell_server};
use super::legacy::legacy;
use super::process::script;
use super::scripted::{Answer, Scripted};
use super::*;

#[tokio::test]
async fn f43_a_thousand_tools_in_one_page_are_all_taken() {
    let names: Vec<String> = (0..1_000).map(|number| format!("tool_{number:04}")).collect();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "tools/list" => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Answer::result(seen, json!({"tools": tools(&names)}))
        }
        _ => legacy(seen),
    })
    .await;
    let (fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!((status.state, status.approved.len()), (ServerState::Ready, 1_000));
    assert_eq!(call(&fleet, "s", "tool_0999", json!({})).await.1, ToolOutcome::Ok);
}

#[tokio::test]
async fn f43_a_server_that_starts_slowly_gets_its_whole_time_for_each_start_in_turn() {
    // In proportion as ten seconds and more are to the time that a start is given by default: too long for the first
    // way to begin, and what is left is too short for the second.
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let slow = format!("echo >> {}; sleep 1.2", starts.display());
    let server =
        Server { connect_timeout: Duration::from_millis(1_600), ..shell_server("sh", &script(&slow, "")) };
    let (fleet, status) = fleet_of(server).await;
    assert_eq!(status.state, ServerState::BackingOff, "{status:?}");
    let status = state_becomes(&fleet, "sh", ServerState::Ready).await;
    assert_eq!(status.era, Some(Era::Legacy));
    assert_eq!(std::fs::read_to_string(&starts).unwrap().lines().count(), 3, "modern, legacy; legacy");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn f43_a_line_of_more_than_16_mib_costs_its_own_call_alone() {
    let long = r#"*'"tools/call"'*'"long"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' "$id"
      head -c 17000000 /dev/zero | tr '\0' x; printf '"}]}}\n' ;;"#;
    let server = Server { call_timeout: Duration::from_secs(2), ..shell_server("sh", &script("", long)) };
    let (fleet, _) = fleet_of(server).await;
    let (_, outcome) = call(&fleet, "sh", "one", json!({"how": "long"})).await;
    assert_eq!(outcome, ToolOutcome::TimedOut);
    assert_eq!(call(&fleet, "sh", "one", json!({})).await.1, ToolOutcome::Ok);
    assert_eq!(fleet.status("sh").unwrap().state, ServerState::Ready);
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn answers_that_are_none_end_with_their_call() {
    // Each of these is an answer that rmcp passes to nobody.
    for (name, answer) in [
        ("no version", json!({"id": 0, "result": {"content": []}})),
        ("both", json!({"jsonrpc": "2.0", "id": 0, "result": {"content": []}, "error": null})),
        ("another id", json!({"jsonrpc": "2.0", "id": 4_711, "result": {"content": []}})),
    ] {
        let server = Scripted::start(move |seen| match seen.method.as_str() {
            "tools/call" => {
                let mut answer = answer.clone();
                if answer["id"] == 0 {
                    answer["id"] = seen.body["id"].clone();
                }
                Answer::raw(200, answer)
            }
            _ => legacy(seen),
        })
        .await;
        let limited = Server { call_timeout: Duration::from_millis(300), ..http_server("s", &server.url) };
        let (fleet, _) = fleet_of(limited).await;
        let before = tokio::time::Instant::now();
        let (result, outcome) = call(&fleet, "s", "echo", json!({})).await;
        assert!(before.elapsed() < Duration::from_secs(3), "{name}: {result:?}");
        assert!(result.is_error, "{name}: {outcome:?} {result:?}");
    }
}

#[tokio::test]
async fn many_calls_that_wait_do_not_hold_up_others() {
    // rmcp keeps 16 requests open at once unless told otherwise, and this server answers none of them early.
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/call" if seen.body["params"]["arguments"]["wait"] == true => Answer::never(),
        _ => legacy(seen),
    })
    .await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    let waiting = TaskTracker::new();
    for _ in 0..40 {
        let fleet = fleet.clone();
        waiting.spawn(async move { call(&fleet, "s", "echo", json!({"wait": true})).await });
    }
    until("all calls", || (server.count("tools/call") == 40).then_some(())).await;
    assert_eq!(call(&fleet, "s", "echo", json!({})).await.1, ToolOutcome::Ok);
}
