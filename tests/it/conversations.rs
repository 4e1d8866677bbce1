//! Whatever a conversation is made of, the provider never has a reason to refuse, each call gets its own
//! result, and the client's messages are what the rounds say.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use toolgate::domain::Render;

use crate::agent::{Agent, Habits, Memory, Native, Order, Texts, result};
use crate::client::Message;
use crate::expected::{messages, spelled};
use crate::mcp_server::McpServer;
use crate::strict_model::{INJECTED, StrictModel};
use crate::wire::{APIS, Api, MODES, Mode, Say, say};
use crate::world::World;

/// What one round is made of: for each call, whether it is of an injected tool.
#[derive(Clone, Debug)]
struct Plan {
    thinks: bool,
    speaks: bool,
    calls: Vec<bool>,
}

fn round() -> impl Strategy<Value = Plan> {
    (any::<bool>(), any::<bool>(), prop::collection::vec(any::<bool>(), 1..=6))
        .prop_map(|(thinks, speaks, calls)| Plan { thinks, speaks, calls })
}

/// One to four rounds, the last of which calls nothing.
fn turn() -> impl Strategy<Value = Vec<Plan>> {
    (prop::collection::vec(round(), 0..=3), any::<bool>()).prop_map(|(mut rounds, thinks)| {
        rounds.push(Plan { thinks, speaks: true, calls: Vec::new() });
        rounds
    })
}

