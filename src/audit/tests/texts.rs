//! What is kept of texts.

use super::*;
use crate::config::{Record as Keep, ServerRecord};
use crate::store::records::Kept;

async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(world.reader.readers()).await.unwrap()
}

#[tokio::test]
async fn a_text_is_stored_once_a_person() {
    let world = World::new().await;
    let system = "You are a careful assistant. ".repeat(100);
    for user in [ALICE, ALICE, "bob@example.com"] {
        for _ in 0..3 {
            let mut trail = world.audit.begin(start_of(user)).await.unwrap();
            trail.prompt(Role::System, system.clone());
            trail.flush().await;
            trail.prompt(Role::System, system.clone());
            trail.end(completed());
        }
        world.audit.queue.settled().await;
    }
    world.audit.close().await;
    assert_eq!(count(&world, "SELECT COUNT(*) FROM prompt_usage").await, 18);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM content").await, 2);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM people").await, 2);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM callers").await, 2);
    let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM content LIMIT 1")
        .fetch_one(world.reader.readers())
        .await
        .unwrap();
    assert!(body.len() < system.len() / 4 && !body.windows(7).any(|part| part == b"careful"));
}

#[tokio::test]
async fn long_content_is_cut_and_says_so() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    for round in 1..=6 {
        trail.thought(round, "é".repeat(600 << 10));
    }
    trail.prompt(Role::User, "short".into());
    trail.end(completed());
    assert_eq!(world.audit.health().dropped_texts, 3);
    world.audit.close().await;
    let told = world.told(id).await;
    let kept: Vec<_> = told.thoughts.iter().map(|row| (row.body.kept, row.body.bytes)).collect();
    assert_eq!(kept[..4], [(Kept::Cut, 1200 << 10); 4]);
    assert_eq!(kept[4..], [(Kept::Dropped, 1200 << 10); 2]);
    assert_eq!(told.prompts[0].body, Body { id: None, bytes: 5, kept: Kept::Dropped });
    assert_eq!(world.text(ALICE, &told.thoughts[0].body).await.unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn of_each_text_is_kept_what_is_asked_for() {
    let world = World::new().await;
    let mut told = Vec::new();
    for keep in [Keep::None, Keep::Digest, Keep::Redacted, Keep::Full] {
        world.audit.record(Recording::of_all(keep));
        let mut trail = world.audit.begin(start()).await.unwrap();
        let id = trail.id();
        trail.prompt(Role::User, format!("{keep:?}: write to bob@example.com"));
        trail.end(completed());
        world.audit.queue.settled().await;
        told.push(id);
    }
    world.audit.close().await;
    let mut kept = Vec::new();
    for id in told {
        let body = world.told(id).await.prompts[0].body.clone();
        assert_eq!((body.bytes >= 30, body.id.is_some()), (true, body.kept != Kept::None));
        kept.push((body.kept, world.text(ALICE, &body).await));
    }
    assert_eq!(
        kept,
        [
            (Kept::None, None),
            (Kept::Digest, None),
            (Kept::Redacted, Some("Redacted: write to [email]".to_owned())),
            (Kept::Full, Some("Full: write to bob@example.com".to_owned())),
        ]
    );
}

#[tokio::test]
async fn arguments_and_results_are_kept_as_their_server_says() {
    let recording =
        Recording::of_servers([("notes", ServerRecord { default: Some(Keep::Digest), tools: Vec::new() })]);
    let world = World::with(Settings { recording, ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    let cleared = trail.clear(vec![intent("call_1")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("secret"));
    trail.tool_use(released("call_2"));
    trail.end(completed());
    world.audit.close().await;
    let told = world.told(id).await;
    let outcome = told.calls[0].outcome.as_ref().unwrap();
    assert_eq!(told.calls[0].row.body.kept, Kept::Digest);
    assert_eq!(outcome.body.as_ref().unwrap().kept, Kept::Digest);
    assert_eq!(told.calls[1].row.body.kept, Kept::Full);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM content").await, 1);
}

#[tokio::test]
async fn what_can_be_searched_for_is_redacted() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.prompt(Role::System, "instructions".into());
    trail.prompt(Role::User, "zebra, write to bob@example.com".into());
    trail.end(completed());
    world.audit.close().await;
    let found = async |words: &'static str| {
        let query =
            sqlx::query_scalar("SELECT COUNT(*) FROM search_index WHERE search_index MATCH $1").bind(words);
        query.fetch_one(world.reader.readers()).await.unwrap()
    };
    let counts: [i64; 3] = [found("zebra").await, found("bob").await, found("instructions").await];
    assert_eq!(counts, [1, 0, 0]);
}
