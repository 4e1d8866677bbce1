//! Turns that call injected tools and the client's: the client gets its own calls alone, and when it comes
//! back, the turn goes up as the model made it, with all results.

use futures::future::join;
use serde_json::{Value, json};

use crate::agent::{Agent, Habits, Order, Texts, result};
use crate::client::{Live, Message, patiently};
use crate::expected::{expected, spelled};
use crate::mcp_server::{McpServer, text};
use crate::provider::Gate;
use crate::strict_model::{INJECTED, StrictModel};
use crate::tool_loop::calls_tools;
use crate::upstream::Told;
use crate::wire::{Api, Call, Mode, Say, all_forms, say};
use crate::world::{Builder, World};

const PROMPT: &str = "Go on.";
const NO_RESULT: &str = "The client gave no result for this call.";

/// The model thinks, speaks, and calls two injected tools and two of the client's.
fn mixed(id: &str) -> Say {
    let call = |n: u8| format!("{id}_c{n}");
    say(id)
        .thinking("Both at once.")
        .text(&format!("One moment, {id}."))
        .call(&call(1), "srv__say", r#"{"x":1}"#)
        .call(&call(2), "mine", r#"{"a":"é"}"#)
        .call(&call(3), "srv__say", r#"{"x":3}"#)
        .call(&call(4), "other", r#"{"a":4}"#)
}

fn done(id: &str) -> Say {
    say(id).thinking("That is all.").text("Done.")
}

/// A world whose model plays these rounds after [`PROMPT`].
async fn world(builder: Builder, rounds: &[Say]) -> (World, StrictModel, McpServer) {
    let server = McpServer::new().echo("say");
    let world = builder.server("srv", server.clone()).start().await;
    let model = StrictModel::new();
    model.plan(PROMPT, rounds);
    world.provider.plays(model.clone());
    (world, model, server)
}

fn agent(api: Api, mode: Mode, habits: Habits) -> Agent {
    let mut agent = Agent::with(api, mode, habits);
    if api == Api::Messages {
        agent.body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    }
    agent
}

fn told(id: &str, text: &str) -> Told {
    Told { id: id.to_owned(), text: text.to_owned(), is_error: false }
}

/// What the injected calls of [`mixed`] were told.
fn ours(id: &str) -> [Told; 2] {
    [told(&format!("{id}_c1"), r#"{"x":1}"#), told(&format!("{id}_c3"), r#"{"x":3}"#)]
}

fn theirs(id: &str) -> [Told; 2] {
    [2, 4].map(|n| told(&format!("{id}_c{n}"), &result(&format!("{id}_c{n}"))))
}

/// The results that went up last.
fn last_told(world: &World, api: Api) -> Vec<Told> {
    world.provider.requests().last().unwrap().told(api)
}

fn message(api: Api, rounds: &[Say]) -> Message {
    spelled(expected(api, rounds, |name| name.starts_with(INJECTED)))
}

#[tokio::test]
async fn f17_a_mixed_turn_runs_ours_releases_theirs_and_goes_up_whole() {
    for (api, mode) in all_forms() {
        let (world, model, server) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        let first = agent.prompt(PROMPT).send(&world).await;
        assert_eq!((server.calls().len(), world.provider.requests().len()), (2, 1), "{api:?} {mode:?}");
        assert!(!agent.answer.as_ref().unwrap().body.contains(INJECTED));
        assert_eq!(first.stop, calls_tools(api));
        assert_eq!(spelled(first), message(api, &[mixed("r1")]));
        let record = world.record(agent.answer.as_ref().unwrap()).await;
        let outcomes = [("r1_c1", "ok"), ("r1_c2", "released"), ("r1_c3", "ok"), ("r1_c4", "released")];
        assert_eq!(record.outcomes_by_id(), outcomes);
        assert_eq!(record.outcome(), "completed");
        let second = agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert_eq!(spelled(second), message(api, &[done("r2")]));
        assert_eq!(last_told(&world, api), [ours("r1"), theirs("r1")].concat(), "{api:?} {mode:?}");
        assert_eq!(server.calls().len(), 2, "an injected call ran again");
    }
}

#[tokio::test]
async fn f16_in_a_mixed_turn_each_call_of_one_tool_gets_its_own_result() {
    for (api, mode) in all_forms() {
        let gates = [Gate::new(), Gate::new()];
        let waiting = gates.clone();
        let server = McpServer::new().tool_with("wait", json!({"type": "object"}), move |arguments| {
            let n = usize::try_from(arguments["n"].as_u64().unwrap()).unwrap();
            let gate = waiting[n].clone();
            Box::pin(async move {
                gate.pass().await;
                text(&format!("answer {n}"))
            })
        });
        let world = World::with(server.clone()).await;
        let model = StrictModel::new();
        let round = say("r1").call("c0", "srv__wait", r#"{"n":0}"#).call("c1", "mine", "{}").call(
            "c2",
            "srv__wait",
            r#"{"n":1}"#,
        );
        model.plan(PROMPT, &[round, done("r2")]);
        world.provider.plays(model.clone());
        let mut agent = Agent::new(api, mode);
        agent.prompt(PROMPT);
        let last_comes_first = async {
            patiently("both calls at the server", server.arrived(2)).await;
            gates.iter().rev().for_each(Gate::open);
        };
        join(agent.send(&world), last_comes_first).await;
        agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0]);
        let all = [told("c0", "answer 0"), told("c2", "answer 1"), told("c1", &result("c1"))];
        assert_eq!(last_told(&world, api), all, "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn the_clients_calls_flow_while_ours_run_and_only_the_stop_waits() {
    for api in crate::wire::APIS {
        let gate = Gate::new();
        let world = World::with(McpServer::new().gated("look", &gate)).await;
        let model = StrictModel::new();
        let round = say("r1").call("c1", "srv__look", "{}").call("c2", "mine", r#"{"path":"a"}"#);
        model.plan(PROMPT, &[round, done("r2")]);
        world.provider.plays(model.clone());
        let mut agent = Agent::new(api, Mode::Streamed);
        agent.prompt(PROMPT);
        let mut live: Live = world.live(api, &agent.request()).await;
        live.until("c2").await;
        let end = match api {
            Api::Messages => "message_stop",
            Api::Chat => "finish_reason\":\"tool_calls",
            Api::Responses => "response.completed",
        };
        assert!(!live.so_far().contains(end), "{api:?}: the stop did not wait");
        gate.open();
        let message = agent.take(live.rest().await);
        assert_eq!(message.calls.len(), 1, "{api:?}");
        agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0]);
        assert_eq!(last_told(&world, api), [told("c1", "look"), told("c2", &result("c2"))]);
    }
}

#[tokio::test]
async fn f17_rounds_before_and_after_a_mixed_one_stay_in_their_order() {
    for (api, mode) in all_forms() {
        let look = |id: &str| say(id).thinking("Hm.").text(id).call(&format!("{id}_c"), "srv__say", "{}");
        let rounds =
            [look("r1"), mixed("r2"), look("r3"), mixed("r4"), say("r5").call("m", "mine", "{}"), done("r6")];
        let (world, model, server) = world(World::builder(), &rounds).await;
        let mut agent = agent(api, mode, Habits::default());
        let messages = agent.turn(&world, PROMPT).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        let expected = [
            message(api, &rounds[..2]),
            message(api, &rounds[2..4]),
            message(api, &rounds[4..5]),
            message(api, &rounds[5..]),
        ];
        assert_eq!(messages.into_iter().map(spelled).collect::<Vec<_>>(), expected, "{api:?} {mode:?}");
        assert_eq!(server.calls().len(), 6);
        assert_eq!(world.provider.requests().len(), 6);
    }
}

#[tokio::test]
async fn f18_in_a_mixed_turn_the_clients_parallelism_is_never_changed() {
    for (api, mode) in all_forms() {
        for parallel in [Some(true), Some(false), None] {
            let (world, model, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
            let mut agent = agent(api, mode, Habits::default());
            let key = if api == Api::Messages { "tool_choice" } else { "parallel_tool_calls" };
            if let Some(parallel) = parallel {
                agent.body[key] = match api {
                    Api::Messages => json!({"type": "auto", "disable_parallel_tool_use": !parallel}),
                    Api::Chat | Api::Responses => json!(parallel),
                };
            }
            agent.turn(&world, PROMPT).await;
            assert_eq!(model.refusals(), [""; 0]);
            for request in world.provider.requests() {
                assert_eq!(request.json().get(key), agent.body.get(key), "{api:?} {mode:?} {parallel:?}");
            }
        }
    }
}

#[tokio::test]
async fn f25_in_every_round_the_clients_tools_are_there_as_it_sent_them() {
    for (api, mode) in all_forms() {
        let (world, _, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        agent.turn(&world, PROMPT).await;
        let own = agent.body["tools"].as_array().unwrap();
        for request in world.provider.requests() {
            let sent = request.json()["tools"].as_array().unwrap().clone();
            assert_eq!(&sent[..own.len()], own, "{api:?} {mode:?}");
            assert_eq!(request.tool_names(), ["mine", "other", "srv__say"]);
        }
    }
}

#[tokio::test]
async fn f21_injected_calls_of_a_mixed_turn_are_answered_also_at_the_cap() {
    for (api, mode) in all_forms() {
        let builder = World::builder().config(|config| config.limits.max_calls = 1);
        let (world, model, server) = world(builder, &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        let messages = agent.turn(&world, PROMPT).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert_eq!(messages[0].calls.len(), 2);
        assert_eq!(server.calls().len(), 1);
        let told = last_told(&world, api);
        assert_eq!(told[0], ours("r1")[0]);
        assert!(told[1].is_error && told[1].text.contains("the limit of 1 tool calls"), "{told:?}");
        assert_eq!(told[2..], theirs("r1"));
    }
}

#[tokio::test]
async fn f21_at_the_cap_of_rounds_a_mixed_turn_is_still_whole() {
    for (api, mode) in all_forms() {
        let builder = World::builder().config(|config| config.limits.max_rounds = 1);
        let look = say("r1").call("c", "srv__say", "{}");
        let (world, model, server) = world(builder, &[look, mixed("r2"), done("r3")]).await;
        let mut agent = agent(api, mode, Habits::default());
        let messages = agent.turn(&world, PROMPT).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert_eq!((messages[0].calls.len(), server.calls().len()), (2, 1));
        let told = last_told(&world, api);
        for refused in &told[1..3] {
            assert!(refused.is_error && refused.text.contains("the limit of 1 rounds"), "{told:?}");
        }
    }
}

#[tokio::test]
async fn what_fails_in_a_mixed_turn_goes_up_as_an_error_beside_the_clients_results() {
    for (api, mode) in all_forms() {
        let failure = json!({"content": [{"type": "text", "text": "no such file"}], "isError": true});
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
        let server = McpServer::new().tool_with("look", schema, move |_| {
            let failure = failure.clone();
            Box::pin(async move { failure })
        });
        let world = World::with(server).await;
        let model = StrictModel::new();
        let round = say("r1").call("c1", "srv__look", "{}").call("c2", "srv__look", r#"{"n":"x"}"#).call(
            "c3",
            "mine",
            r#"{"a":1}"#,
        );
        model.plan(PROMPT, &[round, done("r2")]);
        world.provider.plays(model.clone());
        let mut agent = Agent::new(api, mode);
        agent.prompt(PROMPT).send(&world).await;
        let record = world.record(agent.answer.as_ref().unwrap()).await;
        let outcomes = record.outcomes_by_id();
        assert_eq!((outcomes[0].1, outcomes[1].1), ("tool_error", "invalid_arguments"));
        agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0]);
        let told = last_told(&world, api);
        assert!(told[0].is_error && told[0].text.contains("no such file"), "{told:?}");
        assert!(told[1].is_error, "{told:?}");
        assert_eq!(told[2].text, result("c3"));
    }
}

/// Each way in which clients send a turn back, as far as the API has it.
fn ways_back(api: Api) -> Vec<Habits> {
    let plain = Habits::default();
    let mut ways = vec![
        Habits { calls: Order::Reversed, ..plain },
        Habits { results: Order::Reversed, ..plain },
        Habits { calls: Order::Reversed, results: Order::Reversed, ..plain },
        Habits { drops_thinking: true, ..plain },
    ];
    match api {
        Api::Messages => ways.extend([
            Habits { calls: Order::Last, ..plain },
            Habits { texts: Texts::Trimmed, ..plain },
            Habits { texts: Texts::Joined, drops_thinking: true, ..plain },
            Habits { splits: true, ..plain },
            Habits { marks: true, ..plain },
        ]),
        Api::Chat => ways.extend([
            Habits { texts: Texts::Trimmed, ..plain },
            Habits { other_form: true, ..plain },
            Habits { splits: true, ..plain },
        ]),
        Api::Responses => ways.extend([
            Habits { interleaves: true, ..plain },
            Habits { other_form: true, drops_thinking: true, ..plain },
            Habits { memory: crate::agent::Memory::StoredItems, ..plain },
            Habits { memory: crate::agent::Memory::Chain, ..plain },
            Habits { memory: crate::agent::Memory::References, ..plain },
        ]),
    }
    ways
}

#[tokio::test]
async fn f17_whatever_order_or_form_the_client_gives_its_turn_the_models_own_goes_up() {
    let (world, model, _) = world(World::builder(), &[]).await;
    for (api, mode) in all_forms() {
        for (number, habits) in ways_back(api).into_iter().enumerate() {
            let case = format!("{api:?} {mode:?} {number}");
            let (first, second) = (format!("First, {case}"), format!("Second, {case}"));
            model.plan(&first, &[mixed("r1"), mixed("r2"), done("r3")]);
            model.plan(&second, &[mixed("r4"), done("r5")]);
            let mut agent = agent(api, mode, habits).header("x-session-id", &case);
            let mut messages = agent.turn(&world, &first).await;
            messages.extend(agent.turn(&world, &second).await);
            assert_eq!(model.refusals(), [""; 0], "{case} {habits:?}");
            assert_eq!(messages.len(), 5);
            let seen = model.seen(&first);
            for (earlier, later) in seen.iter().zip(&seen[1..]) {
                assert!(later.starts_with(earlier), "{case} {habits:?}: what was said before was changed");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_comes_back_late_finds_its_turn() {
    for (api, mode) in all_forms() {
        let (mut world, model, server) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        agent.prompt(PROMPT).send(&world).await;
        for other in 0..20 {
            let prompt = format!("Something else, {other}");
            model.plan(&prompt, &[mixed(&format!("o{other}")), done(&format!("p{other}"))]);
            Agent::new(api, mode).turn(&world, &prompt).await;
        }
        world = world.restart().await;
        agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert_eq!(last_told(&world, api), [ours("r1"), theirs("r1")].concat());
        assert_eq!(server.calls().len(), 42);
    }
}

#[tokio::test]
async fn a_client_that_comes_back_twice_gets_the_same_both_times() {
    for (api, mode) in all_forms() {
        let (world, model, server) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        agent.prompt(PROMPT).send(&world).await;
        agent.results();
        let (once, twice) = (agent.ask(&world).await, agent.ask(&world).await);
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert_eq!(once.message(api, mode), twice.message(api, mode));
        let requests = world.provider.requests();
        assert_eq!(requests[1].body, requests[2].body);
        assert_eq!(server.calls().len(), 2);
    }
}

/// Whether the model is told that the client gave no result for this call.
fn no_result(id: &str) -> impl Fn(&Told) -> bool {
    move |told| told.id == id && told.is_error && told.text.ends_with(NO_RESULT)
}

#[tokio::test]
async fn a_client_that_has_some_results_only_goes_on_with_errors_for_the_rest() {
    for (api, mode) in all_forms() {
        for habits in [Habits::default(), Habits { calls: Order::Reversed, ..Habits::default() }] {
            let (world, model, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
            let mut agent = agent(api, mode, habits);
            agent.prompt(PROMPT).send(&world).await;
            let last = agent.results_of(&["r1_c4"]).send(&world).await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
            assert_eq!(last.texts.concat(), "Done.");
            let mut told = last_told(&world, api);
            assert_eq!(told.len(), 4, "{told:?}");
            let missing = told.iter().position(no_result("r1_c2")).unwrap_or_else(|| panic!("{told:?}"));
            told.remove(missing);
            assert_eq!(told, [ours("r1").to_vec(), theirs("r1")[1..].to_vec()].concat());
        }
    }
}

#[tokio::test]
async fn a_client_that_goes_on_with_words_instead_of_results_is_answered() {
    for (api, mode) in all_forms() {
        for some in [&[][..], &["r1_c2"]] {
            let (world, model, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
            model.plan("Never mind.", &[say("n1").text("As you like.")]);
            let mut agent = agent(api, mode, Habits::default());
            agent.prompt(PROMPT).send(&world).await;
            agent.results_of(some);
            let last = agent.prompt("Never mind.").send(&world).await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?} {some:?}");
            assert_eq!(last.texts.concat(), "As you like.");
            let told = last_told(&world, api);
            assert_eq!(told.len(), 4, "{told:?}");
            assert!(ours("r1").iter().all(|ours| told.contains(ours)), "{api:?} {mode:?} {some:?} {told:?}");
            for id in ["r1_c2", "r1_c4"] {
                let is_there = |told: &Told| told.id == id && told.text == result(id);
                let told = told.iter().find(|told| told.id == id).unwrap();
                assert!(if some.contains(&id) { is_there(told) } else { no_result(id)(told) }, "{told:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_drops_the_turn_gets_nothing_put_back() {
    for (api, mode) in all_forms() {
        let (world, model, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        model.plan("Let us begin again.", &[say("n1").text("As you like.")]);
        let mut agent = agent(api, mode, Habits::default());
        agent.prompt(PROMPT).send(&world).await;
        agent.history.truncate(1);
        let own = agent.prompt("Let us begin again.").request();
        agent.send(&world).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        let key = if api == Api::Responses { "input" } else { "messages" };
        let sent: Value = world.provider.requests()[1].json();
        assert_eq!(sent[key], own[key], "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn a_later_turn_still_has_the_mixed_one_in_its_history() {
    for (api, mode) in all_forms() {
        let (world, model, _) = world(World::builder(), &[mixed("r1"), done("r2")]).await;
        let mut agent = agent(api, mode, Habits::default());
        agent.turn(&world, PROMPT).await;
        for turn in 0..3 {
            let (prompt, id) = (format!("Question {turn}"), format!("q{turn}"));
            model.plan(&prompt, &[say(&id).thinking("Hm.").text(&id)]);
            agent.turn(&world, &prompt).await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?} {turn}");
            assert_eq!(last_told(&world, api), [ours("r1"), theirs("r1")].concat());
        }
    }
}

#[tokio::test]
async fn whose_a_call_is_depends_on_the_name_alone() {
    for (api, mode) in all_forms() {
        let round =
            say("r1").call("same_1", "srv__say", r#"{"x":1}"#).call("same_2", "srv__sa", r#"{"x":2}"#);
        let (world, _, server) = world(World::builder(), &[]).await;
        world.provider.will_say(api, mode, &[round]);
        let message = Agent::new(api, mode).prompt(PROMPT).send(&world).await;
        let theirs = Call { id: "same_2".into(), name: "srv__sa".into(), arguments: r#"{"x":2}"#.into() };
        assert_eq!((message.calls, server.calls().len()), (vec![theirs], 1), "{api:?} {mode:?}");
    }
}