fn habits() -> impl Strategy<Value = Habits> {
    let order = || prop::sample::select(vec![Order::AsCame, Order::Reversed, Order::Last]);
    let texts = prop::sample::select(vec![Texts::AsCame, Texts::Trimmed, Texts::Joined]);
    let memory =
        prop::sample::select(vec![Memory::Items, Memory::StoredItems, Memory::Chain, Memory::References]);
    let native = prop::sample::select(vec![Native::Kept, Native::Dropped, Native::CallsOnly]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (order(), order(), texts, memory, native, flags).prop_map(
        |(
            calls,
            results,
            texts,
            memory,
            native,
            (drops_thinking, other_form, splits, interleaves, marks, respells),
        )| Habits {
            calls,
            results,
            texts,
            drops_thinking,
            other_form,
            splits,
            interleaves,
            marks,
            memory,
            native,
            respells,
        },
    )
}

/// A conversation to be played.
#[derive(Clone, Debug)]
struct Case {
    api: Api,
    mode: Mode,
    habits: Habits,
    turns: Vec<Vec<Plan>>,
    /// The client says that it is Codex.
    is_codex: bool,
}

fn case() -> impl Strategy<Value = Case> {
    let api = prop::sample::select(APIS.to_vec());
    let mode = prop::sample::select(MODES.to_vec());
    (api, mode, habits(), prop::collection::vec(turn(), 1..=4)).prop_map(|(api, mode, mut habits, turns)| {
        if habits.memory == Memory::StoredItems {
            // Who sends the items of a stored response without their reasoning is refused by the provider.
            habits.drops_thinking = false;
        }
        Case { api, mode, habits, turns, is_codex: false }
    })
}

/// The rounds of a turn, with ids and texts that no other has.
fn rounds(id: &str, plans: &[Plan]) -> Vec<Say> {
    let round = |(number, plan): (usize, &Plan)| {
        let id = format!("{id}_{number}");
        let mut round = say(&id);
        round.thinking = plan.thinks.then(|| format!("Thought {id}."));
        if plan.speaks {
            round = round.text(&format!("Text \"{id}\"."));
        }
        for (place, injected) in plan.calls.iter().enumerate() {
            let (name, call) = (if *injected { "srv__say" } else { "mine" }, format!("{id}_{place}"));
            round = round.call(&call, name, &arguments(&call));
        }
        round
    };
    plans.iter().enumerate().map(round).collect()
}

fn arguments(call: &str) -> String {
    json!({ "nonce": call }).to_string()
}

fn is_ours(name: &str) -> bool {
    name.starts_with(INJECTED)
}

/// A gateway that plays all cases, each in a session of its own.
struct Stage {
    runtime: Runtime,
    world: World,
    model: StrictModel,
    played: AtomicUsize,
}

impl Stage {
    fn new(render: Render) -> Self {
        let runtime = Runtime::new().unwrap();
        let (world, model) = runtime.block_on(async {
            let builder = World::builder().config(|config| config.settings.render = Some(render));
            let world = builder.server("srv", McpServer::new().echo("say")).start().await;
            let model = StrictModel::new();
            world.provider.plays(model.clone());
            (world, model)
        });
        Self { runtime, world, model, played: AtomicUsize::new(0) }
    }

    fn play(&self, case: &Case) -> Result<(), TestCaseError> {
        let number = self.played.fetch_add(1, Ordering::Relaxed);
        let mut agent =
            Agent::with(case.api, case.mode, case.habits).header("x-session-id", &format!("s{number}"));
        if case.is_codex {
            agent = agent.header("originator", "codex_exec");
        }
        if case.api == Api::Messages && !case.habits.drops_thinking {
            agent.body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        }
        let (mut all, first) = (Vec::new(), format!("Case {number}, turn 0."));
        for (turn, plans) in case.turns.iter().enumerate() {
            let prompt = format!("Case {number}, turn {turn}.");
            let rounds = rounds(&format!("k{number}_{turn}"), plans);
            self.model.plan(&prompt, &rounds);
            let told = self.runtime.block_on(self.turn(&mut agent, &prompt));
            prop_assert_eq!(self.model.refusals(), Vec::<String>::new());
            let comparable = |messages: Vec<Message>| -> Vec<Message> {
                let mut messages: Vec<_> = messages.into_iter().map(spelled).collect();
                if case.is_codex {
                    // Its sealed rounds are reasoning to it.
                    for message in &mut messages {
                        message.thinking.clear();
                    }
                }
                messages
            };
            let told = told.ok_or_else(|| TestCaseError::fail("no answer"))?;
            prop_assert_eq!(comparable(told), comparable(messages(case.api, &rounds, is_ours)));
            all.extend(rounds);
        }
        self.check_results(case.api, &first, &all)
    }

    /// A turn to its end; `None` where something else than an answer came.
    async fn turn(&self, agent: &mut Agent, prompt: &str) -> Option<Vec<Message>> {
        agent.prompt(prompt);
        let mut messages = Vec::new();
        loop {
            let answer = agent.ask(&self.world).await;
            if answer.status != 200 {
                return None;
            }
            messages.push(agent.take(answer));
            if agent.open.is_empty() {
                return Some(messages);
            }
            agent.results();
        }
    }

    /// At the end of a conversation every call stands there with its own result.
    fn check_results(&self, api: Api, first_prompt: &str, rounds: &[Say]) -> Result<(), TestCaseError> {
        let seen = self.model.seen(first_prompt);
        let last: String = seen.last().unwrap().iter().map(Value::to_string).collect();
        for call in rounds.iter().flat_map(|round| &round.calls) {
            let result = if is_ours(&call.name) { call.arguments.clone() } else { result(&call.id) };
            let result = json!(result);
            let id = json!(call.id);
            let expected = match api {
                Api::Messages if is_ours(&call.name) => {
                    format!(r#""tool_use_id":{id},"content":[{{"type":"text","text":{result}}}]"#)
                }
                Api::Messages => format!(r#""tool_use_id":{id},"content":{result}"#),
                Api::Chat => format!(r#""tool_call_id":{id},"content":{result}"#),
                Api::Responses => format!(r#""call_id":{id},"output":{result}"#),
            };
            prop_assert_eq!(last.matches(&expected).count(), 1, "{} in {}", expected, last);
        }
        Ok(())
    }
}

fn check<T: Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    play: impl Fn(T) -> Result<(), TestCaseError>,
) {
    let config = ProptestConfig {
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases)
    };
    if let Err(error) = TestRunner::new(config).run(&strategy, play) {
        panic!("{error}");
    }
}

#[test]
fn a_client_with_its_own_tools_alone_is_refused_nothing_either() {
    let stage = Stage::new(Render::Hidden);
    check(32, case(), |mut case| {
        stage.model.forget_refusals();
        case.turns.iter_mut().flatten().for_each(|round| round.calls.fill(false));
        stage.play(&case)
    });
}

#[test]
fn f17_no_conversation_gives_the_provider_a_reason_to_refuse() {
    let stage = Stage::new(Render::Hidden);
    check(64, case(), |case| {
        // A case that failed is not to be blamed on the next one.
        stage.model.forget_refusals();
        stage.play(&case)
    });
}

#[test]
fn f17_neither_does_one_that_shows_its_calls() {
    let stage = Stage::new(Render::Native);
    check(32, case(), |mut case| {
        stage.model.forget_refusals();
        // No known client that tells each call with its output keeps native items.
        case.habits.interleaves = false;
        stage.play(&case)
    });
}

#[test]
fn f17_neither_does_codex_which_carries_sealed_rounds() {
    let stage = Stage::new(Render::Auto);
    check(24, case(), |mut case| {
        stage.model.forget_refusals();
        (case.api, case.is_codex) = (Api::Responses, true);
        (case.habits.memory, case.habits.drops_thinking) = (Memory::Items, false);
        stage.play(&case)
    });
}
