//! A gateway that others took for gone.

use super::*;
use crate::store::links::Run;

/// Closes the run of a gateway that lives, as another one does when its lease is over.
async fn close_from_outside(world: &World) {
    let run = Run { instance: "toolgate".into(), epoch: 1 };
    instance::close_gone(&world.store, &run, "another", Timestamp::now()).await.unwrap();
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
        [("tool_usage", "ok"), ("interception_end", "completed"), ("interception_end", "completed")]
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
