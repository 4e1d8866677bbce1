//! Connections that are not shared: shell scripts that say which process they are.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::connection::{CallLimits, Connection};
use super::super::credentials::Credentials;
use super::super::pool::{NoConnection, Pool};
use super::super::testing::{self, shell_server};
use super::process::script;
use super::*;
use crate::config::{self, PoolLimits, Sharing};
use crate::domain::{Behalf, Caller, Digest};

/// Answers each call with its process id, and notes its start in a file.
fn telling_script(folder: &Path) -> String {
    let started = format!("echo started >> {}", folder.join("starts").display());
    let call = r#"*'"tools/call"'*) answer '{"content":[{"type":"text","text":"'$$'"}]}' ;;"#;
    script(&started, call)
}

fn starts(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("starts")).unwrap_or_default().lines().count()
}

async fn pool_of(script: &str, sharing: Sharing, limits: PoolLimits) -> Pool {
    let server = config::Server { sharing, pool: limits, ..shell_server("sh", script) };
    Pool::new(&server, &Arc::new(Credentials::new(&server, &testing::access().await)))
}

const ROOMY: PoolLimits = PoolLimits { idle: Duration::from_mins(10), max: 100 };

fn user(name: &str) -> Behalf {
    let behalf = testing::behalf();
    let caller = Caller { key: format!("{name}-key"), user: name.into(), ..(*behalf.caller).clone() };
    Behalf { caller: Arc::new(caller), ..behalf }
}

fn talking(name: &str, conversation: &str) -> Behalf {
    Behalf { conversation: Some(Digest::of(conversation.as_bytes())), ..user(name) }
}

async fn ask(connection: &Connection) -> (ToolResult, ToolOutcome) {
    let limits = CallLimits { silence: Duration::from_secs(5), total: Duration::from_secs(5) };
    connection.call(testing::call("one", Map::new()), limits, &CancellationToken::new()).await
}

/// The process that answers this caller.
async fn process_of(pool: &Pool, behalf: &Behalf) -> String {
    let (result, outcome) = ask(&pool.connection_for(behalf).await.unwrap()).await;
    assert_eq!(outcome, ToolOutcome::Ok, "{result:?}");
    text(&result).to_owned()
}

fn is_alive(process: &str) -> bool {
    Path::new("/proc").join(process).exists()
}

async fn ends(process: &str) {
    let gone = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while is_alive(process) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the process ends");
}

#[tokio::test]
async fn f40_each_caller_has_a_process_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_of(&telling_script(folder.path()), Sharing::PerCaller, ROOMY).await;
    let (alice, bob) = (process_of(&pool, &user("alice")).await, process_of(&pool, &user("bob")).await);
    assert_ne!(alice, bob);
    assert_eq!(process_of(&pool, &user("alice")).await, alice);
    assert_eq!(process_of(&pool, &talking("alice", "any")).await, alice, "conversations do not matter here");
    // Another key of the same user is another caller.
    let desktop = user("alice");
    let caller = Caller { key: "desktop".into(), ..(*desktop.caller).clone() };
    let desktop = Behalf { caller: Arc::new(caller), ..desktop };
    assert_ne!(process_of(&pool, &desktop).await, alice);
    assert_eq!(starts(folder.path()), 3);
    pool.close(&CancellationToken::new()).await;
    assert!(!is_alive(&alice) && !is_alive(&bob));
    let refused = pool.connection_for(&user("alice")).await.unwrap_err();
    assert!(refused.message.contains("being closed"), "{refused:?}");
}

