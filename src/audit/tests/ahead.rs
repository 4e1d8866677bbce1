//! Calls that need not wait for the database.

use std::path::PathBuf;

use futures::future::join_all;

use super::*;
use crate::audit::line::{batch_of, line_of};
use crate::audit::write_ahead::left_behind;
use crate::store::testing::postgres;

fn ahead() -> Settings {
    Settings { durability: Durability::Process, ..quick(Settings::default()) }
}

async fn world() -> World {
    World::open(TempDir::new().unwrap(), Arc::new(Sealer::random()), ahead()).await
}

fn file_of(folder: &TempDir) -> PathBuf {
    folder.path().join("a.db.ahead")
}

fn is_clear(folder: &TempDir) -> bool {
    std::fs::read(file_of(folder)).unwrap().iter().all(|byte| *byte == 0)
}

/// A gateway that ended while its database took nothing; what stands in its file, and whose call has run.
async fn left_ahead() -> (World, Vec<u8>, InterceptionId) {
    let world = world().await;
    world.audit.begin(start()).await.unwrap().end(completed());
    world.audit.queue.settled().await;
    world.break_it().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.prompt(Role::User, "write to bob@example.com".into());
    trail.clear(vec![intent("runs")]).await.unwrap();
    assert!(world.told(trail.id()).await.start.is_none(), "it stands in the file alone");
    let id = trail.id();
    assert_eq!(world.audit.close().await, 0, "what stands in the file is not lost");
    world.store.close().await;
    let line = std::fs::read(file_of(&world.folder)).unwrap();
    (world, line, id)
}

async fn open_again(world: World) -> World {
    World::open(world.folder, world.sealer, ahead()).await
}

/// Makes the database of a gateway that has ended whole, and does this to it.
async fn mend_closed(world: &World, also: &'static str) {
    let store = Store::open(&store_in(&world.folder)).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    transaction.execute("DROP TRIGGER broken").await.unwrap();
    transaction.execute(also).await.unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_call_runs_when_its_intent_stands_beside_the_database_and_comes_in_with_the_next_start() {
    let (world, line, id) = left_ahead().await;
    let line = String::from_utf8(line).unwrap();
    assert!(!line.contains("bob@example.com"), "what is in the clear is what can be searched for");
    let closed = Store::open(&store_in(&world.folder)).await.unwrap();
    assert_eq!(
        left_behind(&closed, None).await.unwrap(),
        Some(file_of(&world.folder).canonicalize().unwrap())
    );
    closed.close().await;
    mend_closed(&world, "").await;
    let world = open_again(world).await;
    assert!(is_clear(&world.folder));
    assert_eq!(left_behind(&world.store, None).await.unwrap(), None);
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    assert_eq!(world.text(ALICE, &told.prompts[0].body).await.as_deref(), Some("write to bob@example.com"));
    assert_eq!(told.start.unwrap().epoch, 1);
    let heard = world.heard.types();
    assert_eq!(heard[..3], ["interception_start", "prompt_usage", "tool_usage"], "{heard:?}");
    world.audit.close().await;
    verify(&world.reader).await;
}

/// After the commit, and before the file was cleared.
#[tokio::test]
async fn what_is_in_the_database_already_does_not_come_in_twice() {
    let (world, line, id) = left_ahead().await;
    mend_closed(&world, "").await;
    let world = open_again(world).await;
    let links = world.links().await;
    world.audit.close().await;
    world.store.close().await;
    std::fs::write(file_of(&world.folder), line).unwrap();
    let world = open_again(world).await;
    assert!(is_clear(&world.folder));
    assert_eq!(world.told(id).await.calls.len(), 1);
    world.audit.close().await;
    assert_eq!(world.links().await, links);
    verify(&world.reader).await;
}

/// As after a power cut.
#[tokio::test]
async fn the_file_tells_of_people_and_of_a_run_that_the_database_lost() {
    let (world, _, id) = left_ahead().await;
    let lost = "DELETE FROM interceptions; DELETE FROM callers; DELETE FROM people; DELETE FROM content; \
                DELETE FROM links; DELETE FROM instances";
    mend_closed(&world, lost).await;
    let world = open_again(world).await;
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.start.as_ref().unwrap().epoch), ("interrupted", 2));
    let heard = world.heard.0.lock().unwrap().iter().find_map(|row| match row {
        Row::Start(start) => Some(start.epoch),
        _ => None,
    });
    assert_eq!(heard, Some(2));
    assert_eq!(told.call_outcomes(), [OUTCOME_UNKNOWN]);
    assert_eq!(world.text(ALICE, &told.prompts[0].body).await.as_deref(), Some("write to bob@example.com"));
    assert_eq!(events(&world.reader, "lost").await.len(), 1);
    world.audit.close().await;
    let report = verifying::check(&world).await;
    assert!(report.is_sound(), "{report:?}");
}

