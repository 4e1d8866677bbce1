//! Servers that are added, changed and removed while others run.

use std::time::Duration;

use super::super::testing::{http_server, shell_server};
use super::legacy::legacy;
use super::process::script;
use super::scripted::Scripted;
use super::*;
use crate::config::Pattern;

const NAME: &str = "{server}__{tool}";

/// A shell server whose calls wait for a file, and that leaves another file when its input has ended.
struct Waits {
    folder: tempfile::TempDir,
}

impl Waits {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn server(&self, name: &str) -> Server {
        let call = format!(
            r#"*'"tools/call"'*) echo >> {}; while [ ! -e {} ]; do sleep 0.02; done; answer '{{"content":[]}}' ;;"#,
            self.file("called").display(),
            self.file("go").display()
        );
        let start = format!("echo >> {}", self.file("started").display());
        shell_server(name, &(script(&start, &call) + &format!("\necho > {}", self.file("ended").display())))
    }

    async fn wait_for(&self, name: &str) {
        let file = self.file(name);
        until(name, || file.exists().then_some(())).await;
    }

    /// How often it was started and its handshake begun; a first start may be one of the other era.
    fn starts(&self) -> usize {
        std::fs::read_to_string(self.file("started")).unwrap().lines().count()
    }
}

#[tokio::test]
async fn a_call_on_a_server_that_stays_is_not_disturbed() {
    let waits = Waits::new();
    let [other, added] = [Scripted::start(legacy).await, Scripted::start(legacy).await];
    let stays = waits.server("stays");
    let fleet = Fleet::start(
        &[stays.clone(), http_server("goes", &other.url)],
        NAME,
        None,
        testing::access().await,
        &TaskTracker::new(),
    );
    fleet.settled().await;
    let (before, starts) = (fleet.status("stays").unwrap(), waits.starts());
    let caller = fleet.clone();
    let running = TaskTracker::new().spawn(async move { call(&caller, "stays", "one", json!({})).await });
    waits.wait_for("called").await;
    fleet.apply(&[http_server("added", &added.url), stays], NAME);
    catalogue_becomes(&fleet, &["added__echo", "stays__one"]).await;
    std::fs::write(waits.file("go"), "").unwrap();
    assert_eq!(running.await.unwrap().1, ToolOutcome::Ok);
    assert_eq!(fleet.status("stays").unwrap().since, before.since);
    assert_eq!(waits.starts(), starts);
    assert!(fleet.status("goes").is_none());
    fleet.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_server_that_is_removed_finishes_its_calls_and_stops() {
    let waits = Waits::new();
    let fleet = Fleet::start(&[waits.server("sh")], NAME, None, testing::access().await, &TaskTracker::new());
    fleet.settled().await;
    let caller = fleet.clone();
    let running = TaskTracker::new().spawn(async move { call(&caller, "sh", "one", json!({})).await });
    waits.wait_for("called").await;
    fleet.apply(&[], NAME);
    assert!(fleet.catalogue().tools().is_empty(), "its tools go at once");
    assert!(fleet.server("sh").is_none());
    std::fs::write(waits.file("go"), "").unwrap();
    assert_eq!(running.await.unwrap().1, ToolOutcome::Ok);
    waits.wait_for("ended").await;
}

#[tokio::test]
async fn a_server_that_is_removed_does_not_wait_for_a_call_without_end() {
    let waits = Waits::new();
    let server = Server { max_call_time: Duration::from_millis(300), ..waits.server("sh") };
    let fleet = Fleet::start(&[server], NAME, None, testing::access().await, &TaskTracker::new());
    fleet.settled().await;
    let caller = fleet.clone();
    let running = TaskTracker::new().spawn(async move { call(&caller, "sh", "one", json!({})).await });
    waits.wait_for("called").await;
    fleet.apply(&[], NAME);
    assert_eq!(running.await.unwrap().1, ToolOutcome::TimedOut);
    fleet.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn what_is_denied_now_is_gone_at_once_and_what_is_not_stays() {
    let server = Scripted::start(|seen| match seen.method.as_str() {
        "tools/list" => super::scripted::Answer::result(seen, json!({"tools": tools(&["get", "put"])})),
        _ => legacy(seen),
    })
    .await;
    let before = http_server("s", &server.url);
    let (fleet, _) = fleet_of(before.clone()).await;
    assert_eq!(fleet.catalogue().tools().len(), 2);
    let stricter = Server { deny: vec![Pattern::parse("put").unwrap()], ..before };
    fleet.apply(std::slice::from_ref(&stricter), NAME);
    let names: Vec<_> = fleet.catalogue().tools().iter().map(|tool| tool.definition.name.clone()).collect();
    assert_eq!(names, ["s__get"], "before the server was asked again");
    state_becomes(&fleet, "s", ServerState::Ready).await;
    fleet.apply(&[stricter], "{tool}_of_{server}");
    catalogue_becomes(&fleet, &["get_of_s"]).await;
}

#[tokio::test]
async fn another_server_under_the_same_name_inherits_nothing() {
    let [one, other] = [Scripted::start(legacy).await, Scripted::start(legacy).await];
    let (fleet, _) = fleet_of(http_server("s", &one.url)).await;
    assert_eq!(fleet.catalogue().tools().len(), 1);
    fleet.apply(&[http_server("s", &other.url)], NAME);
    assert!(fleet.catalogue().tools().is_empty(), "these were the tools of another one");
    catalogue_becomes(&fleet, &["s__echo"]).await;
    assert_eq!(call(&fleet, "s", "echo", json!({})).await.1, ToolOutcome::Ok);
    assert_eq!((one.count("tools/call"), other.count("tools/call")), (0, 1));
}