#[tokio::test]
async fn f40_each_conversation_has_a_process_of_its_own_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_of(&telling_script(folder.path()), Sharing::PerConversation, ROOMY).await;
    let first = process_of(&pool, &talking("alice", "first")).await;
    assert_eq!(process_of(&pool, &talking("alice", "first")).await, first);
    assert_ne!(process_of(&pool, &talking("alice", "second")).await, first);
    assert_ne!(process_of(&pool, &talking("bob", "first")).await, first, "a conversation has one caller");
    // What belongs to no conversation is nobody's afterwards.
    let once = process_of(&pool, &user("alice")).await;
    assert_ne!(process_of(&pool, &user("alice")).await, once);
    ends(&once).await;
    assert!(is_alive(&first));
    pool.close(&CancellationToken::new()).await;
}

#[tokio::test]
async fn all_who_ask_at_once_wait_for_one_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let pool = pool_of(&telling_script(folder.path()), Sharing::PerCaller, ROOMY).await;
    let alice = user("alice");
    let asked = futures::future::join_all((0..8).map(|_| process_of(&pool, &alice))).await;
    assert!(asked.iter().all(|process| *process == asked[0]), "{asked:?}");
    assert_eq!(starts(folder.path()), 1);
    pool.close(&CancellationToken::new()).await;
}

#[tokio::test]
async fn the_place_of_the_one_that_was_idle_longest_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let limits = PoolLimits { max: 2, ..ROOMY };
    let pool = pool_of(&telling_script(folder.path()), Sharing::PerCaller, limits).await;
    let alice = process_of(&pool, &user("alice")).await;
    let bob = process_of(&pool, &user("bob")).await;
    assert_eq!(process_of(&pool, &user("alice")).await, alice);
    process_of(&pool, &user("carol")).await;
    ends(&bob).await;
    assert!(is_alive(&alice));
    // Where all are in use, there is none for anybody else.
    let held = [
        pool.connection_for(&user("alice")).await.unwrap(),
        pool.connection_for(&user("carol")).await.unwrap(),
    ];
    let refused: NoConnection = pool.connection_for(&user("dave")).await.unwrap_err();
    assert!(refused.message.contains("all 2 connections"), "{refused:?}");
    assert_eq!(refused.outcome, ToolOutcome::Unreachable);
    drop(held);
    process_of(&pool, &user("dave")).await;
    pool.close(&CancellationToken::new()).await;
}

#[tokio::test]
async fn an_unused_one_is_closed_and_a_used_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let limits = PoolLimits { idle: Duration::from_millis(300), ..ROOMY };
    let pool = pool_of(&telling_script(folder.path()), Sharing::PerCaller, limits).await;
    let held = pool.connection_for(&user("alice")).await.unwrap();
    let bob = process_of(&pool, &user("bob")).await;
    ends(&bob).await;
    let (result, outcome) = ask(&held).await;
    assert_eq!(outcome, ToolOutcome::Ok, "a call may take longer: {result:?}");
    drop(held);
    ends(text(&result)).await;
    pool.close(&CancellationToken::new()).await;
}

#[tokio::test]
async fn a_broken_one_is_replaced() {
    let dies = r#"*'"tools/call"'*) exit 9 ;;"#;
    let pool = pool_of(&script("", dies), Sharing::PerCaller, ROOMY).await;
    for _ in 0..2 {
        let connection = pool.connection_for(&user("alice")).await.unwrap();
        assert!(!connection.is_closed());
        let (_, outcome) = ask(&connection).await;
        assert_eq!(outcome, ToolOutcome::Unreachable);
    }
    pool.close(&CancellationToken::new()).await;
}

#[tokio::test]
async fn a_failure_counts_for_those_who_come_right_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let fails =
        format!("echo started >> {}; echo no config >&2; exit 1", folder.path().join("starts").display());
    let pool = pool_of(&fails, Sharing::PerCaller, ROOMY).await;
    let first = pool.connection_for(&user("alice")).await.unwrap_err();
    assert!(first.message.contains("no config"), "{first:?}");
    let second = pool.connection_for(&user("alice")).await.unwrap_err();
    assert_eq!((second.message, starts(folder.path())), (first.message, 2), "one attempt, in both ways");
    pool.close(&CancellationToken::new()).await;
}
