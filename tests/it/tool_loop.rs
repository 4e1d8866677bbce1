//! Injected calls: side by side, results in call order, every cap, and turns that also call the client's tools.

use futures::future::join;
use serde_json::{Value, json};

use crate::client::{Answer, Message, patiently};
use crate::mcp_server::{McpServer, text};
use crate::provider::Gate;
use crate::upstream::Told;
use crate::wire::{Api, Call, Mode, Say, all_forms, say};
use crate::world::{Builder, World};

/// The stop reason of a message that is complete.
pub fn ended(api: Api) -> &'static str {
    match api {
        Api::Messages => "end_turn",
        Api::Chat => "stop",
        Api::Responses => "completed",
    }
}

/// The stop reason of a message whose calls the client has to run.
pub fn calls_tools(api: Api) -> &'static str {
    match api {
        Api::Messages => "tool_use",
        Api::Chat => "tool_calls",
        Api::Responses => "completed",
    }
}

/// A whole conversation: the provider says these rounds, the client asks with these tools of its own.
async fn converse(world: &World, api: Api, mode: Mode, rounds: &[Say], tools: &[&str]) -> (Answer, Message) {
    world.provider.will_say(api, mode, rounds);
    let answer = patiently("the answer", world.ask(api, &api.request(mode, "Go on.", tools))).await;
    let message = answer.message(api, mode);
    (answer, message)
}

fn told(id: &str, text: &str) -> Told {
    Told { id: id.to_owned(), text: text.to_owned(), is_error: false }
}

/// A server whose tool `wait` answers with its `n` once gate `n` is open.
fn waiting_server(gates: &[Gate]) -> McpServer {
    let gates = gates.to_vec();
    McpServer::new().tool_with("wait", json!({"type": "object"}), move |arguments| {
        let n = usize::try_from(arguments["n"].as_u64().unwrap()).unwrap();
        let gate = gates[n].clone();
        Box::pin(async move {
            gate.pass().await;
            text(&format!("answer {n}"))
        })
    })
}

