//! A store that cannot be written while the gateway runs.

use serde_json::json;
use toolgate::config::OnUnavailable;

use crate::mcp_server::{McpServer, text};
use crate::record::Record;
use crate::wire::{all_forms, say};
use crate::world::{World, until};

async fn run(world: &World, sql: &'static str) {
    let mut transaction = world.store.begin().await.unwrap();
    sqlx::query(sql).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

async fn break_store(world: &World) {
    run(world, "CREATE TRIGGER broken BEFORE INSERT ON links BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        .await;
}

async fn heal_store(world: &World) {
    run(world, "DROP TRIGGER broken").await;
}

async fn is_ready(world: &World) -> bool {
    world.request("GET", "/readyz").send().await.unwrap().status() == 200
}

#[tokio::test]
async fn f44_what_cannot_be_recorded_is_not_admitted_and_nothing_is_lost() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        break_store(&world).await;
        // Its start waits for the store; it needs no clearance, and nothing holds it up.
        world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
        let admitted = world.ask(api, &api.request(mode, "Hi", &[])).await;
        assert_eq!(admitted.status, 200, "{api:?} {mode:?}");
        until("trouble", async || (!is_ready(&world).await).then_some(())).await;

        let refused = world.ask(api, &api.request(mode, "Hi", &[])).await;
        assert_eq!(refused.status, 503, "{api:?} {mode:?}");
        assert_eq!(refused.error(api).message, "the audit cannot record now", "{api:?} {mode:?}");
        assert_eq!(world.provider.requests().len(), 1);

        heal_store(&world).await;
        until("recovery", async || is_ready(&world).await.then_some(())).await;
        let record = world.record(&admitted).await;
        assert_eq!((record.outcome(), record.rounds.len()), ("completed", 1), "{api:?} {mode:?}");
        world.provider.will_say(api, mode, &[say("r3").text("Hello.")]);
        assert_eq!(world.ask(api, &api.request(mode, "Hi", &[])).await.status, 200);
    }
}

#[tokio::test]
async fn f44_records_that_wait_in_the_spool_are_as_good_as_any() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("42"));
        let world = World::builder()
            .config(|config| config.audit.on_unavailable = OnUnavailable::Spool)
            .server("srv", server.clone())
            .start()
            .await;
        break_store(&world).await;
        let rounds = [say("r1").call("c1", "srv__look", "{}"), say("r2").text("It is 42.")];
        world.provider.will_say(api, mode, &rounds);
        let answer = world.ask(api, &api.request(mode, "Look", &[])).await;
        assert_eq!(answer.status, 200, "{api:?} {mode:?}: {}", answer.body);
        assert_eq!((server.calls().len(), is_ready(&world).await), (1, true));
        let id = answer.header("x-toolgate-interception").unwrap().parse().unwrap();
        assert!(Record::read(&world.store, id).await.is_none(), "nothing can be in the store");

        heal_store(&world).await;
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.call_outcomes()), ("completed", vec!["ok"]));
        let result = record.calls[0].outcome.as_ref().unwrap().result.as_deref().unwrap();
        assert!(result.contains(&json!("42").to_string()), "{result}");
    }
}
