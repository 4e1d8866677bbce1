//! The tools as the model gets them: whole schemas, safe names, one block that never changes.

use serde_json::{Value, json};

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::provider::Received;
use crate::upstream::function;
use crate::wire::{APIS, Api, Mode, all_forms, say};
use crate::world::World;

/// Asks once with a plain answer, and gives what went up.
async fn sent(world: &World, api: Api, mode: Mode, request: &Value) -> Received {
    world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
    patiently("the answer", world.ask(api, request)).await.message(api, mode);
    world.provider.requests().pop().unwrap()
}

#[tokio::test]
async fn f29_a_schema_goes_up_whole() {
    let schema = json!({
        "type": "object",
        "title": "Search",
        "properties": {
            "where": {"oneOf": [{"$ref": "#/$defs/place"}, {"type": "null"}], "description": "Where – exactly."},
            "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]+$"}, "minItems": 1, "uniqueItems": true},
            "depth": {"type": "number", "exclusiveMinimum": 0, "default": 1.5, "examples": [2]},
        },
        "required": ["where"],
        "additionalProperties": false,
        "$defs": {"place": {"type": "object", "properties": {"kind": {"enum": ["sea", "land"]}}, "required": ["kind"], "additionalProperties": {"type": "string"}}},
    });
    for (api, mode) in all_forms() {
        let server =
            McpServer::new().tool_with("search", schema.clone(), |_| Box::pin(async { text("found") }));
        let world = World::with(server).await;
        let upstream = sent(&world, api, mode, &api.request(mode, "Hi.", &[])).await;
        assert_eq!(
            function(&upstream.json()["tools"][0]),
            ("srv__search".to_owned(), schema.clone()),
            "{api:?} {mode:?}"
        );
    }
}

#[tokio::test]
async fn f30_a_bad_tool_is_left_out_alone() {
    let bad = [
        ("type", json!({"type": "object", "properties": {"a": {"type": "wibble"}}})),
        ("reference", json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}})),
        ("bounds", json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": "ten"}}})),
    ];
    let safe = regex::Regex::new("^[a-zA-Z_][a-zA-Z0-9_-]{0,63}$").unwrap();
    for (api, mode) in all_forms() {
        let server = bad.iter().fold(McpServer::new(), |server, (name, schema)| {
            server.tool_with(name, schema.clone(), |_| Box::pin(async { text("never") }))
        });
        let server = server.echo("good").echo("läs upp! nu").echo(&"long".repeat(30));
        let world = World::with(server.clone()).await;
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", "srv__good", "{}"), say("r2").text("Well.")],
        );
        let answer = patiently("the answer", world.ask(api, &api.request(mode, "Hi.", &["mine"]))).await;
        assert_eq!(answer.message(api, mode).texts, ["Well."]);
        let upstream = world.provider.requests().remove(0);
        let names = upstream.tool_names();
        assert_eq!(names.len(), 4, "{api:?} {mode:?}: {names:?}");
        assert!(names.iter().all(|name| safe.is_match(name)), "{names:?}");
        for tool in upstream.json()["tools"].as_array().unwrap() {
            assert_eq!(
                function(tool).1["type"],
                "object",
                "every provider wants an object at the top: {tool}"
            );
        }
        assert_eq!(server.calls(), [("good".to_owned(), json!({}))]);
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok"]);
    }
}

#[tokio::test]
async fn f33_the_tool_block_is_the_same_bytes_always() {
    let one = || ["zebra", "ape", "Bee"].iter().fold(McpServer::new(), |server, name| server.echo(name));
    for api in APIS {
        let mode = Mode::Whole;
        let first = World::builder().server("b", one()).server("a", one()).start().await;
        let request = api.request(mode, "Hi.", &["zzz", "mine"]);
        let blocks = [sent(&first, api, mode, &request).await, sent(&first, api, mode, &request).await];
        first.stop().await;
        let restarted = World::builder().server("a", one()).server("b", one()).start().await;
        let after = sent(&restarted, api, mode, &request).await;
        let expected = ["zzz", "mine", "a__Bee", "a__ape", "a__zebra", "b__Bee", "b__ape", "b__zebra"];
        assert_eq!(after.tool_names(), expected, "the client's own first, then ours, sorted");
        assert_eq!((&blocks[0].body, &blocks[1].body), (&after.body, &after.body), "{api:?}");

        // Another conversation, another question: the block is the same text.
        let other =
            sent(&restarted, api, mode, &api.request(mode, "Something else?", &["zzz", "mine"])).await;
        let block = |request: &Received| {
            let body = String::from_utf8(request.body.to_vec()).unwrap();
            body[body.find("\"tools\":").unwrap()..].to_owned()
        };
        assert_eq!(block(&other), block(&after), "{api:?}");
    }
}

