//! Servers that hang or stumble, and how they come back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::SecretString;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::super::testing::{http_server, shell_server};
use super::legacy::legacy;
use super::process::script;
use super::scripted::{Answer, Scripted, Seen};
use super::states::Switch;
use super::*;
use crate::config::Transport;

/// Ends child processes that would not end by themselves.
const AT_ONCE: Duration = Duration::from_millis(10);

/// A server of 2026-07-28 whose n-th list is what this says.
async fn modern(list: impl Fn(&Seen, usize) -> Answer + Clone + Send + Sync + 'static) -> Scripted {
    let lists = Arc::new(AtomicUsize::new(0));
    Scripted::start(move |seen| match seen.method.as_str() {
        "server/discover" => Answer::result(
            seen,
            json!({
                "resultType": "complete", "supportedVersions": ["2026-07-28"], "ttlMs": 0, "cacheScope": "private",
                "capabilities": {"tools": {}},
            }),
        ),
        _ => list(seen, lists.fetch_add(1, Ordering::SeqCst)),
    })
    .await
}

/// It is good for so long that only questions of life come again.
fn list(seen: &Seen) -> Answer {
    let life = 3_600_000;
    let list =
        json!({"resultType": "complete", "tools": tools(&["a"]), "ttlMs": life, "cacheScope": "private"});
    Answer::result(seen, list)
}

#[tokio::test]
async fn f43_a_server_that_reads_no_more_is_started_anew_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let starts = folder.path().join("starts");
    let server = Server {
        call_timeout: Duration::from_millis(300),
        max_call_time: Duration::from_millis(300),
        ..shell_server(
            "sh",
            &script(
                &format!("echo >> {}", starts.display()),
                r#"*'"tools/list"'*) list one; exec sleep 600 ;;"#,
            ),
        )
    };
    let (fleet, status) = fleet_of(server).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    let started = || std::fs::read_to_string(&starts).unwrap().lines().count();
    let before = started();
    // More than a pipe holds: it is never written to its end.
    let (_, outcome) = call(&fleet, "sh", "one", json!({"text": "x".repeat(1_000_000)})).await;
    assert_eq!(outcome, ToolOutcome::TimedOut);
    assert!(fleet.restart("sh"));
    until("another start", || (started() > before).then_some(())).await;
    state_becomes(&fleet, "sh", ServerState::Ready).await;
    fleet.shutdown(AT_ONCE).await;
}

#[tokio::test]
async fn a_server_that_hangs_under_traffic_is_connected_anew() {
    let hangs = Switch::default();
    let stuck = hangs.clone();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        _ if stuck.is_on() => Answer::never(),
        "ping" => Answer::result(seen, json!({})),
        _ => legacy(seen),
    })
    .await;
    let watched = Server {
        probe: Duration::from_millis(20),
        connect_timeout: Duration::from_millis(400),
        call_timeout: Duration::from_millis(300),
        ..http_server("s", &server.url)
    };
    let (fleet, _) = fleet_of(watched).await;
    hangs.set(true);
    // Several, so that some call runs at every moment.
    let traffic: Vec<_> = (0..4)
        .map(|turn| {
            let caller = fleet.clone();
            let calls = async move {
                tokio::time::sleep(Duration::from_millis(70 * turn)).await;
                loop {
                    call(&caller, "s", "echo", json!({})).await;
                }
            };
            AbortOnDropHandle::new(TaskTracker::new().spawn(calls))
        })
        .collect();
    let status = state_becomes(&fleet, "s", ServerState::BackingOff).await;
    assert_eq!(status.last_failure.unwrap().stage, Stage::Probe);
    drop(traffic);
    hangs.set(false);
    state_becomes(&fleet, "s", ServerState::Ready).await;
}

