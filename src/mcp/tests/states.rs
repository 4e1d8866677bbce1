//! The states of a server, and how it comes from one to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::super::testing::{http_server, shell_server};
use super::legacy::legacy;
use super::process::script;
use super::scripted::{Answer, Scripted};
use super::*;

/// Something that a test switches on and off while a server runs.
#[derive(Clone, Default)]
pub(super) struct Switch(Arc<AtomicBool>);

impl Switch {
    pub(super) fn set(&self, on: bool) {
        self.0.store(on, Ordering::SeqCst);
    }

    pub(super) fn is_on(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn seconds_until(moment: Option<Timestamp>) -> SignedDuration {
    moment.unwrap().duration_since(Timestamp::now())
}

#[tokio::test]
async fn f43_a_server_that_never_answers_is_given_up_in_time_and_tried_again() {
    let server = Scripted::start(|_| Answer::never()).await;
    let silent = Server { connect_timeout: Duration::from_millis(300), ..http_server("mute", &server.url) };
    let fleet =
        Fleet::start(&[silent], "{server}__{tool}", None, testing::access().await, &TaskTracker::new());
    let before = fleet.status("mute").unwrap();
    assert_eq!(before.state, ServerState::Starting);
    fleet.settled().await;
    let status = state_becomes(&fleet, "mute", ServerState::BackingOff).await;
    assert!(status.since >= before.since && status.next_attempt.unwrap() > status.since, "{status:?}");
    let failure = status.last_failure.unwrap();
    assert_eq!(failure.stage, Stage::Connect);
    assert!(failure.at <= status.since && failure.message.contains("no answer within"), "{failure}");
    let asked = server.methods().len();
    until("another attempt", || (server.methods().len() > asked).then_some(())).await;
}

#[tokio::test]
async fn what_only_a_person_can_mend_is_tried_seldom() {
    let [closed, lost, page] = [
        Scripted::start(|seen| Answer::error(403, seen, -32000, "not you", Value::Null)).await,
        Scripted::start(|_| Answer::raw(404, Value::Null)).await,
        Scripted::start(|_| Answer::page()).await,
    ];
    let mut nothing = shell_server("nothing", "");
    if let crate::config::Transport::Stdio { command, .. } = &mut nothing.transport {
        *command = "no-such-program".into();
    }
    let servers = [
        http_server("closed", &closed.url),
        http_server("lost", &lost.url),
        nothing,
        http_server("page", &page.url),
    ];
    let fleet =
        Fleet::start(&servers, "{server}__{tool}", None, testing::access().await, &TaskTracker::new());
    for (name, word) in
        [("closed", "403"), ("lost", "404"), ("nothing", "no-such-program"), ("page", "text/html")]
    {
        let status = state_becomes(&fleet, name, ServerState::FailedConfig).await;
        assert!(status.last_failure.as_ref().unwrap().message.contains(word), "{status:?}");
        assert!(seconds_until(status.next_attempt) > SignedDuration::from_secs(30), "{status:?}");
        let before = Instant::now();
        assert_eq!(call(&fleet, name, "any", json!({})).await.1, ToolOutcome::Unreachable);
        assert!(before.elapsed() < Duration::from_secs(1), "a call waits for what will not come");
    }
}

#[tokio::test]
async fn an_order_to_restart_is_obeyed_at_once_whatever_the_state() {
    let is_open = Switch::default();
    let door = is_open.clone();
    let server = Scripted::start(move |seen| {
        if door.is_on() { legacy(seen) } else { Answer::error(401, seen, -32000, "who are you", Value::Null) }
    })
    .await;
    let (fleet, status) = fleet_of(http_server("s", &server.url)).await;
    assert_eq!(status.state, ServerState::FailedConfig);
    assert!(!fleet.restart("another"));
    is_open.set(true);
    assert!(fleet.restart("s"));
    state_becomes(&fleet, "s", ServerState::Ready).await;
    let sessions = server.count("initialize");
    assert!(fleet.restart("s"));
    until("another session", || (server.count("initialize") > sessions).then_some(())).await;
    state_becomes(&fleet, "s", ServerState::Ready).await;
    fleet.shutdown(Duration::from_secs(5)).await;
    assert_eq!(fleet.status("s").unwrap().state, ServerState::Stopped);
}

#[tokio::test]
async fn a_server_that_hangs_is_degraded_and_connected_anew() {
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
        ..http_server("s", &server.url)
    };
    let (fleet, _) = fleet_of(watched).await;
    until("a probe", || (server.count("ping") > 2).then_some(())).await;
    assert_eq!(fleet.status("s").unwrap().state, ServerState::Ready);
    hangs.set(true);
    let status = state_becomes(&fleet, "s", ServerState::BackingOff).await;
    assert_eq!(status.last_failure.unwrap().stage, Stage::Probe);
    assert_eq!(fleet.catalogue().tools().len(), 1, "its tools stay");
    hangs.set(false);
    let status = state_becomes(&fleet, "s", ServerState::Ready).await;
    assert!(status.last_failure.is_some(), "what went wrong last is still told");
    assert_eq!(call(&fleet, "s", "echo", json!({})).await.1, ToolOutcome::Ok);
}

#[tokio::test]
async fn a_server_that_does_not_know_the_probe_is_there_all_the_same() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "ping" => Answer::raw(400, json!({"message": "no such thing"})),
        _ => legacy(seen),
    })
    .await;
    let watched = Server { probe: Duration::from_millis(20), ..http_server("s", &server.url) };
    let (fleet, _) = fleet_of(watched).await;
    until("probes", || (server.count("ping") > 3).then_some(())).await;
    let status = fleet.status("s").unwrap();
    assert_eq!((status.state, status.last_failure), (ServerState::Ready, None));
    assert_eq!(server.count("initialize"), 1);
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_call_is_not_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let [starts, go] = ["starts", "go"].map(|name| folder.path().join(name));
    // It does one thing after the other: no answer to a probe while a call runs.
    let cases = format!(
        r#"*'"tools/call"'*) while [ ! -e {} ]; do sleep 0.02; done; answer '{{"content":[]}}' ;;"#,
        go.display()
    );
    let server = Server {
        probe: Duration::from_millis(20),
        connect_timeout: Duration::from_millis(1_500),
        ..shell_server("sh", &script(&format!("echo started >> {}", starts.display()), &cases))
    };
    let (fleet, status) = fleet_of(server).await;
    assert_eq!(status.state, ServerState::Ready, "{status:?}");
    let started = std::fs::read_to_string(&starts).unwrap();
    let caller = fleet.clone();
    let running = TaskTracker::new().spawn(async move { call(&caller, "sh", "one", json!({})).await });
    let status = state_becomes(&fleet, "sh", ServerState::Degraded).await;
    assert_eq!(status.last_failure.unwrap().stage, Stage::Probe);
    std::fs::write(&go, "").unwrap();
    assert_eq!(running.await.unwrap().1, ToolOutcome::Ok);
    state_becomes(&fleet, "sh", ServerState::Ready).await;
    assert_eq!(std::fs::read_to_string(&starts).unwrap(), started, "it was started again");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn f39_one_dead_server_takes_nothing_from_the_others() {
    let [good, bad] = [Scripted::start(legacy).await, Scripted::start(legacy).await];
    let servers = [
        http_server("bad", &bad.url),
        shell_server("child", &script("", r#"*'"tools/call"'*'"die"'*) exit 9 ;;"#)),
        http_server("good", &good.url),
    ];
    let fleet =
        Fleet::start(&servers, "{server}__{tool}", None, testing::access().await, &TaskTracker::new());
    fleet.settled().await;
    catalogue_becomes(&fleet, &["bad__echo", "child__one", "good__echo"]).await;
    drop(bad);
    let (_, outcome) = call(&fleet, "child", "one", json!({"how": "die"})).await;
    assert_eq!(outcome, ToolOutcome::Unreachable);
    assert_eq!(call(&fleet, "bad", "echo", json!({})).await.1, ToolOutcome::Unreachable);
    assert_eq!(call(&fleet, "good", "echo", json!({})).await.1, ToolOutcome::Ok);
    assert_eq!(fleet.catalogue().tools().len(), 3);
    assert_eq!(call(&fleet, "child", "one", json!({})).await.1, ToolOutcome::Ok, "it is back");
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn what_a_child_said_last_is_part_of_its_status() {
    let (fleet, status) =
        fleet_of(shell_server("sh", &script("echo 'listening for requests' >&2", ""))).await;
    assert_eq!(status.state, ServerState::Ready);
    status_becomes(&fleet, "sh", |status| status.stderr == ["listening for requests"]).await;
    fleet.shutdown(Duration::from_secs(5)).await;
}
