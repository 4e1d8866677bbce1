//! Servers that are child processes: shell scripts that speak just enough MCP.

use std::time::Duration;

use super::super::testing::shell_server;
use super::*;

/// Reads requests and answers them; `before` runs first, `cases` answer more methods or others differently.
pub(super) fn script(before: &str, cases: &str) -> String {
    format!(
        r#"
{before}
answer() {{ printf '{{"jsonrpc":"2.0","id":%s,"result":%s}}\n' "$id" "$1"; }}
fail() {{ printf '{{"jsonrpc":"2.0","id":%s,"error":{{"code":-32601,"message":"Method not found"}}}}\n' "$id"; }}
list() {{ answer '{{"tools":[{{"name":"'"$1"'","inputSchema":{{"type":"object"}}}}]}}'; }}
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\([0-9]*\).*/\1/p')
  case "$line" in
    {cases}
    *'"initialize"'*) answer '{{"protocolVersion":"2025-06-18","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"sh","version":"1"}}}}' ;;
    *'"notifications/'*) ;;
    *'"tools/list"'*) list one ;;
    *'"tools/call"'*) answer '{{"content":[{{"type":"text","text":"from sh"}}]}}' ;;
    *) fail ;;
  esac
done
"#
    )
}

#[tokio::test]
async fn a_child_process_is_listed_called_and_gone_after_shutdown() {
    let folder = tempfile::tempdir().unwrap();
    let ended = folder.path().join("ended");
    let server = shell_server("sh", &(script("", "") + &format!("\necho yes > {}", ended.display())));
    let (fleet, status) = fleet_of(server).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    assert_eq!((status.era, status.url.as_str()), (Some(Era::Legacy), "stdio:sh"));
    assert_eq!(status.protocol.as_deref(), Some("2025-06-18"));
    let (result, outcome) = call(&fleet, "sh", "one", json!({})).await;
    assert_eq!((text(&result), outcome), ("from sh", ToolOutcome::Ok));
    fleet.shutdown(Duration::from_secs(10)).await;
    assert!(ended.exists(), "the child saw the end of its input and finished in order");
}

#[tokio::test]
async fn f43_junk_on_standard_output_does_no_harm() {
    let junk = "echo '[dotenv] injecting env'; echo '{\"level\":\"info\"}'; echo";
    let (fleet, status) = fleet_of(shell_server("sh", &script(junk, ""))).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    assert_eq!(call(&fleet, "sh", "one", json!({})).await.1, ToolOutcome::Ok);
}

#[tokio::test]
async fn a_child_that_ends_at_once_is_reported_with_its_last_words() {
    let (fleet, status) = fleet_of(shell_server("sh", "echo 'TOKEN is missing' >&2; exit 2")).await;
    assert_eq!(status.state, ServerState::BackingOff);
    let failure = status.last_failure.unwrap().to_string();
    assert!(failure.contains("TOKEN is missing") && failure.contains("exit status: 2"), "{failure}");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_reported() {
    let mut server = shell_server("none", "");
    if let crate::config::Transport::Stdio { command, .. } = &mut server.transport {
        *command = "no-such-program".into();
    }
    let (_fleet, status) = fleet_of(server).await;
    let failure = status.last_failure.unwrap().to_string();
    assert!(failure.starts_with("connecting: cannot start `no-such-program`"), "{failure}");
}

#[tokio::test]
async fn a_process_that_refuses_everything_after_the_probe_gets_a_fresh_one() {
    let guard = r#"*'"server/discover"'*) answer '{}'; exec sleep 600 ;;"#;
    let (fleet, status) = fleet_of(shell_server("sh", &script("", guard))).await;
    assert_eq!((status.state, status.era), (ServerState::Ready, Some(Era::Legacy)), "{status:?}");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn f38_a_changed_list_is_listed_again() {
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let cases = format!(
        r#"*'"tools/list"'*) if [ -z "$listed" ]; then listed=1; list one; echo '{notice}'; else list two; fi ;;"#
    );
    let (fleet, _) = fleet_of(shell_server("sh", &script("", &cases))).await;
    catalogue_becomes(&fleet, &["sh__two"]).await;
    assert_eq!(fleet.statuses()[0].approved, ["two"]);
}

#[tokio::test]
async fn a_cancelled_call_reaches_a_legacy_process() {
    // A call is never answered; its cancellation is, with a new list.
    let started = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let cases = format!(
        r#"*'"tools/call"'*) called=$id; list=called; echo '{started}' ;;
    *'"notifications/cancelled"'*'"requestId":'$called*) list=cancelled; echo '{started}' ;;
    *'"tools/list"'*) list "${{list:-one}}" ;;"#
    );
    let (fleet, _) = fleet_of(shell_server("sh", &script("", &cases))).await;
    let cancel = CancellationToken::new();
    let (fleet_of_call, cancel_of_call) = (fleet.clone(), cancel.clone());
    let running = TaskTracker::new()
        .spawn(async move { call_until(&fleet_of_call, "sh", "one", json!({}), &cancel_of_call).await });
    catalogue_becomes(&fleet, &["sh__called"]).await;
    cancel.cancel();
    assert_eq!(running.await.unwrap().1, ToolOutcome::Cancelled);
    catalogue_becomes(&fleet, &["sh__cancelled"]).await;
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_child_that_dies_is_started_again_and_its_tools_stay() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("died");
    let dies_once = format!(
        r#"*'"tools/call"'*) if [ -e {0} ]; then answer '{{"content":[]}}'; else : > {0}; echo 'out of memory' >&2; exit 9; fi ;;"#,
        marker.display()
    );
    let (fleet, _) = fleet_of(shell_server("sh", &script("", &dies_once))).await;
    let (result, outcome) = call(&fleet, "sh", "one", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Unreachable);
    assert!(text(&result).contains("whether the tool ran is not known"), "{result:?}");
    let (_, outcome) = call(&fleet, "sh", "one", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Ok, "a call waits for the connection that is being made");
    assert_eq!(fleet.catalogue().tools().len(), 1);
    let failure = fleet.statuses()[0].last_failure.clone().unwrap().to_string();
    assert!(failure.contains("running") && failure.contains("out of memory"), "{failure}");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_child_that_does_not_want_to_end_is_killed_in_time() {
    let stubborn = "trap '' TERM; ".to_owned() + &script("", "") + "\nwhile :; do sleep 600; done";
    let (fleet, status) = fleet_of(shell_server("sh", &stubborn)).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    let before = tokio::time::Instant::now();
    fleet.shutdown(Duration::from_millis(200)).await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
}