#[tokio::test]
async fn f16_two_calls_of_one_tool_each_get_their_own_result() {
    for (api, mode) in all_forms() {
        let gates = [Gate::new(), Gate::new(), Gate::new()];
        let server = waiting_server(&gates).echo("say");
        let world = World::with(server.clone()).await;
        let rounds = [
            say("r1")
                .call("c0", "srv__wait", r#"{"n":0}"#)
                .call("c1", "srv__wait", r#"{"n":1}"#)
                .call("c2", "srv__say", r#"{"x":"y"}"#)
                .call("c3", "srv__wait", r#"{"n":2}"#),
            say("r2").text("Done."),
        ];
        let last_comes_first = async {
            patiently("all four calls at the server", server.arrived(4)).await;
            gates.iter().rev().for_each(Gate::open);
        };
        let ((answer, message), ()) = join(converse(&world, api, mode, &rounds, &[]), last_comes_first).await;
        assert_eq!((message.texts.concat().as_str(), message.calls.len()), ("Done.", 0), "{api:?} {mode:?}");
        let expected = [
            told("c0", "answer 0"),
            told("c1", "answer 1"),
            told("c2", r#"{"x":"y"}"#),
            told("c3", "answer 2"),
        ];
        assert_eq!(world.provider.requests()[1].told(api), expected, "{api:?} {mode:?}");
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["ok"; 4]);
        let kept: Vec<&str> = record.calls.iter().map(|call| call.call_id.as_str()).collect();
        assert_eq!(kept, ["c0", "c1", "c2", "c3"]);
    }
}

#[tokio::test]
async fn f23_calls_run_side_by_side() {
    for (api, mode) in all_forms() {
        let gates = [Gate::new(), Gate::new()];
        let (one, two) = (waiting_server(&gates), waiting_server(&gates));
        let world = World::builder().server("one", one.clone()).server("two", two.clone()).start().await;
        let rounds = [
            say("r1").call("a", "one__wait", r#"{"n":0}"#).call("b", "two__wait", r#"{"n":1}"#),
            say("r2").text("Both came."),
        ];
        let both = async {
            patiently("both calls before either is answered", join(one.arrived(1), two.arrived(1))).await;
            gates.iter().for_each(Gate::open);
        };
        let ((answer, _), ()) = join(converse(&world, api, mode, &rounds, &[]), both).await;
        assert_eq!(world.provider.requests()[1].told(api), [told("a", "answer 0"), told("b", "answer 1")]);
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok", "ok"]);
    }
}

/// The setting that lets the model call several tools at once.
fn with_parallel(api: Api, mut request: Value, parallel: bool) -> Value {
    match api {
        Api::Messages => {
            request["tool_choice"] = json!({"type": "auto", "disable_parallel_tool_use": !parallel});
        }
        Api::Chat | Api::Responses => request["parallel_tool_calls"] = json!(parallel),
    }
    request
}

#[tokio::test]
async fn f18_the_clients_parallelism_is_never_changed() {
    for (api, mode) in all_forms() {
        for setting in [Some(true), Some(false), None] {
            let world = World::with(McpServer::new().tool("look", text("seen"))).await;
            world.provider.will_say(
                api,
                mode,
                &[
                    say("r1").call("c1", "srv__look", "{}"),
                    say("r2").call("c2", "srv__look", "{}"),
                    say("r3").text("Done."),
                ],
            );
            let plain = api.request(mode, "Look twice.", &["mine"]);
            let request = match setting {
                Some(parallel) => with_parallel(api, plain, parallel),
                None => plain,
            };
            patiently("the answer", world.ask(api, &request)).await.message(api, mode);
            let sent = world.provider.requests();
            assert_eq!(sent.len(), 3);
            for upstream in sent {
                for key in ["parallel_tool_calls", "tool_choice"] {
                    assert_eq!(upstream.json()[key], request[key], "{api:?} {mode:?} {setting:?}");
                }
            }
        }
    }
}

/// The ways to force a call.
fn forced_choices(api: Api) -> Vec<Value> {
    match api {
        Api::Messages => vec![json!({"type": "any"}), json!({"type": "tool", "name": "mine"})],
        Api::Chat => vec![json!("required"), json!({"type": "function", "function": {"name": "mine"}})],
        Api::Responses => vec![json!("required"), json!({"type": "function", "name": "mine"})],
    }
}

#[tokio::test]
async fn f19_a_forced_choice_goes_through_without_injection() {
    for (api, mode) in all_forms() {
        for choice in forced_choices(api) {
            let world = World::with(McpServer::new().tool("look", text("seen"))).await;
            let mut request = api.request(mode, "Call it.", &["mine"]);
            request["tool_choice"] = choice.clone();
            world.provider.will_say(api, mode, &[say("r1").call("c1", "mine", r#"{"a":1}"#)]);
            let answer = patiently("the answer", world.ask(api, &request)).await;
            let message = answer.message(api, mode);
            assert_eq!(message.calls[0].name, "mine", "{api:?} {mode:?} {choice}");
            assert_eq!(message.stop, calls_tools(api));
            assert_eq!(answer.header("x-toolgate-injection"), Some("forced-choice"));
            let sent = world.provider.requests();
            assert_eq!(sent.len(), 1, "a forced choice must not loop");
            assert_eq!(
                (sent[0].tool_names(), &sent[0].json()["tool_choice"]),
                (vec!["mine".to_owned()], &choice)
            );
            let record = world.record(&answer).await;
            assert_eq!(
                (record.interception.start.injection.as_str(), record.outcome()),
                ("forced-choice", "completed")
            );
            assert_eq!(record.call_outcomes(), ["released"]);
        }
    }
}

fn capped(change: impl FnOnce(&mut toolgate::config::Limits)) -> Builder {
    World::builder().config(|config| change(&mut config.limits))
}

/// A choice that forbids all calls.
fn no_tools(api: Api) -> Value {
    if api == Api::Messages { json!({"type": "none"}) } else { json!("none") }
}

#[tokio::test]
async fn f20_rounds_are_capped_and_the_model_is_told() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = capped(|limits| limits.max_rounds = 1).server("srv", server.clone()).start().await;
        let rounds = [
            say("r1").text("One.").call("c1", "srv__look", "{}"),
            say("r2").call("c2", "srv__look", "{}"),
            say("r3").call("c3", "srv__look", "{}"),
            say("r4").text("Enough."),
        ];
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine"]).await;
        assert_eq!((message.calls.len(), message.stop.as_str()), (0, ended(api)), "{api:?} {mode:?}");
        assert!(message.texts.concat().ends_with("Enough."));
        assert_eq!(server.calls().len(), 1, "only the first round's call may run");
        let sent = world.provider.requests();
        let refusal = "Not run: the limit of 1 rounds of tool calls for one answer is reached. Answer with what you have.";
        let last = sent[3].told(api);
        assert_eq!(last[0], told("c1", "seen"));
        for (told, id) in last[1..].iter().zip(["c2", "c3"]) {
            assert!(told.is_error && told.id == id && told.text.ends_with(refusal), "{told:?}");
        }
        for (round, upstream) in sent.iter().enumerate() {
            assert_eq!(
                upstream.json()["tools"],
                sent[0].json()["tools"],
                "the tools are part of the cached prefix"
            );
            let choice = &upstream.json()["tool_choice"];
            // Not at the first overrun, where the client's tools go on working, but at the second.
            assert_eq!(*choice, if round == 3 { no_tools(api) } else { Value::Null }, "round {}", round + 1);
        }
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["ok", "cap_reached", "cap_reached"]);
        assert_eq!(record.outcome(), "completed");
    }
}

#[tokio::test]
async fn f20_at_the_cap_the_clients_tools_go_on_working() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = capped(|limits| limits.max_rounds = 1).server("srv", server).start().await;
        let rounds = [
            say("r1").call("c1", "srv__look", "{}"),
            say("r2").call("c2", "srv__look", "{}"),
            say("r3").call("c3", "mine", r#"{"a":1}"#),
        ];
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine"]).await;
        let mine = Call { id: "c3".into(), name: "mine".into(), arguments: r#"{"a":1}"#.into() };
        assert_eq!(
            (message.calls, message.stop.as_str()),
            (vec![mine], calls_tools(api)),
            "{api:?} {mode:?}"
        );
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["ok", "cap_reached", "released"]);
    }
}

#[tokio::test]
async fn f20_calls_are_capped_within_a_round() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().echo("say");
        let world = capped(|limits| limits.max_calls = 2).server("srv", server.clone()).start().await;
        let rounds = [
            say("r1").call("c1", "srv__say", r#"{"n":1}"#).call("c2", "srv__say", r#"{"n":2}"#).call(
                "c3",
                "srv__say",
                r#"{"n":3}"#,
            ),
            say("r2").text("Enough."),
        ];
        let (answer, message) = converse(&world, api, mode, &rounds, &[]).await;
        assert_eq!(message.stop, ended(api));
        assert_eq!(server.calls().len(), 2, "{api:?} {mode:?}");
        let results = world.provider.requests()[1].told(api);
        assert_eq!(results[..2], [told("c1", r#"{"n":1}"#), told("c2", r#"{"n":2}"#)]);
        assert!(
            results[2].is_error && results[2].text.contains("the limit of 2 tool calls"),
            "{:?}",
            results[2]
        );
        let expected = [("c1", "ok"), ("c2", "ok"), ("c3", "cap_reached")];
        assert_eq!(world.record(&answer).await.outcomes_by_id(), expected);
    }
}

#[tokio::test]
async fn f20_a_large_result_is_cut_and_the_model_is_told_how_much() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("dump", text(&"x".repeat(5_000)));
        let world = capped(|limits| limits.max_result_bytes = 1_024).server("srv", server).start().await;
        let rounds = [say("r1").call("c1", "srv__dump", "{}"), say("r2").text("Large.")];
        let (answer, _) = converse(&world, api, mode, &rounds, &[]).await;
        let result = &world.provider.requests()[1].told(api)[0];
        let notice = "[3976 bytes of this result were cut: it was over the limit of 1024 bytes]";
        assert_eq!(result.text, format!("{}\n{notice}", "x".repeat(1_024)), "{api:?} {mode:?}");
        assert!(!result.is_error);
        let record = world.record(&answer).await;
        let outcome = record.calls[0].outcome.as_ref().unwrap();
        assert_eq!((outcome.result_bytes, outcome.truncated), (Some(5_000), true));
    }
}

#[tokio::test]
async fn f21_no_injected_call_dangles_at_the_cap() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = capped(|limits| limits.max_rounds = 1).server("srv", server.clone()).start().await;
        // This model calls although it was told that it may not.
        let rounds: Vec<Say> = (1..=4)
            .map(|n| say(&format!("r{n}")).text("Again.").call(&format!("c{n}"), "srv__look", "{}"))
            .collect();
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine"]).await;
        assert_eq!((message.calls.len(), message.stop.as_str()), (0, ended(api)), "{api:?} {mode:?}");
        assert!(!answer.body.contains("srv__look"), "{}", answer.body);
        assert_eq!((server.calls().len(), world.provider.requests().len()), (1, 4));
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["ok", "cap_reached", "cap_reached", "not_executed"]);
        assert_eq!(record.outcome(), "capped");
    }
}

