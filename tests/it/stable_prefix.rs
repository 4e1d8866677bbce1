//! What a provider has cached stays cached: the tools of a conversation do not change, and what went up once
//! goes up again as it was.

use serde_json::{Value, json};
use toolgate::config::Pattern;
use toolgate::domain::Inject;

use crate::agent::{Agent, Habits, Order};
use crate::mcp_server::{McpServer, text};
use crate::provider::Received;
use crate::strict_model::{StrictModel, without_markers};
use crate::wire::{APIS, Api, Mode, Say, all_forms, say};
use crate::world::{World, server_config};

const SESSION: &str = "5b7e0a52-8c1d-4f6e-9a73-2b1d6c0e4f11";

/// A request of Claude Code's without its history.
fn claude_code() -> Value {
    let tool = |n: u8| {
        json!({"name": format!("Tool{n}"), "description": format!("The client's tool {n}."),
            "input_schema": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                "properties": {"path": {"type": "string"}}, "additionalProperties": false}})
    };
    let mut tools: Vec<Value> = (1..=10).map(tool).collect();
    tools.push(
        json!({"name": "mine", "description": "Bash", "input_schema": {"type": "object", "properties": {}}}),
    );
    tools.push(json!({"name": "ToolSearch", "description": "Finds.", "input_schema": {"type": "object", "properties": {}}}));
    json!({"model": "claude-sonnet-4-5", "max_tokens": 32000, "stream": true, "tools": tools,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.329.0; cc_entrypoint=sdk-cli;"},
            {"type": "text", "text": "You are a Claude agent.", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "You are an interactive agent that helps users.", "cache_control": {"type": "ephemeral"}},
        ],
        "thinking": {"type": "enabled", "budget_tokens": 31999, "display": "updates"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "metadata": {"user_id": json!({"device_id": "d", "account_uuid": "", "session_id": SESSION}).to_string()}})
}

/// What happens in a turn.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Plain,
    OwnTools,
    Injected,
    Mixed,
}

const TEN: [Kind; 10] = [
    Kind::Plain,
    Kind::OwnTools,
    Kind::Injected,
    Kind::Mixed,
    Kind::OwnTools,
    Kind::Injected,
    Kind::Plain,
    Kind::Mixed,
    Kind::Injected,
    Kind::Plain,
];

