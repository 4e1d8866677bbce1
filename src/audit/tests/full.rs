//! A queue without room.

use futures::FutureExt;

use super::*;
use crate::config::OnFull;
use crate::store::records::Kept;

#[tokio::test]
async fn f44_an_end_never_waits_even_when_the_queue_is_full() {
    let world = World::with(Settings { capacity: 3, ..Settings::default() }).await;
    let mut first = world.audit.begin(start()).await.unwrap();
    let second = world.audit.begin(start()).await.unwrap();
    let ids = [first.id(), second.id()];
    world.audit.queue.settled().await;
    // Holding the writing connection stops the writer; then the queue fills up.
    let block = world.store.begin().await.unwrap();
    for round in 1..=3 {
        first.tokens(usage(round, 1));
        first.flush().now_or_never().expect("there is room");
    }
    first.tokens(usage(4, 1));
    assert!(first.flush().now_or_never().is_none(), "the queue is full");
    assert!(world.audit.begin(start()).now_or_never().is_none(), "so nothing is admitted");
    assert_eq!((world.audit.health().waiting, world.audit.health().capacity), (3, 3));
    first.end(completed());
    second.end(completed());
    drop(block);
    world.audit.close().await;
    for id in ids {
        assert_eq!(world.told(id).await.outcome(), "completed");
    }
    assert_eq!(world.told(ids[0]).await.tokens.len(), 4);
}

#[tokio::test]
async fn f44_records_wait_for_the_store_as_long_as_it_takes() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    let block = world.store.begin().await.unwrap();
    trail.thought(1, "slow".into());
    trail.flush().await;
    trail.end(completed());
    let closing = world.audit.clone();
    let closed = TaskTracker::new().spawn(async move { closing.close().await });
    // Longer than any pause of the writer's and any time-out that a peer has been seen with.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(!closed.is_finished());
    drop(block);
    closed.await.unwrap();
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.thoughts.len()), ("completed", 1));
}

#[tokio::test]
async fn texts_are_dropped_and_counted_where_the_queue_is_to_drop_them() {
    let world = World::with(Settings { capacity: 2, on_full: OnFull::Drop, ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    trail.thought(1, "kept".into());
    trail.flush().now_or_never().expect("there is room");
    trail.thought(2, "kept as well".into());
    trail.flush().now_or_never().expect("there is room");
    trail.thought(3, "x".repeat(100_000));
    trail.tool_use(released("c"));
    trail.end(completed());
    assert_eq!(world.audit.health().dropped_texts, 2);
    drop(block);
    world.audit.close().await;
    let told = world.told(id).await;
    let kept: Vec<_> = told.thoughts.iter().map(|row| (row.body.kept, row.body.bytes)).collect();
    assert_eq!(kept, [(Kept::Full, 4), (Kept::Full, 12), (Kept::Dropped, 100_000)]);
    assert_eq!(told.calls[0].row.body, Body { id: None, bytes: 1, kept: Kept::Dropped });
    assert_eq!((told.call_outcomes(), told.outcome()), (vec!["released"], "completed"));
    verify(&world.reader).await;
}

#[tokio::test]
async fn intents_wait_also_where_texts_are_dropped() {
    let world = World::with(Settings { capacity: 1, on_full: OnFull::Drop, ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    trail.thought(1, "first".into());
    trail.flush().now_or_never().expect("there is room");
    let free = async {
        tokio::task::yield_now().await;
        drop(block);
    };
    let (cleared, ()) = tokio::join!(trail.clear(vec![intent("runs")]), free);
    cleared.unwrap();
    let told = world.told(id).await;
    assert_eq!((told.call_outcomes(), told.calls[0].row.body.kept), (vec!["open"], Kept::Dropped));
    assert_eq!(world.audit.health().dropped_texts, 1);
}
