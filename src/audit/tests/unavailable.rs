//! A store that cannot be written, where new interceptions are to be refused.

use super::*;

#[tokio::test]
async fn a_store_that_fails_refuses_calls_and_admissions_and_loses_nothing() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let mut other = world.audit.begin(start()).await.unwrap();
    let (id, other_id) = (trail.id(), other.id());
    world.audit.queue.settled().await;
    world.break_it().await;

    trail.tokens(usage(1, 3));
    let error = trail.clear(vec![intent("refused")]).await.unwrap_err();
    assert!(error.to_string().contains("disk full"), "{error}");
    assert!(world.audit.begin(start()).await.is_err(), "nothing is admitted");
    assert!(world.audit.health().unavailable.unwrap().contains("disk full"));
    other.thought(1, "still here".into());
    // A round that needs no clearance goes on.
    other.flush().await;
    assert!(other.clear(vec![intent("refused at once")]).await.is_err());
    trail.end(completed());
    other.end(completed());
    assert_eq!(world.told(id).await.end, None, "nothing can be written yet");

    world.heal().await;
    assert_eq!(world.audit.health().unavailable, None);
    let third = world.audit.begin(start()).await.unwrap();
    third.end(completed());
    world.audit.close().await;
    assert_eq!(world.told(id).await.tokens.len(), 1);
    let thoughts = world.told(other_id).await.thoughts;
    assert_eq!(world.text(ALICE, &thoughts[0].body).await.as_deref(), Some("still here"));
    for id in [id, other_id] {
        let told = world.told(id).await;
        assert_eq!((told.outcome(), told.call_outcomes()), ("completed", vec!["not_executed"]));
        assert_eq!(told.end.unwrap().injected_calls, 0);
    }
    verify(&world.reader).await;
}

#[tokio::test]
async fn a_short_trouble_is_not_noticed() {
    let world = World::with(Settings { write_attempts: 1000, ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    let (cleared, ()) = tokio::join!(trail.clear(vec![intent("late")]), world.heal());
    cleared.unwrap();
    assert_eq!(world.told(trail.id()).await.calls.len(), 1);
}

#[tokio::test]
async fn closing_ends_also_when_nothing_can_be_written() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    world.audit.queue.settled().await;
    world.break_it().await;
    assert!(trail.clear(vec![intent("refused")]).await.is_err());
    trail.end(completed());
    assert_eq!(world.audit.close().await, 3, "the call that was refused, that it was, and the end");
    assert_eq!(world.audit.health().lost, 3);
}

#[tokio::test]
async fn closing_waits_for_a_store_that_comes_back() {
    let folder = TempDir::new().unwrap();
    let settings = Settings { last_tries: Duration::from_mins(1), ..quick(Settings::default()) };
    let world = World::open(folder, Arc::new(Sealer::random()), settings).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    world.break_it().await;
    assert!(trail.clear(vec![intent("refused")]).await.is_err());
    trail.end(completed());
    let (lost, ()) = tokio::join!(world.audit.close(), world.run("DROP TRIGGER broken"));
    assert_eq!(lost, 0);
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("completed", vec!["not_executed"]));
    verify(&world.reader).await;
}