#[tokio::test]
async fn f33_a_server_that_goes_down_does_not_change_the_block() {
    for api in APIS {
        let flapping = McpServer::new().echo("ape");
        let world = World::builder()
            .server("a", flapping.clone())
            .server("b", McpServer::new().echo("bee"))
            .start()
            .await;
        let request = api.request(Mode::Whole, "Hi.", &["mine"]);
        let before = sent(&world, api, Mode::Whole, &request).await;
        flapping.go_down();
        // A call finds out that the server is down.
        world.provider.will_say(
            api,
            Mode::Whole,
            &[say("r1").call("c1", "a__ape", "{}"), say("r2").text("Down.")],
        );
        patiently("the answer", world.ask(api, &request)).await.message(api, Mode::Whole);
        assert_eq!(sent(&world, api, Mode::Whole, &request).await.body, before.body, "{api:?}");
    }
}

#[tokio::test]
async fn f25_the_clients_own_tools_stay_as_they_are() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("seen"))).await;
        let mut request = api.request(mode, "Hi.", &["b", "a"]);
        let hosted = json!({"type": "web_search_20250305", "name": "web_search", "max_uses": 3});
        request["tools"].as_array_mut().unwrap().push(hosted);
        request["tools"][0]["cache_control"] = json!({"type": "ephemeral"});
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", "srv__look", "{}"), say("r2").call("c2", "a", "{}")],
        );
        let answer = patiently("the answer", world.ask(api, &request)).await;
        assert_eq!(answer.message(api, mode).calls[0].name, "a", "{api:?} {mode:?}");
        let own = request["tools"].as_array().unwrap();
        for upstream in world.provider.requests() {
            let json = upstream.json();
            let tools = json["tools"].as_array().unwrap();
            assert_eq!((&tools[..own.len()], tools.len()), (&own[..], own.len() + 1));
            assert_eq!(function(&tools[own.len()]).0, "srv__look");
        }
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok", "released"]);
    }
}

#[tokio::test]
async fn f34_a_client_tool_of_the_same_name_wins() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("hijacked")).tool("listen", text("heard"));
        let world = World::with(server.clone()).await;
        let request = api.request(mode, "Hi.", &["srv__look"]);
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", r#"{"a":1}"#)]);
        let answer = patiently("the answer", world.ask(api, &request)).await;
        let message = answer.message(api, mode);
        assert_eq!(
            (message.calls[0].name.as_str(), message.calls.len()),
            ("srv__look", 1),
            "{api:?} {mode:?}"
        );
        let upstream = &world.provider.requests()[0];
        assert_eq!(upstream.tool_names(), ["srv__look", "srv__listen"]);
        assert_eq!(
            upstream.json()["tools"][0],
            request["tools"][0],
            "the client's definition is the one that counts"
        );
        assert_eq!(server.calls(), []);
        let record = world.record(&answer).await;
        assert_eq!((record.call_outcomes(), record.calls[0].injected), (vec!["released"], false));
        let left_out = "srv__look: the client has a tool of this name";
        assert_eq!(record.interception.start.left_out, [left_out], "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn f37_tools_that_collapse_to_one_name_stay_two() {
    for (api, mode) in all_forms() {
        let server =
            McpServer::new().tool("file.delete", text("deleted")).tool("file/delete", text("shredded"));
        let world = World::with(server.clone()).await;
        let names = sent(&world, api, mode, &api.request(mode, "Hi.", &[])).await.tool_names();
        assert!(names.len() == 2 && names[0] != names[1], "{names:?}");
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", &names[0], "{}").call("c2", &names[1], "{}"), say("r2").text("Gone.")],
        );
        let answer = patiently("the answer", world.ask(api, &api.request(mode, "Hi.", &[]))).await;
        answer.message(api, mode);
        let mut called: Vec<String> = server.calls().into_iter().map(|(tool, _)| tool).collect();
        called.sort();
        assert_eq!(called, ["file.delete", "file/delete"], "{api:?} {mode:?}");
        let record = world.record(&answer).await;
        for (call, told) in record.calls.iter().zip(world.provider.requests().last().unwrap().told(api)) {
            let result =
                if call.server_tool.as_deref() == Some("file.delete") { "deleted" } else { "shredded" };
            assert_eq!(told.text, result);
        }
    }
}
