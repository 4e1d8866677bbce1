//! Who is erased is unreadable for ever, and the chains stay sound.

use super::verifying::check;
use super::*;
use crate::audit::erase::{Erased, erase};

const BOB: &str = "bob@example.com";

async fn interception(world: &World, user: &str) -> InterceptionId {
    let mut trail = world.audit.begin(start_of(user)).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, format!("The secret garden of {user}"));
    trail.end(completed());
    while world.told(id).await.end.is_none() {
        tokio::task::yield_now().await;
    }
    id
}

async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(world.reader.readers()).await.unwrap()
}

#[tokio::test]
async fn an_erased_users_texts_are_gone_and_nobody_elses() {
    let world = World::new().await;
    let (alices, bobs) = (interception(&world, ALICE).await, interception(&world, BOB).await);
    let sealed = people::by_name(&world.reader, ALICE).await.unwrap().unwrap().sealed_key.unwrap();
    let erased = erase(&world.store, ALICE, false, "admin", Timestamp::now()).await.unwrap().unwrap();
    assert_eq!((erased.people.len(), erased.texts, erased.identity), (1, 1, false));

    assert!(people::by_name(&world.reader, ALICE).await.unwrap().is_none());
    let bobs = world.told(bobs).await;
    assert!(world.text(BOB, &bobs.prompts[0].body).await.unwrap().contains("garden"));
    assert_eq!(count(&world, "SELECT COUNT(*) FROM content").await, 1);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM search_rows").await, 1);
    assert_eq!(world.told(alices).await.prompts[0].body.bytes, 38);
    let told = events(&world.reader, "erase").await;
    assert!(!told[0].to_string().contains("alice"), "the event does not say whose it was: {}", told[0]);
    for file in ["a.db", "a.db-wal"] {
        let bytes = std::fs::read(world.folder.path().join(file)).unwrap();
        let is_there = bytes.windows(sealed.len()).any(|part| part == sealed.as_bytes());
        assert!(!is_there, "the key is still in {file}");
    }
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(report.unreadable, 1);
    assert_eq!(erase(&world.store, ALICE, false, "admin", Timestamp::now()).await.unwrap(), None::<Erased>);
}

#[tokio::test]
async fn who_comes_back_is_somebody_new() {
    let world = World::new().await;
    let before = interception(&world, ALICE).await;
    erase(&world.store, ALICE, false, "admin", Timestamp::now()).await.unwrap().unwrap();
    let world = world.restarted().await;
    let id = interception(&world, ALICE).await;
    let told = world.told(id).await;
    let (was, is) = (world.told(before).await.start.unwrap().who, told.start.as_ref().unwrap().who.clone());
    assert!(was.person.is_some() && was.person != is.person && was.caller != is.caller);
    assert!(world.text(ALICE, &told.prompts[0].body).await.unwrap().contains("garden"));
    assert_eq!(count(&world, "SELECT COUNT(*) FROM people WHERE user_name LIKE 'alice%'").await, 2);
    world.audit.close().await;
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
}

#[tokio::test]
async fn it_can_be_forgotten_who_it_was() {
    let world = World::new().await;
    interception(&world, ALICE).await;
    world.audit.close().await;
    erase(&world.store, ALICE, false, "admin", Timestamp::now()).await.unwrap().unwrap();
    // Afterwards as well.
    erase(&world.store, ALICE, true, "admin", Timestamp::now()).await.unwrap().unwrap();
    assert_eq!(count(&world, "SELECT COUNT(*) FROM people WHERE user_name IS NOT NULL").await, 0);
    assert_eq!(
        count(&world, "SELECT COUNT(*) FROM callers WHERE key_name <> '' OR group_names <> '[]'").await,
        0
    );
    let report = check(&world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
    assert_eq!(erase(&world.store, "nobody", true, "admin", Timestamp::now()).await.unwrap(), None);
}
