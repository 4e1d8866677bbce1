//! What is recorded of an interception that goes well, and what must be durable before a call runs.

use futures::FutureExt;
use futures::future::join_all;

use super::*;

#[tokio::test]
async fn everything_is_recorded_in_order() {
    let world = World::with(Settings { clock: ticking(), ..Settings::default() }).await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.prompt(Role::User, "find my note".into());
    trail.thought(1, "I should search".into());
    trail.tokens(usage(1, 5));
    let cleared = trail.clear(vec![intent("call_1")]).await.unwrap();
    trail.outcome(cleared[0].id(), report("{\"found\":1}"));
    trail.flush().await;
    trail.tool_use(ToolUse { round: 2, ..released("call_2") });
    trail.tokens(TokenUsage { text: "Found it.".into(), ..usage(2, 7) });
    trail.end(completed());
    world.audit.close().await;

    let told = world.told(id).await;
    let begun = told.start.as_ref().unwrap();
    assert_eq!((begun.thread, begun.parent, begun.policy.as_str()), (id, None, "p1"));
    assert_eq!((begun.instance.as_str(), begun.epoch), ("toolgate", 1));
    let end = told.end.as_ref().unwrap();
    assert_eq!((end.outcome.as_str(), end.status, &end.error), ("completed", Some(200), &None));
    assert!(end.ended_at > begun.started_at);
    assert_eq!((end.rounds, end.injected_calls, end.client_calls), (2, 1, 1));
    assert_eq!((end.input, end.output, end.answered_by.as_deref()), (20, 12, Some("claude-1")));
    assert!(end.total_us.is_some());

    assert_eq!(world.text(ALICE, &told.prompts[0].body).await.as_deref(), Some("find my note"));
    assert_eq!(world.text(ALICE, &told.thoughts[0].body).await.as_deref(), Some("I should search"));
    assert_eq!(told.tokens[0].body, Body::default());
    assert_eq!(world.text(ALICE, &told.tokens[1].body).await.as_deref(), Some("Found it."));
    let calls: Vec<_> = told.calls.iter().map(|call| &call.row).collect();
    let order = [
        told.prompts[0].seq,
        told.thoughts[0].seq,
        told.tokens[0].seq,
        calls[0].seq,
        calls[1].seq,
        told.tokens[1].seq,
    ];
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);

    assert_eq!(world.text(ALICE, &calls[0].body).await.as_deref(), Some(r#"{"query":"call_1"}"#));
    assert_eq!(calls[0].server_url.as_deref(), Some("https://notes.example.com/mcp"));
    assert_eq!((calls[0].rule.as_deref(), calls[0].policy.as_deref()), (Some("default"), Some("p2")));
    let outcome = told.calls[0].outcome.as_ref().unwrap();
    assert_eq!((outcome.outcome.as_str(), outcome.duration_us), ("ok", Some(12_000)));
    let result = world.text(ALICE, outcome.body.as_ref().unwrap()).await;
    assert_eq!(result.as_deref(), Some("{\"found\":1}"));
    assert!(calls[0].intended_at.unwrap() < outcome.ended_at);
    assert_eq!((told.call_outcomes()[1], calls[1].injected), ("released", false));
    assert_eq!(verify(&world.reader).await, 10);
}

#[tokio::test]
async fn intents_are_durable_before_clear_returns() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let cleared = trail.clear(vec![intent("one"), intent("two")]).await.unwrap();
    let told = world.told(trail.id()).await;
    let calls: Vec<_> = told.calls.iter().map(|call| &call.row).collect();
    assert_eq!(calls.iter().map(|call| call.call_id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(calls.iter().map(|call| call.id).collect::<Vec<_>>(), [cleared[0].id(), cleared[1].id()]);
    assert!(calls.iter().all(|call| call.intended_at.is_some()));
    assert_eq!((told.call_outcomes(), &told.end), (vec!["open", "open"], &None));
}

#[tokio::test]
async fn the_intents_of_one_clear_stand_or_fall_together() {
    let world = World::new().await;
    world
        .run("CREATE TRIGGER broken BEFORE INSERT ON tool_usage WHEN NEW.call_id = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END")
        .await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let error = trail.clear(vec![intent("good"), intent("bad")]).await.unwrap_err();
    assert!(error.to_string().contains("no"), "{error}");
    assert!(world.told(trail.id()).await.calls.is_empty());
}

#[tokio::test]
async fn what_waits_for_the_writer_shares_one_commit() {
    let world = World::new().await;
    let mut trails = join_all((0..500).map(|_| world.audit.begin(start()))).await;
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    let clears = join_all(trails.iter_mut().map(|trail| trail.as_mut().unwrap().clear(vec![intent("x")])));
    let tasks = async {
        tokio::task::yield_now().await;
        drop(block);
    };
    let before = world.links().await;
    let (cleared, ()) = tokio::join!(clears, tasks);
    assert!(cleared.iter().all(Result::is_ok));
    let commits = world.links().await - before;
    assert!((1..=3).contains(&commits), "500 intents took {commits} commits");
    let ids: Vec<_> = trails.iter().map(|trail| trail.as_ref().unwrap().id()).collect();
    for (trail, cleared) in trails.into_iter().zip(cleared) {
        let mut trail = trail.unwrap();
        trail.outcome(cleared.unwrap()[0].id(), report("{}"));
        trail.end(completed());
    }
    world.audit.close().await;
    for id in ids {
        let end = world.told(id).await.end.unwrap();
        assert_eq!((end.outcome.as_str(), end.injected_calls), ("completed", 1));
    }
    assert_eq!(verify(&world.reader).await, 2000);
}

#[tokio::test]
async fn a_dropped_trail_ends_as_interrupted() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    trail.tokens(usage(1, 3));
    let _lost = trail.clear(vec![intent("running")]).await.unwrap();
    drop(trail);
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!((told.outcome(), told.call_outcomes()), ("interrupted", vec![OUTCOME_UNKNOWN]));
    assert_eq!((told.tokens.len(), told.end.unwrap().output), (1, 3));
}

#[tokio::test]
async fn a_clear_that_is_dropped_half_way_says_that_nothing_ran() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    world.audit.queue.settled().await;
    let block = world.store.begin().await.unwrap();
    assert!(trail.clear(vec![intent("never")]).now_or_never().is_none());
    trail.end(completed());
    drop(block);
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!(told.call_outcomes(), ["not_executed"]);
    assert_eq!(told.end.unwrap().injected_calls, 0);
}

