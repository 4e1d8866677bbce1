//! MCP sessions with a connection of their own: shell scripts that say which process they are.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::testing::shell_server;
use super::process::script;
use super::*;
use crate::config::{PoolLimits, Sharing};
use crate::domain::{Behalf, Digest};

const MAX: usize = 2;

/// A server of which each conversation has its own; a prompt is its end.
async fn fleet() -> Fleet {
    let crashes = script("", r#"*'"prompts/get"'*) exit 9 ;;"#);
    let pool = PoolLimits { max: MAX, ..PoolLimits::default() };
    let server = Server { sharing: Sharing::PerConversation, pool, ..shell_server("sh", &crashes) };
    fleet_of(server).await.0
}

fn session(name: &str) -> Behalf {
    Behalf { conversation: Some(Digest::of(name.as_bytes())), ..testing::behalf() }
}

async fn connect(fleet: &Fleet, name: &str) -> Result<CancellationToken, String> {
    let (ends, (own, _)) = (CancellationToken::new(), mpsc::channel(1));
    let wire = Wire::of_client(rmcp::model::ClientCapabilities::default(), own);
    fleet.connect_session("sh", &session(name), wire, ends.clone()).await.map(|()| ends)
}

async fn crash(reached: &Reached) {
    let (asides, _) = mpsc::channel(1);
    let forwarded = Forwarded { method: "prompts/get".into(), params: Map::new(), meta: Map::new(), asides };
    assert!(reached.forward(forwarded, &CancellationToken::new()).await.is_err());
}

#[tokio::test]
async fn a_session_ends_with_its_connection_and_leaves_its_place() {
    let fleet = fleet().await;
    let ends = connect(&fleet, "one").await.unwrap();
    crash(&fleet.reach("sh", &session("one")).await.unwrap()).await;
    timeout(Duration::from_secs(20), ends.cancelled()).await.expect("the session ends");
    let places = || fleet.server("sh").filter(|server| server.sessions.free_places() == MAX);
    until("the place is free again", places).await;
    timeout(Duration::from_secs(20), fleet.shutdown(Duration::from_secs(10))).await.unwrap();
}

#[tokio::test]
async fn sessions_have_no_more_connections_than_the_pool_may_have() {
    let fleet = fleet().await;
    let first = connect(&fleet, "one").await.unwrap();
    let (second, third) = tokio::join!(connect(&fleet, "two"), connect(&fleet, "three"));
    let refusals: Vec<_> = [second, third].into_iter().filter_map(Result::err).collect();
    assert_eq!(refusals, ["all 2 connections that sessions may have are in use (pool.max)"]);
    first.cancel();
    until("a place is free", || fleet.server("sh").filter(|it| it.sessions.free_places() == 1)).await;
    connect(&fleet, "four").await.unwrap();
    fleet.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test]
async fn news_hold_their_connection_and_end_when_it_breaks() {
    let fleet = fleet().await;
    let (crashing, other) = (session("one"), session("two"));
    let mut news = fleet.news("sh", &crashing, &json!({})).await.unwrap();
    let _more = fleet.news("sh", &other, &json!({})).await.unwrap();
    let refused = fleet.reach("sh", &session("three")).await.unwrap_err();
    assert!(
        matches!(&refused, Unanswered::None(told, _) if told.contains("all 2 connections that it may have are in use")),
        "{refused:?}"
    );
    crash(&fleet.reach("sh", &crashing).await.unwrap()).await;
    assert!(timeout(Duration::from_secs(20), news.next()).await.expect("its end is seen").is_none());
    fleet.reach("sh", &session("three")).await.unwrap();
    fleet.shutdown(Duration::from_secs(10)).await;
}
