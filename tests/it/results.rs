//! What a model is told of a call: bad arguments, refusals, failures, and results of every kind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::upstream::Told;
use crate::wire::{APIS, Api, MODES, Mode, Say, all_forms, say};
use crate::world::{Record, World};

/// One call and an answer after it: what the model was told of the call, and the record.
async fn one_call(world: &World, api: Api, mode: Mode, call: Say) -> (Told, Record) {
    let before = world.provider.requests().len();
    world.provider.will_say(api, mode, &[call, say("r2").text("I see.")]);
    let answer = patiently("the answer", world.ask(api, &api.request(mode, "Go on.", &["mine"]))).await;
    let message = answer.message(api, mode);
    assert_eq!((message.texts.concat().as_str(), message.calls.len()), ("I see.", 0), "{api:?} {mode:?}");
    let told = world.provider.requests()[before + 1].told(api).remove(0);
    (told, world.record(&answer).await)
}

fn searching_server() -> McpServer {
    let schema = json!({
        "type": "object",
        "properties": {"q": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["q"],
    });
    McpServer::new().tool_with("search", schema, |_| Box::pin(async { text("found") }))
}

#[tokio::test]
async fn f22_a_tool_with_bad_arguments_does_not_run_and_the_model_is_told_what_is_wrong() {
    let bad = [
        (
            r#"{"q":"birds""#,
            "The arguments are not valid JSON: EOF while parsing an object at line 1 column 12",
        ),
        (r#"{"q":"birds","limit":"ten"}"#, "- at /limit: \"ten\" is not of type \"integer\""),
        (r#"{"limit":10}"#, "- at the top: \"q\" is a required property"),
        (r#"["birds"]"#, "[\"birds\"] is not of type \"object\""),
        ("", "\"q\" is a required property"),
    ];
    for (api, mode) in all_forms() {
        let server = searching_server();
        let world = World::with(server.clone()).await;
        for (arguments, wrong) in bad {
            if (api, mode) == (Api::Messages, Mode::Whole)
                && serde_json::from_str::<Value>(arguments).is_err()
            {
                continue; // There, `input` is JSON, or the whole answer is none.
            }
            let (told, record) =
                one_call(&world, api, mode, say("r1").call("c1", "srv__search", arguments)).await;
            assert!(
                told.is_error && told.id == "c1" && told.text.contains(wrong),
                "{api:?} {mode:?}: {told:?}"
            );
            assert!(told.text.contains("Nothing was run."));
            assert_eq!(record.call_outcomes(), ["invalid_arguments"]);
            // Messages have no empty text for no arguments, but an empty object.
            let kept = &record.calls[0].arguments;
            assert!(kept == arguments || (arguments.is_empty() && kept == "{}"), "{kept}");
            assert_eq!(record.calls[0].intended_at, None);
        }
        assert_eq!(server.calls(), [], "{api:?} {mode:?}");
    }
}

const MAY_SEE_ALL_CALL_SOME: &str = "
rules:
  - name: all
    effect: allow
    tools: ['*']
  - name: hands-off
    effect: deny
    tools: ['srv/search']
    actions: [call_tool]
";

#[tokio::test]
async fn f35_a_call_that_policy_denies_is_not_run() {
    for (api, mode) in all_forms() {
        let server = searching_server();
        let world =
            World::builder().server("srv", server.clone()).policy(MAY_SEE_ALL_CALL_SOME).start().await;
        let call = say("r1").call("c1", "srv__search", r#"{"q":"birds"}"#);
        let (told, record) = one_call(&world, api, mode, call).await;
        assert!(
            told.is_error && told.text.contains("policy does not allow srv__search to be called"),
            "{told:?}"
        );
        assert_eq!(server.calls(), []);
        assert_eq!(
            (record.call_outcomes(), record.calls[0].rule.as_deref()),
            (vec!["denied"], Some("hands-off"))
        );
        assert_eq!(world.provider.requests()[0].tool_names(), ["mine", "srv__search"], "it may be seen");
    }
}

#[tokio::test]
async fn f31_a_failed_call_is_a_failed_call() {
    for (api, mode) in all_forms() {
        let failure = json!({"content": [{"type": "text", "text": "disk full"}], "isError": true});
        let world = World::with(McpServer::new().tool("save", failure)).await;
        let (told, record) = one_call(&world, api, mode, say("r1").call("c1", "srv__save", "{}")).await;
        assert!(told.is_error && told.text.contains("disk full"), "{api:?} {mode:?}: {told:?}");
        assert_eq!(record.call_outcomes(), ["tool_error"]);
        let kept: Value =
            serde_json::from_str(record.calls[0].outcome.as_ref().unwrap().result.as_ref().unwrap()).unwrap();
        assert_eq!(kept["isError"], true);
    }
}

#[tokio::test]
async fn a_failed_call_that_says_nothing_goes_up_with_words() {
    for (api, mode) in all_forms() {
        let failure = json!({"content": [{"type": "text", "text": " "}], "isError": true});
        let world = World::with(McpServer::new().tool("save", failure)).await;
        let (told, _) = one_call(&world, api, mode, say("r1").call("c1", "srv__save", "{}")).await;
        assert!(told.is_error && !told.text.trim().is_empty(), "{api:?} {mode:?}: {told:?}");
    }
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_given_up() {
    for (api, mode) in all_forms() {
        let server = McpServer::new()
            .tool_with("hang", json!({"type": "object"}), |_| Box::pin(std::future::pending()));
        let world = World::builder()
            .server("srv", server.clone())
            .tune(|server| server.call_timeout = Duration::from_millis(100))
            .start()
            .await;
        let (told, record) = one_call(&world, api, mode, say("r1").call("c1", "srv__hang", "{}")).await;
        assert!(
            told.is_error && told.text.contains("did not answer within 0.1 s"),
            "{api:?} {mode:?}: {told:?}"
        );
        assert_eq!(record.call_outcomes(), ["timed_out"]);
        patiently("the server is told", server.cancelled(1)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_down_costs_its_calls_and_nothing_else() {
    for (api, mode) in all_forms() {
        let (down, up) =
            (McpServer::new().tool("look", text("seen")), McpServer::new().tool("look", text("seen")));
        let world = World::builder()
            .server("down", down.clone())
            .server("up", up)
            .tune(|server| server.call_timeout = Duration::from_millis(500))
            .start()
            .await;
        down.go_down();
        let both = say("r1").call("c1", "down__look", "{}").call("c2", "up__look", "{}");
        let (told, record) = one_call(&world, api, mode, both).await;
        assert!(told.is_error, "{api:?} {mode:?}: {told:?}");
        assert_eq!(record.call_outcomes(), ["unreachable", "ok"], "{told:?}");
        let (_, record) = one_call(&world, api, mode, say("r1").call("c3", "up__look", "{}")).await;
        assert_eq!(record.call_outcomes(), ["ok"]);
        let sent = world.provider.requests();
        assert_eq!(sent[0].json()["tools"], sent[2].json()["tools"], "a tool is approved, up or down");
    }
}

/// The smallest PNG, and other small things, in base64.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZF";
const PDF: &str = "JVBERi0xLjQ=";

/// A server with one tool for each kind of result, named for it.
fn kinds() -> McpServer {
    let content = |parts: Value| json!({"content": parts});
    McpServer::new()
        .tool("audio", content(json!([{"type": "audio", "mimeType": "audio/wav", "data": WAV}])))
        .tool("empty", content(json!([])))
        .tool("error", json!({"content": [{"type": "text", "text": "no such bird"}], "isError": true}))
        .tool("image", content(json!([{"type": "text", "text": "A dot:"}, {"type": "image", "mimeType": "image/png", "data": PNG}])))
        .tool("json", text(r#"{"birds": [1, 2.50]}"#))
        .tool("link", content(json!([{"type": "resource_link", "uri": "notes://2", "name": "two", "description": "The second.", "mimeType": "text/plain"}])))
        .tool("pdf", content(json!([{"type": "resource", "resource": {"uri": "notes://3", "mimeType": "application/pdf", "blob": PDF}}])))
        .tool("resource", content(json!([{"type": "resource", "resource": {"uri": "notes://1", "mimeType": "text/plain", "text": "One."}}])))
        .tool("structured", json!({"content": [], "structuredContent": {"birds": [1, 2]}}))
        .tool("structured_too", json!({"content": [{"type": "text", "text": "[1, 2]"}], "structuredContent": {"birds": [1, 2]}}))
}

const KINDS: [&str; 10] =
    ["audio", "empty", "error", "image", "json", "link", "pdf", "resource", "structured", "structured_too"];

/// What goes up after one round that calls a tool for each kind of result, beside the model's turn.
async fn results_of_all_kinds(api: Api, mode: Mode) -> (Vec<Value>, Vec<Told>, Record) {
    let world = World::with(kinds()).await;
    let calls = KINDS.iter().fold(say("r1"), |say, kind| say.call(kind, &format!("srv__{kind}"), "{}"));
    world.provider.will_say(api, mode, &[calls, say("r2").text("I see.")]);
    let answer = patiently("the answer", world.ask(api, &api.request(mode, "Go on.", &[]))).await;
    answer.message(api, mode);
    let sent = world.provider.requests();
    let added = sent[1].added_since(api, &sent[0]);
    let results = added
        .into_iter()
        .filter(|element| element["role"] != "assistant" && element["type"] != "function_call");
    (results.collect(), sent[1].told(api), world.record(&answer).await)
}

#[tokio::test]
async fn f31_each_kind_of_result_goes_up_in_the_best_form_that_the_api_has() {
    for api in APIS {
        for mode in MODES {
            let (results, told, record) = results_of_all_kinds(api, mode).await;
            insta::assert_snapshot!(
                format!("results_{api:?}"),
                serde_json::to_string_pretty(&results).unwrap()
            );
            let of = |kind: &str| told.iter().find(|told| told.id == kind).unwrap();
            assert_eq!(of("empty").text, "", "an empty result is empty");
            assert_eq!(of("structured").text, r#"{"birds":[1,2]}"#);
            assert_eq!(of("error").text.trim_start_matches("Error: "), "no such bird");
            let failed: Vec<&str> =
                told.iter().filter(|told| told.is_error).map(|told| told.id.as_str()).collect();
            assert_eq!(failed, ["error"], "{api:?} {mode:?}");
            let outcome = |kind: &&str| if *kind == "error" { "tool_error" } else { "ok" };
            assert_eq!(record.call_outcomes(), KINDS.iter().map(outcome).collect::<Vec<_>>());
        }
    }
}

#[tokio::test]
async fn f32_json_is_not_stringified_twice_and_an_image_is_no_text() {
    for (api, mode) in all_forms() {
        let (results, told, _) = results_of_all_kinds(api, mode).await;
        let of = |kind: &str| told.iter().find(|told| told.id == kind).unwrap();
        assert_eq!(of("json").text, r#"{"birds": [1, 2.50]}"#, "{api:?} {mode:?}");
        assert!(told.iter().all(|told| !told.text.contains(PNG)), "base64 as text");
        let all = Value::from(results).to_string();
        let image = match api {
            Api::Messages => format!(
                r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{PNG}"}}}}"#
            ),
            Api::Chat => {
                format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{PNG}"}}}}"#)
            }
            Api::Responses => format!(
                r#"{{"type":"input_image","image_url":"data:image/png;base64,{PNG}","detail":"auto"}}"#
            ),
        };
        assert_eq!(all.matches(&image).count(), 1, "{all}");
    }
}