#[tokio::test]
async fn a_mixed_turn_runs_injected_calls_and_releases_the_clients() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = World::with(server.clone()).await;
        let rounds = [say("r1")
            .thinking("Both.")
            .text("One moment.")
            .call("c1", "srv__look", "{}")
            .call("c2", "mine", r#"{"a":"é"}"#)
            .call("c3", "srv__look", r#"{"b":2}"#)
            .call("c4", "mine", r#"{"a":2}"#)];
        // The client's own reader insists on dense indices.
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine"]).await;
        let call = |id: &str, arguments: &str| Call {
            id: id.into(),
            name: "mine".into(),
            arguments: arguments.into(),
        };
        assert_eq!(message.calls, [call("c2", r#"{"a":"é"}"#), call("c4", r#"{"a":2}"#)], "{api:?} {mode:?}");
        assert_eq!(
            (message.texts, message.thinking),
            (vec!["One moment.".to_owned()], vec!["Both.".to_owned()])
        );
        assert_eq!(message.stop, calls_tools(api));
        assert!(!answer.body.contains("srv__look"), "{}", answer.body);
        assert_eq!((server.calls().len(), world.provider.requests().len()), (2, 1));
        let record = world.record(&answer).await;
        let expected = [("c1", "ok"), ("c2", "released"), ("c3", "ok"), ("c4", "released")];
        assert_eq!(record.outcomes_by_id(), expected);
        assert_eq!(record.outcome(), "completed");
    }
}

#[tokio::test]
async fn several_client_calls_in_parallel_are_the_clients_alone() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = World::with(server.clone()).await;
        let rounds = [say("r1").call("c1", "mine", r#"{"a":1}"#).call("c2", "other", "{}").call(
            "c3",
            "mine",
            r#"{"a":3}"#,
        )];
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine", "other"]).await;
        let ids: Vec<&str> = message.calls.iter().map(|call| call.id.as_str()).collect();
        assert_eq!(
            (ids, message.stop.as_str()),
            (vec!["c1", "c2", "c3"], calls_tools(api)),
            "{api:?} {mode:?}"
        );
        assert_eq!(world.provider.requests().len(), 1);
        assert_eq!(world.record(&answer).await.call_outcomes(), ["released"; 3]);
    }
}

#[tokio::test]
async fn a_call_of_a_tool_that_nobody_has_is_the_clients_to_answer() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("seen"));
        let world = World::with(server.clone()).await;
        let rounds = [say("r1").call("c1", "srv__look_twice", "{}")];
        let (answer, message) = converse(&world, api, mode, &rounds, &["mine"]).await;
        assert_eq!(message.calls[0].name, "srv__look_twice", "{api:?} {mode:?}");
        assert_eq!(server.calls(), []);
        let record = world.record(&answer).await;
        assert_eq!((record.call_outcomes(), record.calls[0].injected), (vec!["released"], false));
    }
}

