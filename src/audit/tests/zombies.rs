//! A gateway that others took for gone.

use super::*;
use crate::store::links::Run;

/// Closes the run of a gateway that lives, as another one does when its lease is over.
async fn close_from_outside(world: &World) {
    let run = Run { instance: "toolgate".into(), epoch: 1 };
    world.another().gone(&run, Timestamp::now()).await.unwrap();
}

#[tokio::test]
async fn a_zombie_goes_on_under_a_new_epoch_and_its_late_records_become_events() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let mut idle = world.audit.begin(start()).await.unwrap();
    let (id, idle_id) = (trail.id(), idle.id());
    let cleared = trail.clear(vec![intent("running")]).await.unwrap();
    close_from_outside(&world).await;
    assert_eq!(world.told(id).await.outcome(), "interrupted");

    let refused = idle.clear(vec![intent("too late")]).await.unwrap_err();
    assert!(refused.to_string().contains("took this one for gone"), "{refused}");
    trail.outcome(cleared[0].id(), report("late result"));
    trail.end(completed());
    idle.end(completed());
    let fresh = world.audit.begin(start()).await.unwrap();
    let fresh_id = fresh.id();
    fresh.end(completed());
    world.audit.close().await;

    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    let told = world.told(idle_id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec!["not_executed"]));
    let told = world.told(fresh_id).await;
    assert_eq!((told.outcome(), told.start.as_ref().unwrap().epoch), ("completed", 2));
    let late = events(&world.reader, "late").await;
    let late: Vec<_> = late
        .iter()
        .map(|late| (late["record_type"].as_str().unwrap(), late["record"]["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        late,
        [("tool_outcome", "ok"), ("interception_end", "completed"), ("interception_end", "completed")]
    );
    verify(&world.reader).await;
}

#[tokio::test]
async fn a_batch_that_is_fenced_is_written_whole_under_the_new_epoch() {
    let world = World::new().await;
    close_from_outside(&world).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    trail.clear(vec![intent("runs")]).await.unwrap();
    let id = trail.id();
    trail.end(completed());
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.start.as_ref().unwrap().epoch), ("completed", 2));
    verify(&world.reader).await;
}

#[tokio::test]
async fn commits_that_the_database_lost_are_noticed_and_hold_up_nothing() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    let cleared = trail.clear(vec![intent("lost")]).await.unwrap();
    // As a server does that was killed before its disk had them.
    for table in ["tool_usage", "interceptions", "callers", "people", "content", "links"] {
        world.run(format!("DELETE FROM {table}")).await;
    }
    world.break_it().await;
    let mut other = world.audit.begin(start()).await.unwrap();
    other.clear(vec![intent("refused")]).await.unwrap_err();
    world.heal().await;
    trail.thought(1, "after".into());
    trail.outcome(cleared[0].id(), report("{}"));
    trail.end(completed());
    let other_id = other.id();
    other.end(completed());
    world.audit.close().await;

    assert!(world.told(id).await.start.is_none());
    let told = world.told(other_id).await;
    assert_eq!((told.outcome(), told.start.as_ref().unwrap().epoch), ("completed", 2));
    assert_eq!(told.call_outcomes(), ["not_executed"]);
    let late = events(&world.reader, "late").await;
    let late: Vec<_> = late.iter().map(|late| late["record_type"].as_str().unwrap()).collect();
    assert_eq!(late, ["model_thought", "tool_outcome", "interception_end"]);
    let lost = events(&world.reader, "lost").await;
    assert_eq!((lost.len(), &lost[0]["epoch"], &lost[0]["behind_link"]), (1, &1.into(), &0.into()));
    assert!(world.text(ALICE, &told.calls[0].row.body).await.is_some());
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_the_database_refuses_for_good_becomes_an_event_and_holds_up_nothing() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.run("CREATE TABLE picky (number BIGINT CHECK (number > 0))").await;
    world
        .run("CREATE TRIGGER picky_thoughts BEFORE INSERT ON model_thought BEGIN INSERT INTO picky VALUES (0); END")
        .await;
    let block = world.store.begin().await.unwrap();
    trail.thought(1, "is refused".into());
    trail.flush().await;
    let other = world.audit.begin(start()).await.unwrap();
    let id = other.id();
    other.end(completed());
    drop(block);
    world.audit.queue.settled().await;
    assert_eq!(world.audit.health().unavailable, None);
    trail.end(completed());
    world.audit.close().await;
    assert_eq!(world.told(id).await.outcome(), "completed");
    let late = events(&world.reader, "late").await;
    assert_eq!((late.len(), &late[0]["record_type"]), (1, &"model_thought".into()));
    verify(&world.reader).await;
}
