//! Lists that change, and how that is noticed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::super::testing::{http_server, shell_server};
use super::legacy::legacy;
use super::process::script;
use super::scripted::{Answer, Scripted, Seen};
use super::*;

/// A legacy server whose n-th list is what this says; it answers probes.
async fn listing(
    list: impl Fn(&Seen, usize) -> Answer + Clone + Send + Sync + 'static,
) -> (Scripted, Arc<AtomicUsize>) {
    let lists = Arc::new(AtomicUsize::new(0));
    let count = lists.clone();
    let server = Scripted::start(move |seen| match seen.method.as_str() {
        "tools/list" => list(seen, count.fetch_add(1, Ordering::SeqCst)),
        "ping" => Answer::result(seen, json!({})),
        _ => legacy(seen),
    })
    .await;
    (server, lists)
}

async fn listed(lists: &AtomicUsize, count: usize) {
    until("another list", || (lists.load(Ordering::SeqCst) >= count).then_some(())).await;
}

#[tokio::test]
async fn f38_tools_are_listed_again_without_being_told_to() {
    let (server, _) = listing(|seen, count| {
        let name = if count < 2 { "old" } else { "new" };
        Answer::result(seen, json!({"tools": tools(&[name])}))
    })
    .await;
    let relisted = Server { relist: Duration::from_millis(30), ..http_server("s", &server.url) };
    let (fleet, status) = fleet_of(relisted).await;
    assert_eq!(status.approved, ["old"]);
    catalogue_becomes(&fleet, &["s__new"]).await;
}

#[tokio::test]
async fn f38_a_list_that_says_how_long_it_lives_is_asked_for_again_when_it_is_old() {
    let (server, _) = listing(|seen, count| {
        let name = if count < 2 { "old" } else { "new" };
        Answer::result(seen, json!({"tools": tools(&[name]), "ttlMs": 0, "cacheScope": "private"}))
    })
    .await;
    let probed = Server { probe: Duration::from_millis(30), ..http_server("s", &server.url) };
    let (fleet, _) = fleet_of(probed).await;
    catalogue_becomes(&fleet, &["s__new"]).await;
}

#[tokio::test]
async fn a_list_that_is_the_same_changes_nothing() {
    let (server, lists) = listing(|seen, _| Answer::result(seen, json!({"tools": tools(&["a", "b"])}))).await;
    let relisted = Server { relist: Duration::from_millis(10), ..http_server("s", &server.url) };
    let (fleet, _) = fleet_of(relisted).await;
    let (watch, before) = (fleet.watch(), fleet.catalogue());
    listed(&lists, 4).await;
    assert!(!watch.has_changed().unwrap());
    assert!(Arc::ptr_eq(&before, &fleet.catalogue()), "the very same snapshot");
}

#[tokio::test]
async fn a_list_that_fails_keeps_the_known_tools_and_is_told() {
    let (server, _) = listing(|seen, count| match count {
        1..4 => Answer::error(200, seen, -32603, "the database is down", Value::Null),
        _ => Answer::result(seen, json!({"tools": tools(&["kept"])})),
    })
    .await;
    let relisted = Server { relist: Duration::from_millis(250), ..http_server("s", &server.url) };
    let (fleet, _) = fleet_of(relisted).await;
    let status = state_becomes(&fleet, "s", ServerState::Degraded).await;
    let failure = status.last_failure.unwrap();
    assert!(failure.stage == Stage::List && failure.message.contains("database is down"), "{failure}");
    assert_eq!(fleet.catalogue().tools().len(), 1);
    assert_eq!(call(&fleet, "s", "kept", json!({})).await.1, ToolOutcome::Ok);
    state_becomes(&fleet, "s", ServerState::Ready).await;
}

#[tokio::test]
async fn f38_a_session_that_began_anew_is_listed_again() {
    // As a restarted server does, it forgets the session, and has another tool afterwards.
    let sessions = Arc::new(AtomicUsize::new(0));
    let server = Scripted::start(move |seen| {
        let is_forgotten = seen.session.as_deref() == Some("first");
        match seen.method.as_str() {
            "initialize" => {
                let count = sessions.fetch_add(1, Ordering::SeqCst);
                Answer::legacy(seen).with_session(if count == 0 { "first" } else { "second" })
            }
            "ping" if is_forgotten => Answer::raw(404, Value::Null),
            "ping" => Answer::result(seen, json!({})),
            "tools/list" => {
                let name = if is_forgotten { "old" } else { "new" };
                Answer::result(seen, json!({"tools": tools(&[name])}))
            }
            _ => legacy(seen),
        }
    })
    .await;
    let probed = Server { probe: Duration::from_millis(100), ..http_server("s", &server.url) };
    let (fleet, status) = fleet_of(probed).await;
    assert_eq!(status.approved, ["old"]);
    catalogue_becomes(&fleet, &["s__new"]).await;
    assert_eq!(fleet.status("s").unwrap().last_failure, None, "nobody had to notice");
}

#[tokio::test]
async fn a_flood_of_notices_is_answered_with_few_lists() {
    let folder = tempfile::tempdir().unwrap();
    let lists = folder.path().join("lists");
    let notice = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let cases = format!(
        r#"*'"tools/list"'*) echo >> {0}; n=$(wc -l < {0}); list "tool$n";
      i=0; while [ $n -lt 3 ] && [ $i -lt 300 ]; do echo '{notice}'; i=$((i+1)); done ;;"#,
        lists.display()
    );
    let (fleet, _) = fleet_of(shell_server("sh", &script("", &cases))).await;
    let counted = || std::fs::read_to_string(&lists).unwrap().lines().count();
    let known = |status: &ServerStatus| status.approved == ["tool3"];
    status_becomes(&fleet, "sh", known).await;
    assert!(counted() <= 4, "{} lists for 600 notices", counted());
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_is_not_approved_when_the_call_has_its_connection_is_not_run() {
    let (server, _) = listing(|seen, _| Answer::result(seen, json!({"tools": tools(&["a"])}))).await;
    let (fleet, _) = fleet_of(http_server("s", &server.url)).await;
    // Decided before, sent after: nothing was approved in between.
    fleet.set_lock(Some(super::super::lock::Lock::default()));
    let (result, outcome) = call(&fleet, "s", "a", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Withdrawn);
    assert!(text(&result).starts_with("Not run"), "{result:?}");
    let (_, outcome) = call(&fleet, "s", "never-listed", json!({})).await;
    assert_eq!(outcome, ToolOutcome::Withdrawn);
}