/// As when it was refused as a whole, and taken apart.
#[tokio::test]
async fn what_came_in_under_another_link_is_left_out() {
    let (world, line, id) = left_ahead().await;
    mend_closed(&world, "").await;
    let world = open_again(world).await;
    world.audit.close().await;
    world.store.close().await;
    let mut batch = batch_of(&line).unwrap().unwrap();
    batch.link.hash = "another".into();
    std::fs::write(file_of(&world.folder), line_of(&batch).unwrap()).unwrap();
    let world = open_again(world).await;
    assert!(is_clear(&world.folder));
    assert_eq!(world.told(id).await.calls.len(), 1);
    world.audit.close().await;
    let report = verifying::check(&world).await;
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn what_the_database_refuses_at_the_start_is_set_aside_and_told() {
    let (world, line, id) = left_ahead().await;
    let picky = "CREATE TABLE picky (number BIGINT CHECK (number > 0)); \
                 CREATE TRIGGER picky_prompts BEFORE INSERT ON prompt_usage BEGIN INSERT INTO picky VALUES (0); END";
    mend_closed(&world, picky).await;
    let world = open_again(world).await;
    assert!(is_clear(&world.folder));
    assert!(world.told(id).await.start.is_none());
    assert!(!world.heard.types().contains(&"interception_start"));
    let refused = std::fs::read(world.folder.path().join("a.db.ahead.refused")).unwrap();
    assert_eq!(batch_of(&refused).unwrap().unwrap(), batch_of(&line).unwrap().unwrap());
    let lost = events(&world.reader, "lost").await;
    assert_eq!((lost.len(), &lost[0]["epoch"], &lost[0]["commits"]), (1, &1.into(), &1.into()));
    world.audit.close().await;
    let report = verifying::check(&world).await;
    assert!(report.is_sound(), "{report:?}");
}

#[tokio::test]
async fn a_batch_that_is_in_the_database_is_no_longer_beside_it() {
    let world = world().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.prompt(Role::User, "sesame".into());
    trail.clear(vec![intent("runs")]).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    assert!(std::fs::metadata(file_of(&world.folder)).unwrap().len() > 0);
    assert!(is_clear(&world.folder));
    assert_eq!(world.told(id).await.calls.len(), 1);
    trail.end(completed());
    world.audit.close().await;
    verify(&world.reader).await;
}

/// A second batch waits while the first stands in the file alone.
#[tokio::test]
async fn calls_wait_for_a_database_that_has_failed() {
    let world = world().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let mut other = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    trail.clear(vec![intent("runs")]).await.unwrap();
    other.clear(vec![intent("refused")]).await.unwrap_err();
    world.heal().await;
    trail.clear(vec![intent("runs again")]).await.unwrap();
    let ids = [trail.id(), other.id()];
    trail.end(completed());
    other.end(completed());
    world.audit.close().await;
    let outcomes = ids.map(async |id| world.told(id).await.call_outcomes().join(" "));
    assert_eq!(join_all(outcomes).await, ["unknown unknown", "not_executed"]);
    verify(&world.reader).await;
}

#[tokio::test]
async fn calls_wait_for_the_database_where_a_batch_has_much_text() {
    let world = world().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.prompt(Role::User, "word ".repeat(20_000));
    trail.clear(vec![intent("runs")]).await.unwrap();
    assert_eq!(world.told(trail.id()).await.calls.len(), 1);
    trail.end(completed());
    world.audit.close().await;
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_was_left_comes_in_also_where_there_is_to_be_no_file_any_more() {
    let (world, _, id) = left_ahead().await;
    mend_closed(&world, "").await;
    let power = Settings { durability: Durability::Power, ..ahead() };
    let world = World::open(world.folder, world.sealer, power).await;
    assert_eq!(world.told(id).await.call_outcomes(), [OUTCOME_UNKNOWN]);
    assert!(is_clear(&world.folder));
    world.audit.close().await;
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_another_version_wrote_stops_the_start_and_stays() {
    let digest = blake3::hash(b"{}").to_hex();
    for name in ["a.db.ahead", "a.spool"] {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, format!("{digest} {{}}\n")).unwrap();
        let store = Store::open(&store_in(&folder)).await.unwrap();
        let settings = Settings { spool: folder.path().join("a.spool"), ..ahead() };
        let sealer = Arc::new(Sealer::random());
        let error = Audit::open(store, sealer, Outlets::default(), settings).await.unwrap_err();
        assert!(matches!(&error, OpenError::File { path, .. } if path.ends_with(name)), "{error}");
        assert!(error.to_string().contains("missing field"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{digest} {{}}\n"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn calls_wait_for_the_database_where_the_file_cannot_be_written() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/dev/full", file_of(&folder)).unwrap();
    let world = World::open(folder, Arc::new(Sealer::random()), ahead()).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.clear(vec![intent("runs")]).await.unwrap();
    assert_eq!(world.told(trail.id()).await.calls.len(), 1);
    trail.end(completed());
    world.audit.close().await;
    verify(&world.reader).await;
}

/// What calls wait for instead of a server is a file that the configuration names, of one gateway alone.
#[tokio::test]
#[ignore = "needs PostgreSQL: tests/real/audit/run store"]
async fn calls_need_not_wait_for_a_server_where_there_is_a_file() {
    let (store, sealer, folder) = (postgres().await, Arc::new(Sealer::random()), TempDir::new().unwrap());
    let file = folder.path().join("a.ahead");
    let settings = |lease| Settings { write_ahead: Some(file.clone()), lease, ..ahead() };
    let open = |lease| Audit::open(store.clone(), Arc::clone(&sealer), Outlets::default(), settings(lease));
    let audit = open(Duration::from_mins(1)).await.unwrap();
    let error = open(Duration::from_mins(1)).await.unwrap_err().to_string();
    assert!(error.contains("another gateway uses it (audit.write_ahead)"), "{error}");
    let mut trail = audit.begin(start()).await.unwrap();
    let mut holding = store.begin().await.unwrap();
    holding.execute("LOCK TABLE tool_usage IN SHARE MODE").await.unwrap();
    trail.clear(vec![intent("runs")]).await.unwrap();
    assert_eq!(told(&store, trail.id()).await.calls.len(), 0, "it stands in the file alone");
    assert_eq!(left_behind(&store, Some(&file)).await.unwrap(), None, "who runs it has it");
    let line = std::fs::read(&file).unwrap();
    holding.rollback().await.unwrap();
    let id = trail.id();
    drop(trail);
    audit.close().await;
    assert_eq!(told(&store, id).await.calls.len(), 1);
    assert!(std::fs::read(&file).unwrap().iter().all(|byte| *byte == 0));
    drop(audit);

    // As if the gateway had been killed before the server had it.
    std::fs::write(&file, line).unwrap();
    assert_eq!(left_behind(&store, Some(&file)).await.unwrap().as_ref(), Some(&file));
    let mut transaction = store.begin().await.unwrap();
    let lost = "DELETE FROM tool_usage; DELETE FROM interceptions; DELETE FROM links; \
                UPDATE instances SET ended_at = NULL, lease_until = started_at";
    transaction.execute(lost).await.unwrap();
    transaction.commit().await.unwrap();
    // The lease of who is gone is over, and who is leased for so short a time waits for the server.
    let audit = open(Duration::from_nanos(1)).await.unwrap();
    let found = told(&store, id).await;
    assert_eq!((found.outcome(), found.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    assert!(std::fs::read(&file).unwrap().iter().all(|byte| *byte == 0));
    let mut trail = audit.begin(start()).await.unwrap();
    trail.clear(vec![intent("runs")]).await.unwrap();
    assert_eq!(told(&store, trail.id()).await.calls.len(), 1);
    audit.close().await;
}
