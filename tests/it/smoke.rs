//! The main job, in every form: an injected call runs, and the client gets one message without it.

use serde_json::json;

use crate::mcp_server::{McpServer, text};
use crate::wire::{all_forms, say};
use crate::world::World;

#[tokio::test]
async fn an_injected_call_runs_and_the_client_sees_one_message() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("42 birds"))).await;
        world.provider.will_say(
            api,
            mode,
            &[
                say("r1").text("Let me look.").call("c1", "srv__look", r#"{"at":"é"}"#),
                say("r2").text("I saw 42 birds."),
            ],
        );
        let answer = world.ask(api, &api.request(mode, "How many birds?", &["mine"])).await;
        let message = answer.message(api, mode);
        assert_eq!(message.id, "r1", "{api:?} {mode:?}");
        assert_eq!(message.texts.concat().replace("\n\n", ""), "Let me look.I saw 42 birds.");
        assert_eq!(message.calls, []);
        let requests = world.provider.requests();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].tool_names(), ["mine", "srv__look"]);
        assert!(String::from_utf8_lossy(&requests[1].body).contains("42 birds"));
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.call_outcomes()), ("completed", vec!["ok"]));
        assert_eq!(record.calls[0].arguments, json!({"at": "é"}).to_string());
        assert!(!answer.body.contains("srv__look"), "{}", answer.body);
    }
}