#[tokio::test]
async fn f38_a_change_is_noticed_though_the_list_after_it_fails() {
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let error = r#"{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"being deployed"}}\n"#;
    let cases = format!(
        r#"*'"tools/list"'*) n=$((n+1))
      if [ $n = 1 ]; then list one; echo '{notice}'; elif [ $n = 2 ]; then printf '{error}' "$id"; else list two; fi ;;"#
    );
    let (fleet, _) = fleet_of(shell_server("sh", &script("n=0", &cases))).await;
    let status = state_becomes(&fleet, "sh", ServerState::Degraded).await;
    assert!(status.last_failure.unwrap().message.contains("being deployed"));
    catalogue_becomes(&fleet, &["sh__two"]).await;
    state_becomes(&fleet, "sh", ServerState::Ready).await;
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn one_bad_answer_does_not_end_a_connection() {
    let server = modern(|seen, count| match count {
        1 => Answer::raw(503, Value::Null),
        _ => list(seen),
    })
    .await;
    let probed = Server { probe: Duration::from_millis(50), ..http_server("new", &server.url) };
    let (fleet, status) = fleet_of(probed).await;
    assert_eq!((status.state, status.era), (ServerState::Ready, Some(Era::Modern)), "{status:?}");
    let failed = |status: &ServerStatus| status.last_failure.is_some() && status.state == ServerState::Ready;
    let failure = status_becomes(&fleet, "new", failed).await.last_failure.unwrap();
    assert!(failure.message.contains("503"), "{failure}");
    assert_eq!(server.count("server/discover"), 1);
}

#[tokio::test]
async fn a_server_that_answers_with_errors_is_there() {
    let server = modern(|seen, count| match count {
        0 => list(seen),
        _ => Answer::error(200, seen, -32603, "the database is down", Value::Null),
    })
    .await;
    let probed = Server { probe: Duration::from_millis(20), ..http_server("new", &server.url) };
    let (fleet, _) = fleet_of(probed).await;
    until("probes", || (server.count("tools/list") > 5).then_some(())).await;
    assert_eq!(fleet.status("new").unwrap().state, ServerState::Degraded);
    assert_eq!(server.count("server/discover"), 1);
}

#[tokio::test]
async fn a_connection_that_broke_off_counts_as_down_before_its_process_has_ended() {
    let cases = r#"*'"tools/call"'*) exec >&-; sleep 600 ;;"#;
    let (fleet, status) = fleet_of(shell_server("sh", &script("", cases))).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    assert_eq!(call(&fleet, "sh", "one", json!({})).await.1, ToolOutcome::Unreachable);
    let is_ending =
        |status: &ServerStatus| status.state == ServerState::BackingOff && status.next_attempt.is_none();
    status_becomes(&fleet, "sh", is_ending).await;
    fleet.shutdown(AT_ONCE).await;
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_server_that_is_configured_no_more() {
    let mute = Scripted::start(|_| Answer::never()).await;
    let fleet = Fleet::start(
        &[http_server("s", &mute.url)],
        "{server}__{tool}",
        None,
        testing::access().await,
        &TaskTracker::new(),
    );
    let server = fleet.server("s").unwrap();
    let (before, waits) = (Instant::now(), server.clone());
    let call = async move {
        waits.call(testing::call("echo", Map::new()), &testing::behalf(), &CancellationToken::new()).await
    };
    let waiting = TaskTracker::new().spawn(call);
    until("the call waits", || (!server.calls.is_empty()).then_some(())).await;
    fleet.apply(&[], "{server}__{tool}");
    let (result, outcome) = waiting.await.unwrap();
    assert!(before.elapsed() < Duration::from_secs(4), "{:?}", before.elapsed());
    assert_eq!(outcome, ToolOutcome::Unreachable);
    assert!(text(&result).contains("configured anew"), "{result:?}");
}

#[tokio::test]
async fn a_proxy_without_its_server_is_tried_again_soon() {
    let is_up = Switch::default();
    let up = is_up.clone();
    let server =
        Scripted::start(move |seen| if up.is_on() { legacy(seen) } else { Answer::raw(404, Value::Null) })
            .await;
    let (fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!(status.state, ServerState::BackingOff, "{status:?}");
    is_up.set(true);
    state_becomes(&fleet, "s", ServerState::Ready).await;
}

#[tokio::test]
async fn a_status_in_the_words_of_a_server_means_nothing() {
    let server = Scripted::start(|seen| {
        Answer::error(200, seen, -32603, "the database answered HTTP 403 Forbidden", Value::Null)
    })
    .await;
    let (_fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!(status.state, ServerState::BackingOff, "{status:?}");
}

#[tokio::test]
async fn f55_what_a_server_says_of_a_credential_is_not_repeated() {
    let server = Scripted::start(|_| Answer::raw(403, json!({"not with": "Bearer s3cret-token-1"}))).await;
    let mut closed = http_server("closed", &server.url);
    let Transport::Http { headers, .. } = &mut closed.transport else { unreachable!() };
    *headers = BTreeMap::from([("authorization".to_owned(), SecretString::from("Bearer s3cret-token-1"))]);
    let (_fleet, status) = fleet_of(closed).await;
    let failure = status.last_failure.unwrap().to_string();
    assert!(failure.contains("HTTP 403") && failure.contains("[redacted]"), "{failure}");
    assert!(!failure.contains("s3cret"), "{failure}");
}
