//! What goes up after a round of injected calls: the model's turn exactly as it was, and every result.

use serde_json::{Value, json};

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::provider::Received;
use crate::wire::{APIS, Api, MODES, Mode, Say, all_forms, say};
use crate::world::World;

fn rounds() -> [Say; 2] {
    [
        say("r1")
            .thinking("They want \"both\" – ok.")
            .text("Let me look.")
            .call("c1", "srv__look", r#"{"at": "é\u2028", "n": 1.0e2}"#)
            .call("c2", "srv__say", "{}"),
        say("r2").text("Done."),
    ]
}

async fn world() -> World {
    World::with(McpServer::new().tool("look", text("42 birds")).echo("say")).await
}

async fn exchange(world: &World, api: Api, mode: Mode, request: &Value) -> (String, Vec<Received>) {
    let before = world.provider.requests().len();
    world.provider.will_say(api, mode, &rounds());
    let answer = patiently("the answer", world.ask(api, request)).await;
    answer.message(api, mode);
    (answer.body, world.provider.requests().split_off(before))
}

#[tokio::test]
async fn round_two_carries_the_turn_and_all_results_in_the_apis_own_form() {
    for api in APIS {
        let world = world().await;
        let mut shapes = Vec::new();
        for mode in MODES {
            let (_, sent) = exchange(&world, api, mode, &api.request(mode, "Look.", &["mine"])).await;
            let added = sent[1].added_since(api, &sent[0]);
            shapes.push(serde_json::to_string_pretty(&added).unwrap());
        }
        insta::assert_snapshot!(format!("round_two_{api:?}"), shapes[0]);
        if api != Api::Chat {
            // A whole chat completion also carries `refusal: null`, which a stream's first chunk has.
            assert_eq!(shapes[0], shapes[1], "streamed and whole answers go back up differently: {api:?}");
        }
    }
}

#[tokio::test]
async fn thinking_goes_back_up_with_its_very_bytes() {
    let mode = Mode::Whole;
    let world = world().await;
    let thinking =
        r#"{"type":"thinking","thinking":"a\u00e9 \/ 1.0e2","signature":"s\u0069g==", "x" : 1.50}"#;
    let redacted = r#"{"type":"redacted_thinking","data":"abc\/=="}"#;
    let call = r#"{"type":"tool_use","id":"c1","name":"srv__look","input":{"at" : 1.0e2}}"#;
    let first = format!(
        r#"{{"id":"r1","type":"message","role":"assistant","model":"m","content":[{thinking},{redacted},{call}],"stop_reason":"tool_use","usage":{{"input_tokens":1,"output_tokens":1}}}}"#
    );
    world.provider.will(crate::provider::Reply::new(200, "application/json", first));
    world.provider.will_say(Api::Messages, mode, &[say("r2").text("Done.")]);
    patiently("the answer", world.ask(Api::Messages, &Api::Messages.request(mode, "Look.", &[]))).await;
    let sent = world.provider.requests();
    let body = String::from_utf8(sent[1].body.to_vec()).unwrap();
    let turn = format!(r#"{{"role":"assistant","content":[{thinking},{redacted},{call}]}}"#);
    assert!(body.contains(&turn), "{body}");
}

#[tokio::test]
async fn every_call_of_a_round_has_its_result_in_one_user_message() {
    for mode in MODES {
        let world = world().await;
        let (_, sent) =
            exchange(&world, Api::Messages, mode, &Api::Messages.request(mode, "Look.", &[])).await;
        let added = sent[1].added_since(Api::Messages, &sent[0]);
        let roles: Vec<&str> = added.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["assistant", "user"]);
        assert!(added[1]["content"].as_array().unwrap().iter().all(|block| block["type"] == "tool_result"));
    }
}

fn includes(request: &Received) -> Value {
    request.json()["include"].clone()
}

#[tokio::test]
async fn sealed_reasoning_is_asked_for_and_taken_out_again() {
    let api = Api::Responses;
    for mode in MODES {
        let world = world().await;
        let request = api.request(mode, "Look.", &[]);
        let (body, sent) = exchange(&world, api, mode, &request).await;
        assert_eq!(includes(&sent[0]), json!(["reasoning.encrypted_content"]), "{mode:?}");
        assert!(!body.contains("encrypted_content") && !body.contains("sealed-r1"), "{body}");
        let reasoning = &sent[1].history(api)[1];
        assert_eq!(
            (&reasoning["type"], &reasoning["encrypted_content"]),
            (&json!("reasoning"), &json!("sealed-r1"))
        );

        let mut asked = request.clone();
        asked["include"] = json!(["reasoning.encrypted_content"]);
        let (body, sent) = exchange(&world, api, mode, &asked).await;
        assert_eq!(includes(&sent[0]), asked["include"], "{mode:?}");
        assert!(body.contains("sealed-r1"), "{body}");
    }
}

#[tokio::test]
async fn a_stored_response_is_gone_on_from_by_its_id() {
    let api = Api::Responses;
    for mode in MODES {
        let world = world().await;
        let mut request = api.request(mode, "Look.", &["mine"]);
        request["store"] = json!(true);
        let (_, sent) = exchange(&world, api, mode, &request).await;
        assert_eq!(includes(&sent[0]), Value::Null, "what is stored need not be sealed");
        let second = sent[1].json();
        assert_eq!(second["previous_response_id"], "r1", "{mode:?}");
        let kinds: Vec<(&str, &str)> = second["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| (item["type"].as_str().unwrap(), item["call_id"].as_str().unwrap()))
            .collect();
        assert_eq!(kinds, [("function_call_output", "c1"), ("function_call_output", "c2")]);

        // The client knows the first round's id; what it goes on from is the last round's.
        let mut next = api.request(mode, "And now?", &["mine"]);
        (next["store"], next["previous_response_id"]) = (json!(true), json!("r1"));
        world.provider.will_say(api, mode, &[say("r3").text("Nothing.")]);
        patiently("the answer", world.ask(api, &next)).await.message(api, mode);
        assert_eq!(world.provider.requests().last().unwrap().json()["previous_response_id"], "r2");
    }
}

#[tokio::test]
async fn a_string_as_input_becomes_the_first_message_of_the_history() {
    let api = Api::Responses;
    for mode in MODES {
        let world = world().await;
        let mut request = api.request(mode, "", &[]);
        request["input"] = json!("Look – \"now\".");
        let (_, sent) = exchange(&world, api, mode, &request).await;
        assert_eq!(sent[0].json()["input"], request["input"]);
        assert_eq!(sent[1].history(api)[0], json!({"role": "user", "content": "Look – \"now\"."}));
    }
}

#[tokio::test]
async fn rounds_add_up_in_the_history() {
    for (api, mode) in all_forms() {
        let world = world().await;
        world.provider.will_say(
            api,
            mode,
            &[
                say("r1").call("c1", "srv__say", r#"{"n":1}"#),
                say("r2").text("More.").call("c2", "srv__say", r#"{"n":2}"#),
                say("r3").text("Done."),
            ],
        );
        let answer = patiently("the answer", world.ask(api, &api.request(mode, "Twice.", &[]))).await;
        answer.message(api, mode);
        let sent = world.provider.requests();
        sent[2].added_since(api, &sent[1]);
        let ids: Vec<String> = sent[2].told(api).into_iter().map(|told| told.id).collect();
        assert_eq!(ids, ["c1", "c2"], "{api:?} {mode:?}");
    }
}
