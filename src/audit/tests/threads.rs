//! Which interception a request goes on from.

use super::*;
use crate::domain::Digest;

fn following(call_ids: &[&str], place: Option<&str>) -> InterceptionStart {
    let call_ids = call_ids.iter().map(|id| (*id).to_owned()).collect();
    let place = place.map(|place| Digest::of(place.as_bytes()));
    InterceptionStart { follows: Follows { call_ids, place, echo: None }, ..start() }
}

async fn lineage(world: &World, id: InterceptionId) -> (InterceptionId, Option<InterceptionId>) {
    let start = world.told(id).await.start.unwrap();
    (start.thread, start.parent)
}

/// Interceptions of one conversation: the second brings the result of the first one's call, the third knows the second
/// one's place alone.
async fn converse(world: &World) -> InterceptionId {
    let mut trail = world.audit.begin(start()).await.unwrap();
    let first = trail.id();
    trail.tool_use(released("call_a"));
    trail.end(completed());
    first
}

#[tokio::test]
async fn a_request_with_a_call_s_result_belongs_to_the_call_s_interception() {
    let world = World::new().await;
    let first = converse(&world).await;
    let place = Some(Digest::of(b"second"));
    let trail = world
        .audit
        .begin(InterceptionStart { place, ..following(&["unknown", "call_a"], None) })
        .await
        .unwrap();
    let second = trail.id();
    trail.end(completed());
    let trail = world.audit.begin(following(&[], Some("second"))).await.unwrap();
    let third = trail.id();
    trail.end(completed());
    let stranger =
        InterceptionStart { follows: following(&["call_a"], Some("second")).follows, ..start_of("bob") };
    let trail = world.audit.begin(stranger).await.unwrap();
    let other = trail.id();
    trail.end(completed());
    world.audit.close().await;
    assert_eq!(lineage(&world, first).await, (first, None));
    assert_eq!(lineage(&world, second).await, (first, Some(first)));
    assert_eq!(lineage(&world, third).await, (first, Some(second)));
    assert_eq!(lineage(&world, other).await, (other, None));
}

#[tokio::test]
async fn conversations_that_begin_alike_are_told_apart_by_their_answers() {
    let world = World::new().await;
    let place = Some(Digest::of(b"hi"));
    let echo = |answer: &str| Some(Digest::of(answer.as_bytes()));
    let mut beginnings = Vec::new();
    for answer in ["Hello.", "Hello!"] {
        let mut trail = world.audit.begin(InterceptionStart { place, ..start() }).await.unwrap();
        beginnings.push(trail.id());
        trail.answered(echo(answer));
        trail.end(completed());
    }
    for (answer, expected) in [("Hello.", 0), ("Hello!", 1), ("cut o", 1)] {
        let follows = Follows { place, echo: echo(answer), ..Follows::default() };
        let trail = world.audit.begin(InterceptionStart { follows, ..start() }).await.unwrap();
        let id = trail.id();
        trail.end(completed());
        world.audit.queue.settled().await;
        let first = beginnings[expected];
        assert_eq!(lineage(&world, id).await, (first, Some(first)), "{answer}");
    }
}

#[tokio::test]
async fn a_conversation_goes_on_after_a_restart() {
    let world = World::new().await;
    let first = converse(&world).await;
    let world = world.restarted().await;
    let place = Some(Digest::of(b"second"));
    let trail = world.audit.begin(InterceptionStart { place, ..following(&["call_a"], None) }).await.unwrap();
    let second = trail.id();
    trail.end(completed());
    let world = world.restarted().await;
    let trail = world.audit.begin(following(&["lost"], Some("second"))).await.unwrap();
    let third = trail.id();
    trail.end(completed());
    world.audit.close().await;
    assert_eq!(lineage(&world, second).await, (first, Some(first)));
    assert_eq!(lineage(&world, third).await, (first, Some(second)));
}