#[tokio::test]
async fn clearances_that_are_given_back_say_that_nothing_ran() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    let mut cleared = trail.clear(vec![intent("call_1"), intent("call_2")]).await.unwrap();
    trail.outcome(cleared.remove(0).id(), report("{}"));
    trail.give_back(cleared);
    trail.end(completed());
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!(told.call_outcomes(), ["ok", "not_executed"]);
    assert_eq!(told.end.as_ref().unwrap().injected_calls, 1);
}

#[tokio::test]
async fn an_absurd_number_of_tokens_breaks_no_sum() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    for round in 1..=100 {
        trail.tokens(usage(round, u64::MAX));
    }
    trail.end(completed());
    world.audit.close().await;
    let told = world.told(id).await;
    assert_eq!((told.tokens[0].output, told.end.unwrap().output), (1 << 48, 1 << 48));
    verify(&world.reader).await;
}

#[tokio::test]
async fn what_is_done_with_records_is_recorded_before_it_is_done() {
    let world = World::new().await;
    let by = Arc::new(caller(ALICE));
    world.audit.event(&by, Action::Read, serde_json::json!({ "filter": "all" })).await.unwrap();
    assert_eq!(events(&world.reader, "read").await, [serde_json::json!({ "filter": "all" })]);
    verify(&world.reader).await;
}

#[tokio::test]
async fn a_refusal_names_the_policy_that_refused() {
    let world = World::new().await;
    let mut trail = world.audit.begin(start()).await.unwrap();
    let id = trail.id();
    let refused = ToolUse { outcome: ToolOutcome::Denied, ruling: Some(ruling("no")), ..released("call_1") };
    trail.tool_use(refused);
    trail.tool_use(released("call_2"));
    trail.end(completed());
    world.audit.close().await;
    let rules = world.told(id).await.calls.into_iter().map(|call| (call.row.rule, call.row.policy));
    assert_eq!(rules.collect::<Vec<_>>(), [(Some("no".into()), Some("p2".into())), (None, None)]);
}
