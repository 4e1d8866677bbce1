//! Retention takes away what is old and nothing else, and what is left is sound.

use super::verifying::{check, notary, tamper};
use super::*;
use crate::audit::retention::{Pruned, Removed, Retention};
use crate::store::links;

const KEPT: Duration = Duration::from_hours(60 * 24);
const EVER: config::Retention = config::Retention { metadata: None, content: None, identity: None };

/// A moment behind all that was recorded, and before all that will be: ids tell milliseconds.
async fn moment() -> Timestamp {
    let before = Timestamp::now().as_millisecond();
    loop {
        let now = Timestamp::now();
        if now.as_millisecond() > before {
            return now;
        }
        tokio::task::yield_now().await;
    }
}

/// What is kept for a time is old if it was recorded before this moment.
fn retention(world: &World, kept: config::Retention, before: Timestamp) -> Retention {
    let now = before.checked_add(KEPT).unwrap();
    let (store, outlets) = (world.store.clone(), Outlets::new([Arc::clone(&world.heard) as Arc<dyn Outlet>]));
    Retention { store, kept, by: "here".into(), outlets, clock: Clock::new(move || now) }
}

async fn interception(world: &World, user: &str) -> InterceptionId {
    let mut trail = world.audit.begin(start_of(user)).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, format!("What is new, {user}?"));
    let _cleared = trail.clear(vec![intent("a")]).await.unwrap();
    trail.tokens(usage(1, 7));
    trail.end(completed());
    while world.told(id).await.end.is_none() {
        tokio::task::yield_now().await;
    }
    id
}

async fn count(world: &World, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(world.reader.readers()).await.unwrap()
}

async fn sound(world: &World) {
    let report = check(world).await;
    assert!(report.is_sound(), "{:?}", report.findings);
}

/// Two old interceptions and two new ones, and the moment between them; all is covered by a checkpoint.
async fn old_and_new() -> (World, Timestamp) {
    let world = World::new().await;
    interception(&world, ALICE).await;
    interception(&world, "bob@example.com").await;
    let between = moment().await;
    interception(&world, ALICE).await;
    interception(&world, ALICE).await;
    world.audit.close().await;
    notary(&world).checkpoint().await.unwrap().unwrap();
    (world, between)
}

#[tokio::test]
async fn old_records_go_with_their_links_and_the_rest_is_sound() {
    let (world, between) = old_and_new().await;
    let retention = retention(&world, config::Retention { metadata: Some(KEPT), ..EVER }, between);
    assert_eq!(retention.count().await.unwrap(), [Some(2), None, None]);
    let all = count(&world, "SELECT COUNT(*) FROM links").await;
    let removed = retention.prune().await.unwrap();
    assert_eq!((removed.interceptions, removed.texts, removed.names), (2, 0, 0));
    assert!(removed.links > 0 && removed.links < all.unsigned_abs(), "{removed:?}");
    assert_eq!(world.heard.types().last(), Some(&"audit_event"), "who listens is told of it, too");
    assert_eq!(count(&world, "SELECT COUNT(*) FROM interceptions").await, 2);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM prompt_usage").await, 2);
    sound(&world).await;
    assert_eq!(retention.prune().await.unwrap(), Removed::default());
    assert_eq!(Pruned::last(&world.store).await.unwrap().heads.len(), 1);
    // What is left is guarded as before.
    tamper(
        &world,
        "DELETE FROM links WHERE seq = (SELECT MIN(seq) FROM links WHERE instance <> 'cli')".into(),
    )
    .await;
    assert!(check(&world).await.findings[0].what.contains("the chain goes on with link"));
}

#[tokio::test]
async fn nothing_else_may_be_missing_because_of_retention() {
    let (world, between) = old_and_new().await;
    retention(&world, config::Retention { metadata: Some(KEPT), ..EVER }, between).prune().await.unwrap();
    tamper(&world, "DELETE FROM token_usage WHERE rowid = (SELECT MAX(rowid) FROM token_usage)".into()).await;
    let report = check(&world).await;
    assert_eq!(
        (report.findings[0].table, report.findings[0].what.as_str()),
        ("token_usage", "the round was taken away")
    );
}

