//! Ids of stored responses: each counts for the key that it was given to, and stands for the last round.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::mcp_server::{McpServer, text};
use crate::wire::{Api, MODES, Mode, say};
use crate::world::World;

const API: Api = Api::Responses;

async fn world() -> World {
    let builder = World::builder().caller("tg_alice", "alice", &[]).caller("tg_bob", "bob", &[]);
    builder.server("srv", McpServer::new().tool("look", text("42 birds"))).start().await
}

fn stored(mode: Mode, more: &[(&str, Value)]) -> Value {
    let mut body = API.request(mode, "And now?", &[]);
    body["store"] = json!(true);
    for (key, value) in more {
        body[*key] = value.clone();
    }
    body
}

async fn ask(world: &World, key: &str, body: &Value) -> Answer {
    world.post(API.path(), body.to_string(), &[("x-api-key", key)]).await
}

/// The forms in which a request can refer to something stored.
fn references(mode: Mode, response: &str, item: &str) -> Vec<Value> {
    let user = json!({"role": "user", "content": "And now?"});
    vec![
        stored(mode, &[("previous_response_id", json!(response))]),
        stored(mode, &[("input", json!([{"type": "item_reference", "id": item}, user]))]),
        stored(mode, &[("input", json!([{"id": item}, user]))]),
        stored(mode, &[("input", json!([user, {"type": "item_reference", "id": response}]))]),
    ]
}

/// Alice's first answer, in which a tool ran: she sees `r1`, and the provider's last id is `r2`.
async fn first_answer(world: &World, mode: Mode) {
    let rounds = [say("r1").text("Let me look.").call("c1", "srv__look", "{}"), say("r2").text("42 birds.")];
    world.provider.will_say(API, mode, &rounds);
    let answer = ask(world, "tg_alice", &stored(mode, &[])).await;
    assert_eq!(answer.message(API, mode).id, "r1");
}

#[tokio::test]
async fn f64_an_id_that_was_not_issued_to_this_caller_is_404() {
    for mode in MODES {
        let world = world().await;
        first_answer(&world, mode).await;
        let sent = world.provider.requests().len();
        let foreign = references(mode, "r1", "msg_r2").into_iter().map(|body| ("tg_bob", body));
        let unknown =
            references(mode, "resp_unknown", "msg_unknown").into_iter().map(|body| ("tg_alice", body));
        // The last round's own id was never told to anyone.
        let hidden = stored(mode, &[("previous_response_id", json!("r2"))]);
        for (key, body) in foreign.chain(unknown).chain([("tg_alice", hidden.clone()), ("tg_bob", hidden)]) {
            let answer = ask(&world, key, &body).await;
            let error = answer.error(API);
            assert_eq!((answer.status, &*error.kind), (404, "not_found"), "{key} {body}");
            assert!(error.message.contains("there is no response or item with the id"), "{error:?}");
            assert_eq!(answer.header("x-should-retry"), Some("false"));
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), record.status()), ("refused", Some(404)));
        }
        assert_eq!(world.provider.requests().len(), sent, "something went up");
    }
}

#[tokio::test]
async fn f64_the_callers_own_id_goes_on_from_the_last_round_also_after_a_restart() {
    for mode in MODES {
        let mut world = world().await;
        first_answer(&world, mode).await;
        for id in ["r3", "r4"] {
            world.provider.will_say(API, mode, &[say(id).text("Still 42.")]);
            let answer =
                ask(&world, "tg_alice", &stored(mode, &[("previous_response_id", json!("r1"))])).await;
            assert_eq!(answer.message(API, mode).texts, ["Still 42."]);
            let sent = world.provider.requests().pop().unwrap().json();
            assert_eq!(sent["previous_response_id"], "r2", "{mode:?} {id}");
            world = world.restart().await;
        }
        world.provider.will_say(API, mode, &[say("r5").text("Yes.")]);
        let body = &references(mode, "r1", "msg_r2")[1];
        assert_eq!(ask(&world, "tg_alice", body).await.message(API, mode).texts, ["Yes."]);
        assert_eq!(world.provider.requests().pop().unwrap().json()["input"], body["input"]);
        assert_eq!(
            ask(&world, "tg_bob", body).await.status,
            404,
            "after a restart, everyone's ids are everyone's"
        );
    }
}

#[tokio::test]
async fn what_the_provider_does_not_store_gets_no_id_to_go_on_from() {
    for mode in MODES {
        let world = world().await;
        world.provider.will_say(API, mode, &[say("r1").text("Hello.")]);
        ask(&world, "tg_alice", &API.request(mode, "Hi", &[])).await.message(API, mode);
        let answer = ask(&world, "tg_alice", &stored(mode, &[("previous_response_id", json!("r1"))])).await;
        assert_eq!(answer.status, 404);
    }
}