#[tokio::test]
async fn f27_several_choices_go_through_without_injection() {
    let world = World::with(McpServer::new().tool("look", text("seen"))).await;
    for mode in [Mode::Streamed, Mode::Whole] {
        let mut request = Api::Chat.request(mode, "Three answers.", &["mine"]);
        request["n"] = json!(3);
        request["stream_options"] = json!({"include_usage": true});
        let body = request.to_string();
        let answers = three_choices(mode);
        world.provider.will(answers.1);
        let answer = patiently("the answer", world.post(Api::Chat.path(), body.clone(), &[])).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, answers.0.as_str()), "{mode:?}");
        assert_eq!(answer.header("x-toolgate-injection"), Some("several-choices"));
        assert_eq!(world.provider.requests().last().unwrap().body, body);
        let record = world.record(&answer).await;
        assert_eq!(
            (record.interception.start.injection.as_str(), record.outcome()),
            ("several-choices", "completed")
        );
    }
}

/// Three choices, one of them with a call, and the reply that carries them.
fn three_choices(mode: Mode) -> (String, crate::provider::Reply) {
    let call = json!([{"index": 0, "id": "c1", "type": "function", "function": {"name": "mine", "arguments": "{}"}}]);
    let body = match mode {
        Mode::Whole => {
            let choice = |index: u64| json!({"index": index, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"});
            json!({"id": "r1", "object": "chat.completion", "model": "m", "choices": [choice(0), choice(1), choice(2)],
                "usage": {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}}).to_string()
        }
        Mode::Streamed => {
            let chunk = |index: u64, delta: Value, finish: Value| {
                let choices = json!([{"index": index, "delta": delta, "finish_reason": finish}]);
                format!(
                    "data: {}\n\n",
                    json!({"id": "r1", "object": "chat.completion.chunk", "model": "m", "choices": choices})
                )
            };
            let mut frames: Vec<String> = (0..3)
                .map(|index| chunk(index, json!({"role": "assistant", "content": "x"}), Value::Null))
                .collect();
            frames.push(chunk(1, json!({"tool_calls": call}), Value::Null));
            frames.extend(
                [(2, "stop"), (1, "tool_calls"), (0, "stop")]
                    .map(|(index, finish)| chunk(index, json!({}), json!(finish))),
            );
            frames.push("data: {\"id\":\"r1\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":3,\"total_tokens\":6}}\n\n".to_owned());
            frames.push("data: [DONE]\n\n".to_owned());
            frames.concat()
        }
    };
    let content_type = if mode == Mode::Whole { "application/json" } else { "text/event-stream" };
    (body.clone(), crate::provider::Reply::new(200, content_type, body))
}

#[tokio::test]
async fn f28_a_background_response_goes_through_without_injection() {
    let world = World::with(McpServer::new().tool("look", text("seen"))).await;
    let mut request = Api::Responses.request(Mode::Whole, "Take your time.", &["mine"]);
    request["background"] = json!(true);
    request["store"] = json!(true);
    let queued = json!({"id": "resp_1", "object": "response", "status": "queued", "background": true, "output": [], "usage": null}).to_string();
    world.provider.will(crate::provider::Reply::new(200, "application/json", queued.clone()));
    let answer = patiently("the answer", world.ask(Api::Responses, &request)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, queued.as_str()));
    assert_eq!(answer.header("x-toolgate-injection"), Some("background"));
    assert_eq!(world.provider.requests()[0].body, request.to_string());
    let record = world.record(&answer).await;
    assert_eq!((record.interception.start.injection.as_str(), record.outcome()), ("background", "completed"));
}
