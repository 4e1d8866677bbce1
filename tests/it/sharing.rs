//! Who shares a connection with whom, seen by a server that keeps state.

use std::collections::BTreeSet;

use serde_json::json;
use toolgate::config::{Credentials, Sharing};

use crate::vendor::{ALICE, BOB, Vendor, call, world_of};
use crate::wire::{Api, Mode, say};

#[tokio::test]
async fn f40_callers_of_a_per_caller_server_never_see_each_others_session() {
    let vendor = Vendor::start().await;
    let world = world_of(&vendor, |server| server.sharing = Sharing::PerCaller).await;
    let note = |text: &str| json!({"text": text});
    call(&world, ALICE, &[], "remember", note("alice's secret")).await;
    call(&world, BOB, &[], "remember", note("bob's secret")).await;
    call(&world, ALICE, &[], "remember", note("more of alice's")).await;
    assert_eq!(call(&world, BOB, &[], "recall", json!({})).await.1, "bob's secret");
    assert_eq!(call(&world, ALICE, &[], "recall", json!({})).await.1, "alice's secret, more of alice's");
    let notes: Vec<_> = vendor.script().sessions.values().map(|session| session.notes.clone()).collect();
    let kept: BTreeSet<_> = notes.into_iter().filter(|notes| !notes.is_empty()).collect();
    let alices = vec!["alice's secret".to_owned(), "more of alice's".to_owned()];
    assert_eq!(kept, BTreeSet::from([alices, vec!["bob's secret".to_owned()]]));
}

#[tokio::test]
async fn f40_a_shared_server_is_what_it_is_said_to_be() {
    let vendor = Vendor::start().await;
    let world = world_of(&vendor, |_| {}).await;
    call(&world, ALICE, &[], "remember", json!({"text": "seen by all"})).await;
    assert_eq!(call(&world, BOB, &[], "recall", json!({})).await.1, "seen by all");
    assert_eq!(vendor.script().sessions.len(), 1);
}

#[tokio::test]
async fn f40_calls_of_one_conversation_share_what_other_conversations_do_not_see() {
    let vendor = Vendor::start().await;
    let world = world_of(&vendor, |server| server.sharing = Sharing::PerConversation).await;
    // Two rounds of one request are one conversation.
    let (api, mode) = (Api::Chat, Mode::Whole);
    let rounds = [
        say("r1").call("c1", "srv__remember", r#"{"text":"one"}"#),
        say("r2").call("c2", "srv__recall", "{}"),
        say("r3").text("Done."),
    ];
    world.provider.will_say(api, mode, &rounds);
    let body = api.request(mode, "First.", &[]).to_string();
    let bearer = format!("Bearer {ALICE}");
    let answer = world.post(api.path(), body, &[("authorization", &bearer)]).await;
    let record = world.record(&answer).await;
    let recalled = record.calls[1].outcome.as_ref().unwrap().result.clone().unwrap();
    assert!(recalled.contains("\"one\""), "{recalled}");
    assert_eq!(
        call(&world, ALICE, &[], "recall", json!({})).await.1,
        "",
        "another conversation knows nothing"
    );
}

#[tokio::test]
async fn a_gateways_own_token_is_the_same_on_every_connection() {
    let vendor = Vendor::start().await;
    vendor.accepts("own-s3cret", "the gateway");
    let world = world_of(&vendor, |server| {
        server.sharing = Sharing::PerCaller;
        server.credentials = Credentials::Bearer { token: "own-s3cret".into() };
    })
    .await;
    let (alice, bob) = (
        call(&world, ALICE, &[], "whoami", json!({})).await,
        call(&world, BOB, &[], "whoami", json!({})).await,
    );
    assert!(alice.1.starts_with("the gateway in session-") && bob.1.starts_with("the gateway in session-"));
    assert_ne!(alice, bob);
    // A token that is not good any more is nobody else's business.
    vendor.forgets_tokens();
    let (outcome, told) = call(&world, ALICE, &[], "whoami", json!({})).await;
    assert_eq!(outcome, "unauthorized");
    assert!(told.contains("administrator must renew it") && !told.contains("s3cret"), "{told}");
}

#[tokio::test]
async fn the_connections_of_callers_are_closed_with_the_gateway() {
    let vendor = Vendor::start().await;
    let world = world_of(&vendor, |server| server.sharing = Sharing::PerCaller).await;
    call(&world, ALICE, &[], "whoami", json!({})).await;
    call(&world, BOB, &[], "whoami", json!({})).await;
    let sessions = vendor.script().sessions.len();
    world.stop().await;
    let ended = vendor.script().visits.iter().filter(|visit| *visit == "DELETE /mcp").count();
    assert_eq!((sessions, ended), (3, 3), "alice's, bob's and the gateway's own");
}
