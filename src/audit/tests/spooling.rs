//! A store that cannot be written, where records are to wait in a file.

use std::path::PathBuf;

use super::*;
use crate::config::OnUnavailable;
use crate::store::records::Kept;

fn spooling() -> Settings {
    Settings { on_unavailable: OnUnavailable::Spool, ..Settings::default() }
}

fn spool_of(world: &World) -> PathBuf {
    world.folder.path().join("a.spool")
}

impl World {
    /// Waits until everything that was spooled is in the store.
    async fn caught_up(&self) {
        while self.audit.health().spooled > 0 || std::fs::metadata(spool_of(self)).unwrap().len() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn records_wait_in_the_spool_and_calls_run() {
    let world = World::with(spooling()).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    world.break_it().await;
    trail.prompt(Role::User, "write to bob@example.com".into());
    let cleared = trail.clear(vec![intent("runs")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("done"));
    trail.end(completed());
    let mut newcomer = world.audit.begin(start_of("carol")).await.unwrap();
    newcomer.prompt(Role::User, "hello".into());
    let newcomer_id = newcomer.id();
    newcomer.clear(vec![intent("too")]).await.unwrap();
    newcomer.end(completed());
    assert!(world.told(newcomer_id).await.start.is_none(), "nothing can be in the store");
    assert!(world.audit.health().spooled > 0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(spool_of(&world)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let spooled = std::fs::read_to_string(spool_of(&world)).unwrap();
    assert!(!spooled.contains("bob@example.com"), "what is in the clear is what can be searched for");

    world.run("DROP TRIGGER broken").await;
    world.caught_up().await;
    let mut after = world.audit.begin(start()).await.unwrap();
    after.clear(vec![intent("after")]).await.unwrap();
    let after_id = after.id();
    after.end(completed());
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("completed", vec!["ok"]));
    assert_eq!(world.text(ALICE, &told.prompts[0].body).await.as_deref(), Some("write to bob@example.com"));
    let told = world.told(newcomer_id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("completed", vec![OUTCOME_UNKNOWN]));
    assert_eq!(world.text("carol", &told.prompts[0].body).await.as_deref(), Some("hello"));
    assert_eq!(world.told(after_id).await.outcome(), "completed");
    verify(&world.reader).await;
}

/// Leaves records in the spool: of one interception that began before, its end; of another, all.
async fn leave_spooled(world: &World) -> [InterceptionId; 2] {
    let mut first = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    let cleared = first.clear(vec![intent("one")]).await.unwrap();
    let mut second = world.audit.begin(start()).await.unwrap();
    second.clear(vec![intent("two")]).await.unwrap();
    let ids = [first.id(), second.id()];
    first.outcome(cleared[0].id(), report("{}"));
    first.end(completed());
    second.end(completed());
    world.audit.close().await;
    ids
}

async fn reopen(world: World) -> World {
    let World { folder, store, sealer, .. } = world;
    store.close().await;
    let at = store_in(&folder);
    let broken = Store::open(&at).await.unwrap();
    let mut transaction = broken.begin().await.unwrap();
    transaction.execute("DROP TRIGGER IF EXISTS broken").await.unwrap();
    transaction.commit().await.unwrap();
    broken.close().await;
    let settings = Settings { spool: folder.path().join("a.spool"), ..quick(spooling()) };
    World::open(folder, sealer, settings).await
}

#[tokio::test]
async fn the_next_start_brings_in_what_was_spooled_before_it_closes_what_is_open() {
    let world = World::with(spooling()).await;
    let ids = leave_spooled(&world).await;
    assert_eq!(world.told(ids[0]).await.outcome(), "open");
    let world = reopen(world).await;
    for id in ids {
        assert_eq!(world.told(id).await.outcome(), "completed");
    }
    assert_eq!(world.told(ids[0]).await.call_outcomes(), ["ok"]);
    assert_eq!(std::fs::metadata(spool_of(&world)).unwrap().len(), 0);
    verify(&world.reader).await;
}

#[tokio::test]
async fn bringing_it_in_twice_changes_nothing() {
    let world = World::with(spooling()).await;
    let ids = leave_spooled(&world).await;
    let spooled = std::fs::read(spool_of(&world)).unwrap();
    let world = reopen(world).await;
    world.audit.close().await;
    let before = verify(&world.reader).await;
    // As if the end of the process had come before the spool was emptied.
    std::fs::write(spool_of(&world), &spooled).unwrap();
    let world = reopen(world).await;
    assert_eq!(std::fs::metadata(spool_of(&world)).unwrap().len(), 0);
    assert_eq!(verify(&world.reader).await, before);
    for id in ids {
        assert_eq!(world.told(id).await.outcome(), "completed");
    }
}

#[tokio::test]
async fn a_torn_last_line_is_left_out() {
    let world = World::with(spooling()).await;
    let ids = leave_spooled(&world).await;
    let mut spooled = std::fs::read(spool_of(&world)).unwrap();
    spooled.truncate(spooled.len() - 10);
    std::fs::write(spool_of(&world), &spooled).unwrap();
    let world = reopen(world).await;
    // The last line told of both ends. The lines before it tell of both calls.
    for id in ids {
        let told = world.told(id).await;
        assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    }
    assert_eq!(std::fs::metadata(spool_of(&world)).unwrap().len(), 0);
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_was_spooled_under_a_run_that_others_closed_goes_under_a_new_one() {
    let world = World::with(spooling()).await;
    let [first, second] = leave_spooled(&world).await;
    // Another gateway sees the lease run out; it gets at the store, and this one does not.
    world.run("DROP TRIGGER broken").await;
    let run = crate::store::links::Run { instance: "toolgate".into(), epoch: 1 };
    world.another().gone(&run, Timestamp::now()).await.unwrap();
    let world = reopen(world).await;
    let told = world.told(first).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec!["ok"]));
    let told = world.told(second).await;
    assert_eq!((told.outcome(), told.start.as_ref().unwrap().epoch), ("completed", 2));
    let late = events(&world.reader, "late").await;
    assert_eq!(late.len(), 1);
    assert_eq!(late[0]["record"]["id"], first.to_string());
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_the_store_lost_before_it_went_away_is_told_and_holds_up_nothing() {
    let world = World::with(spooling()).await;
    let [first, second] = leave_spooled(&world).await;
    for table in ["interceptions", "callers", "people", "links"] {
        world.run(format!("DELETE FROM {table}")).await;
    }
    let world = reopen(world).await;
    assert!(world.told(first).await.start.is_none());
    assert_eq!(world.told(second).await.outcome(), "completed");
    let lost = events(&world.reader, "lost").await;
    assert_eq!((lost.len(), &lost[0]["commits"], &lost[0]["behind_link"]), (1, &1.into(), &0.into()));
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_is_spooled_speaks_of_no_text_that_the_store_has_lost() {
    let world = World::with(spooling()).await;
    let mut first = world.audit.begin(start()).await.unwrap();
    first.prompt(Role::User, "the same again".into());
    first.flush().await;
    world.audit.queue.settled().await;
    // While one batch waits for the store, the next gathers: a beginning with a text that is known to be stored.
    let mut block = world.store.begin().await.unwrap();
    let no_prompts =
        "CREATE TRIGGER broken BEFORE INSERT ON prompt_usage BEGIN SELECT RAISE(ABORT, 'broken'); END";
    block.execute(no_prompts).await.unwrap();
    first.thought(1, "hm".into());
    first.flush().await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let mut second = world.audit.begin(start()).await.unwrap();
    second.prompt(Role::User, "the same again".into());
    second.flush().await;
    block.commit().await.unwrap();
    let id = second.id();
    first.end(completed());
    second.end(completed());
    world.audit.close().await;
    for table in ["model_thought", "prompt_usage", "interceptions", "callers", "people", "content", "links"] {
        world.run(format!("DELETE FROM {table}")).await;
    }
    let world = reopen(world).await;
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.prompts[0].body.kept), ("completed", Kept::Dropped));
    world.audit.close().await;
    let report = verifying::check(&world).await;
    assert!(report.is_sound(), "{report:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_spool_that_cannot_be_written_is_a_refusal() {
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("a.spool")).unwrap();
    let settings = Settings { spool: folder.path().join("a.spool"), ..quick(spooling()) };
    let world = World::open(folder, Arc::new(Sealer::random()), settings).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    world.break_it().await;
    let refused = trail.clear(vec![intent("refused")]).await.unwrap_err();
    assert!(refused.to_string().contains("spool"), "{refused}");
    assert!(world.audit.begin(start()).await.is_err());
    world.heal().await;
    trail.clear(vec![intent("runs")]).await.unwrap();
    trail.end(completed());
    world.audit.close().await;
    assert_eq!(world.told(id).await.call_outcomes(), ["not_executed", OUTCOME_UNKNOWN]);
    verify(&world.reader).await;
}