impl Kind {
    fn rounds(self, turn: usize) -> Vec<Say> {
        let round = |n: u8| {
            let id = format!("t{turn}_{n}");
            say(&id).thinking(&format!("Thought {id}.")).text(&format!("Text {id}."))
        };
        let own = |n: u8| round(n).call(&format!("own{turn}_{n}"), "mine", r#"{"command":"ls"}"#);
        let ours = |n: u8, round: Say| {
            round.call(&format!("ours{turn}_{n}"), "srv__say", &json!({ "n": n }).to_string())
        };
        match self {
            Self::Plain => vec![round(0)],
            Self::OwnTools => vec![own(0), own(1), round(2)],
            Self::Injected => vec![ours(0, round(0)), ours(1, round(1)), round(2)],
            Self::Mixed => vec![ours(0, own(0)), ours(1, round(1)), ours(2, own(2)), round(3)],
        }
    }
}

/// The elements that caches go by: tools, system prompt without the billing line, messages.
fn elements(request: &Value) -> Vec<Value> {
    let of = |key: &str| request[key].as_array().unwrap().clone();
    let system = of("system").into_iter().skip(1);
    let messages = of("messages").into_iter().map(|mut message| {
        if let Some(text) = message["content"].as_str() {
            message["content"] = json!([{"type": "text", "text": text}]);
        }
        message
    });
    of("tools").into_iter().chain(system).chain(messages).map(|element| without_markers(&element)).collect()
}

/// How many leading elements two requests have in common, and how many bytes of their JSON.
fn common(one: &Value, other: &Value) -> (usize, usize) {
    let (one, other) = (elements(one), elements(other));
    let same = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let text = |elements: &[Value]| elements.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    let bytes = text(&one).bytes().zip(text(&other).bytes()).take_while(|(one, other)| one == other).count();
    (same, bytes)
}

/// A client's request with the upstream requests that it led to.
struct Exchange {
    own: Value,
    upstream: Vec<Value>,
}

async fn exchange(world: &World, agent: &mut Agent, number: usize) -> Exchange {
    let billing =
        format!("x-anthropic-billing-header: cc_version=2.1.329.{number:x}; cc_entrypoint=sdk-cli;");
    agent.body["system"][0]["text"] = json!(billing);
    let (own, before) = (agent.request(), world.provider.requests().len());
    agent.send(world).await;
    let upstream: Vec<Value> = world.provider.requests()[before..].iter().map(Received::json).collect();
    for request in &upstream {
        assert_eq!(request["system"], own["system"], "the system prompt was changed");
        assert_eq!(markers(request), markers(&own), "cache markers were added or lost");
    }
    Exchange { own, upstream }
}

fn markers(request: &Value) -> usize {
    request.to_string().matches("cache_control").count()
}

#[tokio::test]
async fn the_prefix_of_a_claude_code_conversation_is_never_shorter_than_the_clients_own() {
    for calls in [Order::AsCame, Order::Last] {
        for restarts in [false, true] {
            let habits = Habits { marks: true, calls, ..Habits::default() };
            let mut agent = Agent::with(Api::Messages, Mode::Streamed, habits)
                .header("x-claude-code-session-id", SESSION)
                .header("user-agent", "claude-cli/2.1.329 (external, sdk-cli)");
            agent.body = claude_code();
            let model = StrictModel::new();
            let builder = World::builder().config(|config| config.settings.inject = Some(Inject::Auto));
            let mut world = builder.server("srv", McpServer::new().echo("say")).start().await;
            world.provider.plays(model.clone());
            let mut exchanges = Vec::new();
            for (turn, kind) in TEN.into_iter().enumerate() {
                let prompt = format!("Turn {turn}, please.");
                model.plan(&prompt, &kind.rounds(turn));
                if turn % 3 == 2 {
                    agent.history.push(json!({"role": "system", "content": format!("Reminder {turn}.")}));
                }
                agent.prompt(&prompt);
                loop {
                    exchanges.push(exchange(&world, &mut agent, exchanges.len()).await);
                    assert_eq!(model.refusals(), [""; 0], "turn {turn} {kind:?}");
                    if agent.open.is_empty() {
                        break;
                    }
                    agent.results();
                }
                if restarts && turn % 4 == 3 {
                    world = world.restart().await;
                }
            }
            check_prefixes(&exchanges);
        }
    }
}

fn check_prefixes(exchanges: &[Exchange]) {
    let hidden = exchanges.iter().filter(|exchange| exchange.upstream.len() > 1).count();
    assert!(hidden >= 5, "too little happened to tell: {hidden}");
    for exchange in exchanges {
        for rounds in exchange.upstream.windows(2) {
            assert_eq!(common(&rounds[0], &rounds[1]).0, elements(&rounds[0]).len(), "from round to round");
        }
    }
    for (number, pair) in exchanges.windows(2).enumerate() {
        let own = common(&pair[0].own, &pair[1].own);
        let (last, first) = (pair[0].upstream.last().unwrap(), &pair[1].upstream[0]);
        let upstream = common(last, first);
        assert!(
            upstream.0 >= own.0 && upstream.1 >= own.1,
            "{number}: {upstream:?}, and the client's own {own:?}"
        );
        assert_eq!(upstream.0, elements(last).len(), "{number}: what had gone up before was changed");
    }
}

/// The injected tools of the newest upstream request, as they stand there.
fn injected(world: &World, agent: &Agent) -> Vec<Value> {
    let request = world.provider.requests().last().unwrap().json();
    let own = agent.body["tools"].as_array().unwrap();
    let mut all = request["tools"].as_array().unwrap().clone();
    let rest = all.split_off(own.len());
    assert_eq!(&all, own, "the client's tools were changed");
    rest
}

fn names(tools: &[Value]) -> Vec<&str> {
    tools.iter().map(|tool| tool["name"].as_str().or(tool["function"]["name"].as_str()).unwrap()).collect()
}

#[tokio::test]
async fn f33_the_tools_of_a_running_conversation_stay_whatever_is_added_or_withdrawn() {
    for (api, mode) in all_forms() {
        for session in [true, false] {
            let mut world =
                World::with(McpServer::new().tool("look", text("seen")).tool("find", text("found"))).await;
            let new = McpServer::new().tool("new", text("new"));
            let url = new.start().await;
            let model = StrictModel::new();
            model.plan("First?", &[say("a1").thinking("Hm.").text("A."), say("never")]);
            world.provider.plays(model.clone());
            let mut agent = Agent::new(api, mode);
            if session {
                agent = agent.header("x-session-id", "s1");
            }
            agent.prompt("First?").send(&world).await;
            let pinned = injected(&world, &agent);
            assert_eq!(names(&pinned), ["srv__find", "srv__look"]);
            world = world
                .restart_with(|config| {
                    config.servers[0].deny = vec![Pattern::parse("look").unwrap()];
                    config.servers.push(server_config("added", url, false));
                })
                .await;
            let rounds =
                [say("b1").call("c1", "srv__look", "{}").call("c2", "srv__find", "{}"), say("b2").text("B.")];
            model.plan("Second?", &rounds);
            agent.prompt("Second?").send(&world).await;
            assert_eq!(model.refusals(), [""; 0], "{api:?} {mode:?} {session}");
            assert_eq!(injected(&world, &agent), pinned, "{api:?} {mode:?} {session}");
            let told = world.provider.requests().last().unwrap().told(api);
            assert!(told[0].is_error && told[1].text == "found", "a withdrawn tool has run: {told:?}");
            let mut another = Agent::new(api, mode);
            model.plan("Someone else.", &[say("n1").text("N.")]);
            another.prompt("Someone else.").send(&world).await;
            assert_eq!(names(&injected(&world, &another)), ["added__new", "srv__find"]);
        }
    }
}

#[tokio::test]
async fn f33_a_server_that_is_away_takes_no_tool_out_of_a_running_conversation() {
    for api in APIS {
        let server = McpServer::new().tool("look", text("seen"));
        let mut world = World::with(server.clone()).await;
        let model = StrictModel::new();
        model.plan("First?", &[say("a1").text("A.")]);
        model.plan("Second?", &[say("b1").call("c1", "srv__look", "{}"), say("b2").text("B.")]);
        world.provider.plays(model.clone());
        let mut agent = Agent::new(api, Mode::Whole);
        agent.prompt("First?").send(&world).await;
        let pinned = injected(&world, &agent);
        server.go_down();
        world = world
            .restart_with(|config| config.servers[0].connect_timeout = std::time::Duration::from_millis(50))
            .await;
        agent.prompt("Second?").send(&world).await;
        assert_eq!(injected(&world, &agent), pinned, "{api:?}");
        let told = world.provider.requests().last().unwrap().told(api);
        assert!(told[0].is_error, "{api:?} {told:?}");
        assert_eq!(model.refusals(), [""; 0]);
    }
}

#[tokio::test]
async fn a_pin_is_its_callers_alone() {
    for api in APIS {
        let builder = World::builder().caller("tg_alice", "alice", &[]).caller("tg_bob", "bob", &[]);
        let mut world = builder.server("srv", McpServer::new().tool("look", text("seen"))).start().await;
        let model = StrictModel::new();
        model.plan("First?", &[say("a1").text("A.")]);
        world.provider.plays(model.clone());
        let mut alice =
            Agent::new(api, Mode::Whole).header("x-api-key", "tg_alice").header("x-session-id", "s");
        alice.prompt("First?").send(&world).await;
        world = world.restart_with(|config| config.servers.clear()).await;
        let mut bob = Agent::new(api, Mode::Whole).header("x-api-key", "tg_bob").header("x-session-id", "s");
        bob.prompt("First?").send(&world).await;
        assert!(injected(&world, &bob).is_empty(), "{api:?}");
    }
}

/// Counts the tokens of what an agent would send.
async fn count(world: &World, agent: &Agent) -> Value {
    let mut body = agent.request();
    for key in ["stream", "max_tokens", "metadata", "context_management"] {
        body.as_object_mut().unwrap().shift_remove(key);
    }
    let headers: Vec<(&str, &str)> =
        agent.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let answer = world.post("/v1/messages/count_tokens", body.to_string(), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let sent = world.provider.requests().pop().unwrap();
    assert_eq!(sent.path, "/v1/messages/count_tokens");
    sent.json()
}

#[tokio::test]
async fn count_tokens_of_a_pinned_conversation_counts_what_would_be_sent() {
    for restarts in [false, true] {
        let model = StrictModel::new();
        let mut world = World::with(McpServer::new().echo("say")).await;
        world.provider.plays(model.clone());
        model.plan("First?", &Kind::Mixed.rounds(0)).plan("Second?", &Kind::Plain.rounds(1));
        let mut agent =
            Agent::with(Api::Messages, Mode::Streamed, Habits { marks: true, ..Habits::default() })
                .header("x-claude-code-session-id", SESSION);
        agent.body = claude_code();
        agent.prompt("First?");
        let own = agent.request();
        let sent = count(&world, &agent).await;
        assert_eq!(
            (&sent["tools"], &sent["messages"]),
            (&own["tools"], &own["messages"]),
            "nothing is pinned yet"
        );
        agent.history.clear();
        agent.turn(&world, "First?").await;
        if restarts {
            world = world.restart().await;
        }
        let counted = count(&world, agent.clone().prompt("Second?")).await;
        agent.prompt("Second?").send(&world).await;
        let sent = world.provider.requests().pop().unwrap().json();
        for key in ["tools", "system", "messages"] {
            assert_eq!(counted[key], sent[key], "{key}, restarts: {restarts}");
        }
        assert_eq!(model.refusals(), [""; 0]);
    }
}

#[tokio::test]
async fn count_tokens_with_other_tools_than_a_conversation_gets_nothing() {
    let model = StrictModel::new();
    let world = World::with(McpServer::new().echo("say")).await;
    world.provider.plays(model.clone());
    model.plan("First?", &Kind::Plain.rounds(0));
    let mut agent = Agent::new(Api::Messages, Mode::Streamed).header("x-claude-code-session-id", SESSION);
    agent.body = claude_code();
    agent.turn(&world, "First?").await;
    for tools in [json!([]), json!([agent.body["tools"][0]])] {
        let mut other = agent.clone();
        other.body["tools"] = tools.clone();
        let sent = count(&world, other.prompt("Second?")).await;
        assert_eq!(sent["tools"], tools);
    }
    let mut bare = agent.clone();
    bare.body.as_object_mut().unwrap().shift_remove("tools");
    assert_eq!(count(&world, bare.prompt("Second?")).await.get("tools"), None);
}
