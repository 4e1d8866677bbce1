//! More tools than are listed: the model finds them by search and calls them by name, and each call is one of the tool
//! itself, with its schema, its policy and its records.

use serde_json::{Value, json};
use toolgate::config::{Config, Expose};
use toolgate::domain::{Render, Repeat};
use toolgate::mcp::search::{CALL_TOOL, FIND_TOOLS};

use crate::agent::{Agent, Habits};
use crate::client::{Answer, Message, patiently};
use crate::mcp_server::{McpServer, text};
use crate::tool_loop::{calls_tools, ended};
use crate::upstream::Told;
use crate::wire::{Api, Call, Mode, Say, all_forms, say};
use crate::world::{Builder, World};

/// A server with 40 tools that are of no use here, and three that are.
fn many() -> McpServer {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let weather = |arguments: serde_json::Map<String, Value>| -> futures::future::BoxFuture<'static, Value> {
        Box::pin(async move { text(&format!("Sunny in {}.", arguments["city"].as_str().unwrap())) })
    };
    let filler = (0..40).fold(McpServer::new(), |server, n| server.echo(&format!("filler_{n}")));
    filler.tool_with("get_weather_forecast", schema, weather).echo("create_invoice").echo("delete_invoice")
}

/// Lists ten tools at most.
fn small(config: &mut Config) {
    config.inject_limits.max_tools = 10;
}

fn builder() -> Builder {
    World::builder().config(small)
}

async fn world() -> (World, McpServer) {
    let server = many();
    (builder().server("srv", server.clone()).start().await, server)
}

async fn converse(
    world: &World,
    (api, mode): (Api, Mode),
    rounds: &[Say],
    tools: &[&str],
) -> (Answer, Message) {
    world.provider.will_say(api, mode, rounds);
    let answer = patiently("the answer", world.ask(api, &api.request(mode, "Go on.", tools))).await;
    let message = answer.message(api, mode);
    (answer, message)
}

/// What the model was told last.
fn last_told(world: &World, api: Api) -> Vec<Told> {
    world.provider.requests().last().unwrap().told(api)
}

fn query(text: &str) -> String {
    json!({"query": text}).to_string()
}

fn by_name(name: &str, arguments: &Value) -> String {
    json!({"name": name, "arguments": arguments}).to_string()
}

