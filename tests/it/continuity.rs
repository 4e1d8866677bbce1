//! What the gateway ran in earlier turns is put back where the client's history has its place, and only there.

use std::path::Path;

use serde_json::{Value, json};
use toolgate::config::Pattern;

use crate::agent::{Agent, Habits, Memory};
use crate::client::Answer;
use crate::mcp_server::{McpServer, text};
use crate::strict_model::StrictModel;
use crate::wire::{APIS, Api, Mode, Say, all_forms, say};
use crate::world::World;

/// The model thinks and looks, thinks again and speaks.
fn looks(id: &str) -> [Say; 2] {
    let call = format!("{id}_c");
    [
        say(&format!("{id}_1"))
            .thinking(&format!("I look, {id}."))
            .text(&format!("Let me look, {id}."))
            .call(&call, "srv__say", &json!({ "seen": id }).to_string()),
        say(&format!("{id}_2")).thinking(&format!("I see, {id}.")).text(&format!("There it is, {id}.")),
    ]
}

/// The model looks and calls the client's tool in one turn.
fn mixes(id: &str) -> [Say; 2] {
    let [look, done] = looks(id);
    [look.call(&format!("{id}_m"), "mine", r#"{"a":1}"#), done]
}

fn speaks(id: &str) -> [Say; 1] {
    [say(id).thinking(&format!("Plainly, {id}.")).text(&format!("I say {id}."))]
}

/// A world with a model that begins with these turns, named by their prompts.
async fn world(model: &StrictModel, turns: &[(&str, &[Say])]) -> World {
    let world = World::with(McpServer::new().echo("say")).await;
    for (prompt, rounds) in turns {
        model.plan(prompt, rounds);
    }
    world.provider.plays(model.clone());
    world
}

fn agent(api: Api, mode: Mode) -> Agent {
    let mut agent = Agent::new(api, mode);
    if api == Api::Messages {
        agent.body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
    }
    agent
}

/// The body of the newest upstream request.
fn sent(world: &World) -> String {
    String::from_utf8(world.provider.requests().last().unwrap().body.to_vec()).unwrap()
}

/// Whether the newest upstream request tells the model what [`looks`] or [`mixes`] saw under this id.
fn knows(world: &World, id: &str) -> bool {
    sent(world).contains(&format!(r#"{{\"seen\":\"{id}\"}}"#))
}

/// What the record of an answer says of earlier turns.
async fn noted(world: &World, answer: &Answer) -> Vec<String> {
    world.record(answer).await.interception.start.continuity
}

async fn noted_last(world: &World, agent: &Agent) -> Vec<String> {
    noted(world, agent.answer.as_ref().unwrap()).await
}

#[tokio::test]
async fn what_ran_in_earlier_turns_is_put_back_in_its_place_also_after_a_restart() {
    for (api, mode) in all_forms() {
        for restarts in [false, true] {
            let model = StrictModel::new();
            let turns: [(&str, &[Say]); 4] = [
                ("First?", &looks("a")),
                ("Second?", &speaks("b")),
                ("Third?", &mixes("c")),
                ("Fourth?", &looks("d")),
            ];
            let mut world = world(&model, &turns).await;
            let mut agent = agent(api, mode);
            for (prompt, _) in turns {
                agent.turn(&world, prompt).await;
                assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?} {prompt}");
                if restarts {
                    world = world.restart().await;
                }
            }
            assert!(["a", "c", "d"].iter().all(|id| knows(&world, id)), "{api:?} {mode:?} {}", sent(&world));
            let seen = model.seen("First?");
            for (earlier, later) in seen.iter().zip(&seen[1..]) {
                assert!(later.starts_with(earlier), "{api:?} {mode:?}: what went up before was changed");
            }
        }
    }
}

#[tokio::test]
async fn without_its_store_a_conversation_goes_on_as_far_as_it_is_visible() {
    for (api, mode) in all_forms() {
        let model = StrictModel::forgiving();
        let turns: [(&str, &[Say]); 3] =
            [("First?", &looks("a")), ("Second?", &mixes("b")), ("Third?", &looks("c"))];
        let mut world = world(&model, &turns).await;
        let mut agent = agent(api, mode);
        agent.turn(&world, "First?").await;
        // The client's call is open when the store goes.
        agent.prompt("Second?").send(&world).await;
        world = world.restart_without_store().await;
        agent.results().send(&world).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(!knows(&world, "a") && !knows(&world, "b"), "{api:?} {mode:?}");
        assert!(sent(&world).contains("There it is, a."), "what is visible stays");
        assert!(
            !noted_last(&world, &agent).await.is_empty(),
            "{api:?} {mode:?}: the record says nothing of it"
        );
        // From here on, all is as ever.
        agent.turn(&world, "Third?").await;
        agent.prompt("Fourth?");
        model.plan("Fourth?", &speaks("d"));
        agent.send(&world).await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(knows(&world, "c"), "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn an_edit_of_what_came_before_leaves_what_is_visible() {
    for (api, mode) in all_forms() {
        let model = StrictModel::forgiving();
        let turns: [(&str, &[Say]); 4] =
            [("First?", &looks("a")), ("Second?", &looks("b")), ("Third?", &speaks("c")), ("Zeroth?", &[])];
        let world = world(&model, &turns).await;
        let mut agent = agent(api, mode);
        agent.turn(&world, "First?").await;
        agent.turn(&world, "Second?").await;
        agent.history[0]["content"] = json!("Zeroth?");
        agent.turn(&world, "Third?").await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(!knows(&world, "a") && !knows(&world, "b"), "{api:?} {mode:?}");
        assert!(sent(&world).contains("There it is, b."));
        assert!(!noted_last(&world, &agent).await.is_empty(), "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn a_branch_gets_what_it_still_contains() {
    for (api, mode) in all_forms() {
        let model = StrictModel::new();
        let turns: [(&str, &[Say]); 4] = [
            ("First?", &looks("a")),
            ("Second?", &looks("b")),
            ("Another second?", &looks("c")),
            ("Third?", &speaks("d")),
        ];
        let world = world(&model, &turns).await;
        let mut trunk = agent(api, mode);
        trunk.turn(&world, "First?").await;
        let mut branch = trunk.clone();
        trunk.turn(&world, "Second?").await;
        branch.turn(&world, "Another second?").await;
        assert!(knows(&world, "a") && !knows(&world, "b"), "{api:?} {mode:?}");
        branch.turn(&world, "Third?").await;
        assert!(knows(&world, "a") && knows(&world, "c") && !knows(&world, "b"), "{api:?} {mode:?}");
        trunk.turn(&world, "Third?").await;
        assert!(knows(&world, "a") && knows(&world, "b") && !knows(&world, "c"), "{api:?} {mode:?}");
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn after_a_compaction_by_the_client_nothing_is_out_of_place() {
    for (api, mode) in all_forms() {
        let model = StrictModel::forgiving();
        let turns: [(&str, &[Say]); 4] = [
            ("First?", &looks("a")),
            ("Second?", &looks("b")),
            ("Summary:", &speaks("s")),
            ("Third?", &looks("c")),
        ];
        let world = world(&model, &turns).await;
        let mut agent = agent(api, mode);
        agent.turn(&world, "First?").await;
        let first_turn = agent.history.len();
        agent.turn(&world, "Second?").await;
        // The first turn becomes a summary.
        agent.history.splice(..first_turn, [json!({"role": "user", "content": "Summary: we looked."})]);
        agent.turn(&world, "Third?").await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(!knows(&world, "a"), "{api:?} {mode:?}");
        model.plan("Fourth?", &speaks("d"));
        agent.turn(&world, "Fourth?").await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(knows(&world, "c"), "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn an_answer_that_shows_nothing_leaves_nothing_to_be_refused() {
    for (api, mode) in all_forms() {
        for thinks in [true, false] {
            let model = StrictModel::forgiving();
            let [mut look, _] = looks("a");
            look.text.clear();
            look.thinking = thinks.then(|| "Hm.".to_owned());
            let world = world(&model, &[("First?", &[look, say("empty")]), ("Second?", &speaks("b"))]).await;
            let mut agent = agent(api, mode);
            agent.prompt("First?").send(&world).await;
            // No client sends a turn without content.
            agent.history.retain(
                |message| !matches!(message["content"].as_array(), Some(blocks) if blocks.is_empty()),
            );
            if api == Api::Chat {
                agent.history.retain(|message| message["role"] != "assistant");
            }
            let answer = agent.prompt("Second?").send(&world).await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?} {thinks}");
            assert_eq!(answer.texts, ["I say b."]);
        }
    }
}

#[tokio::test]
async fn what_a_tool_said_stays_when_the_tool_is_withdrawn() {
    for (api, mode) in all_forms() {
        for gone in [true, false] {
            let model = StrictModel::forgiving();
            let turns: [(&str, &[Say]); 2] = [("First?", &looks("a")), ("Second?", &speaks("b"))];
            let mut world = world(&model, &turns).await;
            let mut agent = agent(api, mode);
            agent.turn(&world, "First?").await;
            world = world
                .restart_with(|config| {
                    config.servers[0].deny = vec![Pattern::parse("say").unwrap()];
                    config.servers.retain(|_| !gone);
                })
                .await;
            agent.turn(&world, "Second?").await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
            assert!(knows(&world, "a"), "{api:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn a_request_without_injection_still_gets_its_history_back() {
    for (api, mode) in all_forms() {
        let model = StrictModel::forgiving();
        let turns: [(&str, &[Say]); 2] = [("First?", &looks("a")), ("Second?", &speaks("b"))];
        let world = world(&model, &turns).await;
        let mut agent = agent(api, mode);
        agent.turn(&world, "First?").await;
        agent.body["tool_choice"] =
            if api == Api::Messages { json!({"type": "none"}) } else { json!("none") };
        agent.turn(&world, "Second?").await;
        assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?}");
        assert!(knows(&world, "a"), "{api:?} {mode:?}");
    }
}

/// A hidden call with this secret, and an answer that anyone could get: ids and texts are the same for all.
fn secretive(secret: &str) -> [Say; 2] {
    let arguments = json!({ "seen": secret }).to_string();
    [say("r1").thinking("Hm.").call("c1", "srv__say", &arguments), say("r2").text("Hello!")]
}

/// Someone in a conversation: with a key, a session, an end user.
fn someone(api: Api, mode: Mode, key: &str, session: Option<&str>, end_user: Option<&str>) -> Agent {
    let mut agent = Agent::new(api, mode).header("x-api-key", key);
    if let Some(session) = session {
        agent = agent.header("x-session-id", session);
    }
    match (end_user, api) {
        (None, _) => {}
        (Some(user), Api::Messages) => agent.body["metadata"] = json!({ "user_id": user }),
        (Some(user), Api::Chat) => agent.body["user"] = json!(user),
        (Some(user), Api::Responses) => agent.body["safety_identifier"] = json!(user),
    }
    agent
}

#[tokio::test]
async fn f66_identical_short_histories_never_mix() {
    for (api, mode) in all_forms() {
        let pairs = [
            (("tg_alice", None, None), ("tg_bob", None, None)),
            (("tg_alice", None, Some("u1")), ("tg_alice", None, Some("u2"))),
            (("tg_alice", None, Some("u1")), ("tg_alice", None, None)),
            (("tg_alice", Some("s1"), None), ("tg_alice", Some("s2"), None)),
            (("tg_alice", Some("s1"), Some("u")), ("tg_bob", Some("s1"), Some("u"))),
        ];
        for (one, other) in pairs {
            let builder = World::builder().caller("tg_alice", "alice", &[]).caller("tg_bob", "bob", &[]);
            let mut world = builder.server("srv", McpServer::new().echo("say")).start().await;
            let people = [("left", one), ("right", other)];
            let mut agents = Vec::new();
            for (secret, (key, session, end_user)) in people {
                world.provider.will_say(api, mode, &secretive(secret));
                let mut agent = someone(api, mode, key, session, end_user);
                agent.prompt("Hi").send(&world).await;
                agents.push((secret, agent));
            }
            // Someone who has the same history from elsewhere gets nothing.
            let mut stranger = agents[0].1.clone();
            stranger.headers = vec![("x-api-key", "tg_bob".to_owned()), ("x-session-id", "other".to_owned())];
            world.provider.will_say(api, mode, &speaks("s"));
            stranger.prompt("And now?").send(&world).await;
            assert!(!knows(&world, "left") && !knows(&world, "right"), "{api:?} {mode:?} {one:?} {other:?}");
            for restarts in [false, true] {
                if restarts {
                    world = world.restart().await;
                }
                for (secret, agent) in &agents {
                    let foreign = if *secret == "left" { "right" } else { "left" };
                    world.provider.will_say(api, mode, &speaks("n"));
                    agent.clone().prompt("And now?").send(&world).await;
                    assert!(knows(&world, secret), "{api:?} {mode:?} {one:?} {other:?}: {}", sent(&world));
                    assert!(!knows(&world, foreign), "{api:?} {mode:?} {one:?} {other:?}: mixed");
                }
            }
        }
    }
}

#[tokio::test]
async fn f66_of_two_that_both_fit_none_is_taken() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().echo("say")).await;
        let mut agents = Vec::new();
        for secret in ["left", "right"] {
            world.provider.will_say(api, mode, &secretive(secret));
            let mut agent = Agent::new(api, mode);
            agent.prompt("Hi").send(&world).await;
            agents.push(agent);
        }
        for mut agent in agents {
            world.provider.will_say(api, mode, &speaks("n"));
            agent.prompt("And now?").send(&world).await;
            assert!(!knows(&world, "left") && !knows(&world, "right"), "{api:?} {mode:?}");
            assert!(
                !sent(&world).contains("sig-r1") && !sent(&world).contains("sealed-r1"),
                "orphaned thinking"
            );
            assert!(!noted_last(&world, &agent).await.is_empty(), "{api:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn what_is_kept_is_sealed_on_disk() {
    for api in APIS {
        let model = StrictModel::new();
        let world = world(&model, &[("First?", &looks("a"))]).await;
        // No record keeps signatures, so that they could come from continuity alone.
        let mut agent = agent(api, Mode::Whole);
        agent.turn(&world, "First?").await;
        let folder = world.stop().await;
        let bytes = all_bytes(folder.path());
        for secret in ["sig-a_1", "sealed-a_1", r#""tool_call_id""#, r#""reasoning_content""#, "First?"] {
            assert!(!contains(&bytes, secret.as_bytes()), "{api:?}: {secret} is on the disk in the clear");
        }
        assert!(contains(&bytes, b"srv__say"), "the records are not there");
    }
}

fn all_bytes(folder: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.is_file()).flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    memchr::memmem::find(bytes, piece).is_some()
}

#[tokio::test]
async fn a_chain_of_stored_responses_goes_on_after_mixed_and_hidden_rounds_and_restarts() {
    for mode in crate::wire::MODES {
        for memory in [Memory::Chain, Memory::References, Memory::StoredItems] {
            let model = StrictModel::new();
            let turns: [(&str, &[Say]); 3] =
                [("First?", &looks("a")), ("Second?", &mixes("b")), ("Third?", &speaks("c"))];
            let mut world = world(&model, &turns).await;
            let mut agent = Agent::with(Api::Responses, mode, Habits { memory, ..Habits::default() });
            for (prompt, _) in turns {
                agent.prompt(prompt).send(&world).await;
                while !agent.open.is_empty() {
                    world = world.restart().await;
                    agent.results().send(&world).await;
                }
                assert_eq!(model.refusals(), [""; 0], "{mode:?} {memory:?} {prompt}");
                world = world.restart().await;
            }
            let seen = model.seen("First?");
            let last: String = seen.last().unwrap().iter().map(Value::to_string).collect();
            for id in ["a", "b"] {
                assert!(last.contains(&format!(r#"{{\"seen\":\"{id}\"}}"#)), "{mode:?} {memory:?} {id}");
            }
        }
    }
}

#[tokio::test]
async fn f64_the_hidden_calls_of_a_stored_mixed_turn_are_its_callers_alone() {
    for mode in crate::wire::MODES {
        let builder = World::builder().caller("tg_alice", "alice", &[]).caller("tg_bob", "bob", &[]);
        let world = builder.server("srv", McpServer::new().tool("say", text("seen"))).start().await;
        let model = StrictModel::new();
        model.plan("First?", &mixes("a"));
        world.provider.plays(model.clone());
        let habits = Habits { memory: Memory::Chain, ..Habits::default() };
        let mut alice = Agent::with(Api::Responses, mode, habits).header("x-api-key", "tg_alice");
        alice.prompt("First?").send(&world).await;
        alice.results();
        let mut bob = alice.clone();
        bob.headers = vec![("x-api-key", "tg_bob".to_owned())];
        assert_eq!(bob.ask(&world).await.status, 404);
        alice.send(&world).await;
        assert_eq!(model.refusals(), [""; 0]);
    }
}