#[tokio::test]
async fn what_runs_stays_and_no_link_goes_without_a_checkpoint() {
    let world = World::new().await;
    interception(&world, ALICE).await;
    let running = world.audit.begin(start()).await.unwrap();
    interception(&world, ALICE).await;
    let between = moment().await;
    let retention = retention(&world, config::Retention { metadata: Some(KEPT), ..EVER }, between);
    let removed = retention.prune().await.unwrap();
    assert_eq!((removed.interceptions, removed.links), (2, 0));
    notary(&world).checkpoint().await.unwrap().unwrap();
    assert!(retention.prune().await.unwrap().links > 0);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM interceptions WHERE outcome IS NULL").await, 1);
    sound(&world).await;
    running.end(completed());
    world.audit.close().await;
    sound(&world).await;
}

#[tokio::test]
async fn a_run_that_is_all_too_old_goes_without_a_trace() {
    let (world, _) = old_and_new().await;
    let kept = notary(&world).checkpoint().await.unwrap();
    assert!(kept.is_none(), "nothing was new");
    let elsewhere = crate::store::checkpoints::after(&world.store, "", 9).await.unwrap();
    let tomorrow = Timestamp::now().checked_add(Duration::from_hours(24)).unwrap();
    let retention = retention(&world, config::Retention { metadata: Some(KEPT), ..EVER }, tomorrow);
    assert_eq!(retention.prune().await.unwrap().interceptions, 4);
    let runs = links::runs(&world.store).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.instance.as_str()).collect::<Vec<_>>(), ["cli"]);
    let evidence = verify::Evidence {
        sealer: Some(&world.sealer),
        public_keys: vec![],
        checkpoints: elsewhere,
        retention: None,
    };
    let report = verify::verify(&world.store, &evidence).await.unwrap();
    // That event of retention is of a time to come.
    assert!(report.findings.iter().all(|it| it.id == "prune"), "{:?}", report.findings);
}

#[tokio::test]
async fn old_texts_go_and_their_digests_stay() {
    let (world, _) = old_and_new().await;
    let kept = config::Retention { content: Some(KEPT), ..EVER };
    assert_eq!(retention(&world, kept, Timestamp::now()).prune().await.unwrap(), Removed::default());
    let tomorrow = Timestamp::now().checked_add(Duration::from_hours(24)).unwrap();
    let removed = retention(&world, kept, tomorrow).prune().await.unwrap();
    assert!(removed.texts > 0 && removed.interceptions == 0, "{removed:?}");
    assert_eq!(count(&world, "SELECT COUNT(*) FROM content").await, 0);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM search_rows").await, 0);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM prompt_usage WHERE content IS NOT NULL").await, 4);
    assert!(check(&world).await.findings.iter().all(|it| it.id == "prune"));
}

#[tokio::test]
async fn old_records_forget_who_it_was() {
    let (world, between) = old_and_new().await;
    let retention =
        retention(&world, config::Retention { content: Some(KEPT), identity: Some(KEPT), ..EVER }, between);
    let removed = retention.prune().await.unwrap();
    assert!(removed.names >= 2, "{removed:?}");
    assert_eq!(
        count(&world, "SELECT COUNT(*) FROM interceptions WHERE person IS NULL AND caller IS NULL").await,
        2
    );
    assert_eq!(count(&world, "SELECT COUNT(*) FROM callers").await, 1);
    sound(&world).await;
    assert_eq!(retention.prune().await.unwrap(), Removed::default());
    tamper(&world, "UPDATE interceptions SET person = NULL, caller = NULL".into()).await;
    assert_eq!(check(&world).await.findings.len(), 2);
}

#[tokio::test]
async fn who_left_nothing_behind_is_forgotten() {
    let world = World::new().await;
    interception(&world, "bob@example.com").await;
    world.audit.close().await;
    let tomorrow = Timestamp::now().checked_add(Duration::from_hours(24)).unwrap();
    let kept = config::Retention { metadata: Some(KEPT), content: Some(KEPT), identity: Some(KEPT) };
    retention(&world, kept, tomorrow).prune().await.unwrap();
    let named = "SELECT COUNT(*) FROM people WHERE user_name IS NOT NULL OR sealed_key IS NOT NULL";
    assert_eq!(count(&world, named).await, 0);
    assert_eq!(count(&world, "SELECT COUNT(*) FROM callers").await, 0);
}

#[tokio::test]
async fn two_may_do_it_at_once() {
    let (world, between) = old_and_new().await;
    let kept = config::Retention { metadata: Some(KEPT), content: Some(KEPT), identity: Some(KEPT) };
    let (one, two) = (retention(&world, kept, between), retention(&world, kept, between));
    let (one, two) = tokio::join!(one.prune(), two.prune());
    assert_eq!(one.unwrap().interceptions + two.unwrap().interceptions, 2);
    sound(&world).await;
}