/// The names of the tools that a search brought.
fn names_found(told: &Told) -> Vec<String> {
    let found: Value = serde_json::from_str(&told.text).unwrap();
    found["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn tools_over_the_limit_are_found_and_called_under_their_own_names() {
    for form in all_forms() {
        let (world, server) = world().await;
        let rounds = [
            say("r1").thinking("I look for it.").text("One moment.").call(
                "c1",
                FIND_TOOLS,
                &query("weather forecast for a city"),
            ),
            say("r2").call("c2", CALL_TOOL, &by_name("srv__get_weather_forecast", &json!({"city": "Rome"}))),
            say("r3").text("It is sunny."),
        ];
        let (answer, message) = converse(&world, form, &rounds, &["mine"]).await;
        assert_eq!((message.calls.len(), message.stop.as_str()), (0, ended(form.0)), "{form:?}");
        assert!(message.texts.concat().ends_with("It is sunny."));
        assert!(!answer.body.contains("toolgate__"), "{}", answer.body);
        assert_eq!(answer.header("x-toolgate-injection"), Some("injected"));

        let sent = world.provider.requests();
        assert_eq!(sent[0].tool_names(), ["mine", CALL_TOOL, FIND_TOOLS], "{form:?}");
        assert!(sent.iter().all(|round| round.json()["tools"] == sent[0].json()["tools"]));
        let found = &sent[1].told(form.0)[0];
        assert_eq!(names_found(found)[0], "srv__get_weather_forecast");
        let first: Value = serde_json::from_str::<Value>(&found.text).unwrap()["tools"][0].clone();
        assert_eq!(first["description"], "The tool get_weather_forecast.");
        assert_eq!(first["input_schema"]["required"], json!(["city"]));
        assert_eq!(
            sent[2].told(form.0)[1],
            Told { id: "c2".into(), text: "Sunny in Rome.".into(), is_error: false }
        );
        assert_eq!(server.calls(), [("get_weather_forecast".to_owned(), json!({"city": "Rome"}))]);

        let record = world.record(&answer).await;
        let calls: Vec<_> = record
            .calls
            .iter()
            .map(|call| {
                (call.tool.as_str(), call.server.as_deref(), call.via.as_deref(), call.arguments.clone())
            })
            .collect();
        let expected = [
            (FIND_TOOLS, Some("toolgate"), None, query("weather forecast for a city")),
            ("srv__get_weather_forecast", Some("srv"), Some("search"), r#"{"city":"Rome"}"#.to_owned()),
        ];
        assert_eq!(calls, expected, "{form:?}");
        assert_eq!(record.call_outcomes(), ["ok", "ok"]);
        let result = record.calls[0].outcome.as_ref().unwrap().result.clone().unwrap();
        assert!(result.contains("srv__get_weather_forecast"), "{result}");
    }
}

#[tokio::test]
async fn what_is_listed_follows_from_the_settings_alone() {
    use Expose::{Always, Auto, Search};
    let form = (Api::Messages, Mode::Whole);
    let small_server = || McpServer::new().echo("one").echo("two");
    let listed = async |limits: fn(&mut Config), exposed: [Expose; 2]| {
        let builder = World::builder().config(limits).server("few", small_server()).server("srv", many());
        let world = builder
            .start()
            .await
            .restart_with(move |config| {
                for (server, expose) in config.servers.iter_mut().zip(exposed) {
                    server.expose = expose;
                }
            })
            .await;
        converse(&world, form, &[say("r1").text("Hello.")], &["mine"]).await;
        world.provider.requests()[0].tool_names()
    };
    let search_alone = ["mine", CALL_TOOL, FIND_TOOLS];
    let with_few = ["mine", "few__one", "few__two", CALL_TOOL, FIND_TOOLS];
    assert_eq!(listed(|_| {}, [Auto, Auto]).await.len(), 46, "all fit");
    assert_eq!(listed(small, [Auto, Auto]).await, search_alone);
    assert_eq!(listed(|config| config.inject_limits.max_bytes = 2_000, [Auto, Auto]).await, search_alone);
    assert_eq!(listed(small, [Always, Auto]).await, with_few);
    assert_eq!(listed(small, [Auto, Search]).await, with_few, "what is searched anyway takes no room");
    assert_eq!(listed(|_| {}, [Search, Search]).await, search_alone);
    assert_eq!(listed(small, [Search, Always]).await.len(), 1 + 43 + 2, "what is always listed has no limit");
}

#[tokio::test]
async fn a_provider_that_takes_128_tools_gets_search_and_not_the_first_of_them() {
    let server = (0..130).fold(McpServer::new(), |server, n| server.echo(&format!("t{n:03}")));
    for form in all_forms() {
        let builder = World::builder().config(|config| config.inject_limits.max_tools = 1_000);
        let world = builder.server("srv", server.clone()).start().await;
        let (answer, _) = converse(&world, form, &[say("r1").text("Hello.")], &["mine"]).await;
        let names = world.provider.requests()[0].tool_names();
        if form.0 == Api::Messages {
            assert_eq!(names.len(), 131, "{form:?}");
        } else {
            assert_eq!(names, ["mine", CALL_TOOL, FIND_TOOLS], "{form:?}");
        }
        assert!(world.record(&answer).await.interception.start.left_out.is_empty());

        // Not even what is always listed is lost.
        let world = world.restart_with(|config| config.servers[0].expose = Expose::Always).await;
        converse(&world, form, &[say("r2").text("Hello.")], &["mine", "yours"]).await;
        let names = world.provider.requests().pop().unwrap().tool_names();
        if form.0 == Api::Messages {
            assert_eq!(names.len(), 132, "{form:?}");
        } else {
            assert_eq!(names.len(), 128, "{form:?}");
            assert_eq!((names[2].as_str(), names[125].as_str()), ("srv__t000", "srv__t123"));
            assert_eq!(names[126..], [CALL_TOOL, FIND_TOOLS]);
        }
    }
}

#[tokio::test]
async fn a_call_by_name_is_checked_like_any_other() {
    const POLICY: &str = "
rules:
  - name: all
    effect: allow
    tools: ['*']
  - name: no-deleting
    effect: deny
    tools: ['srv/delete_*']
    actions: [call_tool]
";
    for form in all_forms() {
        let server = many();
        let world = builder().server("srv", server.clone()).policy(POLICY).start().await;
        let calls = [
            ("c1", by_name("srv__get_weather_forecast", &json!({"town": "Rome"}))),
            ("c2", by_name("srv__delete_invoice", &json!({}))),
            ("c3", r#"{"name":"srv__create_invoice","amount":3}"#.to_owned()),
            ("c4", r#"{"name":"srv__create_invoice","arguments":"{\"amount\":3}"}"#.to_owned()),
            ("c5", by_name("srv__create_invoices", &json!({}))),
        ];
        let asking = calls.iter().fold(say("r1"), |say, (id, arguments)| say.call(id, CALL_TOOL, arguments));
        let (answer, _) = converse(&world, form, &[asking, say("r2").text("Done.")], &[]).await;
        let told = last_told(&world, form.0);
        for (told, what) in told.iter().zip([
            "\"city\" is a required property",
            "Not run: policy does not allow srv__delete_invoice to be called.",
            "with the other tool's arguments inside",
            r#"{"amount":3}"#,
            "Not run: there is no tool srv__create_invoices. Near to that are srv__create_invoice",
        ]) {
            assert!(told.text.contains(what), "{form:?} {told:?}");
            assert_eq!(told.is_error, told.id != "c4");
        }
        assert_eq!(server.calls(), [("create_invoice".to_owned(), json!({"amount": 3}))], "{form:?}");
        let record = world.record(&answer).await;
        let expected = [
            ("c1", "invalid_arguments"),
            ("c2", "denied"),
            ("c3", "invalid_arguments"),
            ("c4", "ok"),
            ("c5", "invalid_arguments"),
        ];
        assert_eq!(record.outcomes_by_id(), expected);
        let denied = record.calls.iter().find(|call| call.call_id == "c2").unwrap();
        assert_eq!(
            (denied.tool.as_str(), denied.rule.as_deref()),
            ("srv__delete_invoice", Some("no-deleting"))
        );
    }
}

#[tokio::test]
async fn f58_what_a_caller_may_not_see_is_not_found_and_is_told_of_like_what_there_is_not() {
    const POLICY: &str = "
rules:
  - name: all
    effect: allow
    tools: ['*']
  - name: secrets
    effect: deny
    tools: ['srv/*_invoice']
    actions: [see_tool]
    groups: [guests]
";
    for form in all_forms() {
        let server = many();
        let builder = builder().server("srv", server.clone()).policy(POLICY);
        let builder = builder.caller("tg_staff", "ann@example.com", &["staff"]);
        let mut world = builder.caller("tg_guest", "bob@example.com", &["guests"]).start().await;
        let rounds = [
            say("r1")
                .call("c1", FIND_TOOLS, &query("delete an invoice"))
                .call("c2", CALL_TOOL, &by_name("srv__delete_invoice", &json!({})))
                .call("c3", CALL_TOOL, &by_name("srv__delete_invoicf", &json!({}))),
            say("r2").text("Done."),
        ];
        world.key = Some("tg_staff".to_owned());
        converse(&world, form, &rounds, &[]).await;
        assert_eq!(names_found(&last_told(&world, form.0)[0])[0], "srv__delete_invoice", "{form:?}");
        assert_eq!(server.calls().len(), 1);

        world.key = Some("tg_guest".to_owned());
        let (answer, _) = converse(&world, form, &rounds, &[]).await;
        let told = last_told(&world, form.0);
        assert!(!told[0].text.contains("invoice"), "{form:?} {}", told[0].text);
        let (hidden, unknown) = (&told[1].text, &told[2].text);
        assert_eq!(hidden.replace("delete_invoice", "X"), unknown.replace("delete_invoicf", "X"), "{form:?}");
        assert_eq!(server.calls().len(), 1, "{form:?}");
        // The records are for the administrator, and say what it was.
        let record = world.record(&answer).await;
        assert_eq!(record.outcomes_by_id(), [("c1", "ok"), ("c2", "denied"), ("c3", "invalid_arguments")]);
        let denied = record.calls.iter().find(|call| call.call_id == "c2").unwrap();
        assert_eq!(denied.rule.as_deref(), Some("secrets"));
    }
}

#[tokio::test]
async fn a_mixed_turn_searches_and_releases_the_clients_calls() {
    for (api, mode) in all_forms() {
        let (world, server) = world().await;
        let rounds = [say("r1")
            .call("c1", FIND_TOOLS, &query("weather"))
            .call("c2", "mine", r#"{"a":1}"#)
            .call("c3", CALL_TOOL, &by_name("srv__get_weather_forecast", &json!({"city": "Rome"})))];
        let (answer, message) = converse(&world, (api, mode), &rounds, &["mine"]).await;
        let mine = Call { id: "c2".into(), name: "mine".into(), arguments: r#"{"a":1}"#.into() };
        assert_eq!(
            (message.calls, message.stop.as_str()),
            (vec![mine], calls_tools(api)),
            "{api:?} {mode:?}"
        );
        assert_eq!(server.calls().len(), 1);
        let expected = [("c1", "ok"), ("c2", "released"), ("c3", "ok")];
        assert_eq!(world.record(&answer).await.outcomes_by_id(), expected);
    }
}

#[tokio::test]
async fn a_conversation_goes_on_with_what_it_found_and_with_search() {
    for (api, mode) in all_forms() {
        let (mut world, server) = world().await;
        let mut agent = Agent::with(api, mode, Habits::default()).header("x-session-id", "s1");
        let arguments = by_name("srv__create_invoice", &json!({"amount": 3}));
        world.provider.will_say(
            api,
            mode,
            &[
                say("r1").call("c1", FIND_TOOLS, &query("create invoice")),
                say("r2").call("c2", CALL_TOOL, &arguments),
                say("r3").text("Done."),
            ],
        );
        agent.prompt("Bill them.").send(&world).await;
        let first = world.provider.requests();
        // By now all would fit: this conversation stays with what it was shown.
        let provider = world.provider.clone();
        world = world.restart_with(|config| config.inject_limits.max_tools = 1_000).await;
        provider.will_say(
            api,
            mode,
            &[say("r4").call("c3", CALL_TOOL, &arguments), say("r5").text("Again.")],
        );
        agent.prompt("Once more.").send(&world).await;
        let sent = provider.requests();
        assert_eq!(sent[3].json()["tools"], first[0].json()["tools"], "{api:?} {mode:?}");
        let told: Vec<String> = sent[3].told(api).into_iter().map(|told| told.id).collect();
        assert_eq!(told, ["c1", "c2"], "what was hidden is put back: {api:?} {mode:?}");
        assert_eq!(server.calls().len(), 2);
    }
}

#[tokio::test]
async fn the_same_request_again_uses_what_was_found_and_what_was_called() {
    for repeat in [Repeat::Join, Repeat::Rerun] {
        for (api, mode) in all_forms() {
            let server = many();
            let builder = builder().server("srv", server.clone());
            let world = match repeat {
                Repeat::Join => builder.start().await,
                Repeat::Rerun => builder.tune(|server| server.repeat = Repeat::Rerun).start().await,
            };
            let rounds = [
                say("r1").call("c1", FIND_TOOLS, &query("create invoice")),
                say("r2").call("c2", CALL_TOOL, &by_name("srv__create_invoice", &json!({"amount": 3}))),
            ];
            let body = api.request(mode, "Bill them.", &["mine"]).to_string();
            let ask = async || world.post(api.path(), body.clone(), &[("x-session-id", "s1")]).await;
            // The provider fails after the call has run.
            world.provider.will_say(api, mode, &rounds);
            world.provider.will(crate::provider::Reply::error(500, r#"{"error":{"message":"down"}}"#));
            patiently("the first answer", ask()).await;
            assert_eq!(server.calls().len(), 1, "{api:?} {mode:?}");
            let new: &[Say] = if repeat == Repeat::Join {
                &[say("r3").text("Done.")]
            } else {
                &[say("r3").text("Done."), say("r4").text("Done.")]
            };
            world.provider.will_say(api, mode, new);
            let answer = patiently("the second answer", ask()).await;
            assert!(answer.message(api, mode).texts.concat().ends_with("Done."), "{}", answer.body);
            let (calls, outcomes) = match repeat {
                Repeat::Join => (1, [("c1", "reused"), ("c2", "reused")]),
                Repeat::Rerun => (2, [("c1", "reused"), ("c2", "ok")]),
            };
            assert_eq!(server.calls().len(), calls, "{api:?} {mode:?} {repeat:?}");
            assert_eq!(world.record(&answer).await.outcomes_by_id(), outcomes, "{api:?} {mode:?} {repeat:?}");
        }
    }
}

#[tokio::test]
async fn searches_count_under_the_caps() {
    let (api, mode) = (Api::Messages, Mode::Whole);
    let server = many();
    let builder = builder().config(|config| config.limits.max_calls = 2).server("srv", server.clone());
    let world = builder.start().await;
    let rounds = [
        say("r1")
            .call("c1", FIND_TOOLS, &query("invoice"))
            .call("c2", CALL_TOOL, &by_name("srv__create_invoice", &json!({})))
            .call("c3", FIND_TOOLS, &query("weather")),
        say("r2").text("Enough."),
    ];
    let (answer, _) = converse(&world, (api, mode), &rounds, &[]).await;
    let expected = [("c1", "ok"), ("c2", "ok"), ("c3", "cap_reached")];
    assert_eq!(world.record(&answer).await.outcomes_by_id(), expected);
    assert!(last_told(&world, api)[2].text.contains("the limit of 2 tool calls"));
}

#[tokio::test]
async fn a_client_with_a_tool_of_the_same_name_keeps_it() {
    for form in all_forms() {
        let (world, server) = world().await;
        let rounds = [say("r1").call("c1", FIND_TOOLS, "{}")];
        let (answer, message) = converse(&world, form, &rounds, &[FIND_TOOLS]).await;
        assert_eq!(message.calls[0].name, FIND_TOOLS, "{form:?}");
        assert_eq!(world.provider.requests()[0].tool_names(), [FIND_TOOLS], "neither is of use alone");
        let left_out = world.record(&answer).await.interception.start.left_out;
        assert_eq!(left_out.len(), 2, "{left_out:?}");
        assert!(left_out[1].ends_with("the client has a tool of this name"), "{left_out:?}");

        // A tool of the client's that is called like one of the catalogue is not reached through the gateway's.
        let rounds = [
            say("r2").call("c1", FIND_TOOLS, &query("create invoice")).call(
                "c2",
                CALL_TOOL,
                &by_name("srv__create_invoice", &json!({})),
            ),
            say("r3").text("Done."),
        ];
        converse(&world, form, &rounds, &["srv__create_invoice"]).await;
        let told = last_told(&world, form.0);
        assert!(!names_found(&told[0]).contains(&"srv__create_invoice".to_owned()), "{form:?}");
        assert!(told[1].is_error && told[1].text.contains("there is no tool"), "{form:?} {told:?}");
        assert_eq!(server.calls(), []);
    }
}

#[tokio::test]
async fn the_native_form_shows_what_the_model_called_and_lines_what_it_was() {
    for (api, mode) in all_forms().filter(|(api, _)| *api != Api::Chat) {
        let builder = builder().server("srv", many());
        let native = |config: &mut Config| {
            config.settings.render = Some(Render::Native);
            config.settings.tool_lines = Some(true);
        };
        let world = builder.config(native).start().await;
        let arguments = by_name("srv__create_invoice", &json!({"amount": 3}));
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", CALL_TOOL, &arguments), say("r2").text("Done.")],
        );
        let mut agent = Agent::with(api, mode, Habits::default());
        agent.prompt("Bill them.").send(&world).await;
        let whole = agent.answer.as_ref().unwrap().whole(api, mode);
        let elements =
            whole[if api == Api::Messages { "content" } else { "output" }].as_array().unwrap().clone();
        let shown = elements
            .iter()
            .find(|element| matches!(element["type"].as_str(), Some("mcp_tool_use" | "mcp_call")))
            .unwrap();
        assert_eq!(shown["name"], "call_tool", "{api:?} {mode:?}");
        let (server, seen) = match api {
            Api::Messages => (&shown["server_name"], shown["input"].to_string()),
            _ => (&shown["server_label"], shown["arguments"].as_str().unwrap().to_owned()),
        };
        assert_eq!((server, seen), (&json!("toolgate"), arguments.clone()), "{api:?} {mode:?}");
        assert!(whole.to_string().contains("srv/create_invoice ✓"), "{whole}");

        // The client sends it back, and the call stands where it was.
        world.provider.will_say(api, mode, &[say("r3").text("Fine.")]);
        agent.prompt("Thanks.").send(&world).await;
        assert_eq!(last_told(&world, api)[0].text, r#"{"amount":3}"#, "{api:?} {mode:?}");
    }
}
