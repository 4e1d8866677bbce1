//! What is recorded of a request: what was said and done, by whom, in which time, and in which conversation.

use serde_json::{Value, json};
use toolgate::config::{Record as Keep, ServerRecord};
use toolgate::domain::Usage;
use toolgate::store::records::Kept;
use toolgate::store::records::prompts::Role;

use crate::agent::{Agent, Habits, Memory};
use crate::mcp_server::{McpServer, text};
use crate::provider::{Reply, Step};
use crate::record::Record;
use crate::wire::{APIS, Api, Mode, all_forms, say};
use crate::world::World;

fn user_prompts(record: &Record) -> Vec<&str> {
    let prompts = record.prompts.iter().filter(|(role, _)| *role == Role::User);
    prompts.map(|(_, prompt)| prompt.as_str()).collect()
}

/// An answer with the provider's id of the request.
fn with_id(api: Api, reply: Reply, id: &str) -> Reply {
    reply.header(if api == Api::Messages { "request-id" } else { "x-request-id" }, id)
}

#[tokio::test]
async fn f46_results_status_errors_latency_and_what_was_said_are_on_record() {
    for (api, mode) in all_forms() {
        let failing = json!({"content": [{"type": "text", "text": "no birds"}], "isError": true});
        let world = World::with(McpServer::new().tool("look", text("42 birds")).tool("fail", failing)).await;
        let calls =
            say("r1").text("I look.").call("c1", "srv__look", "{}").call("c2", "srv__fail", r#"{"a":1}"#);
        for (say, id) in [(calls, "req_1"), (say("r2").text("Half saw."), "req_2")] {
            world.provider.will(with_id(api, Reply::say(api, mode, &say), id));
        }
        let answer = world.ask(api, &api.request(mode, "How many?", &["mine"])).await;
        let record = world.record(&answer).await;
        assert_eq!(record.outcomes_by_id(), [("c1", "ok"), ("c2", "tool_error")], "{api:?} {mode:?}");
        for (call, result) in record.calls.iter().zip(["42 birds", "no birds"]) {
            let outcome = call.outcome.as_ref().unwrap();
            assert!(outcome.result.as_ref().unwrap().contains(result), "{outcome:?}");
            assert!(outcome.result_bytes.unwrap() >= result.len() as u64 && outcome.duration_us.is_some());
            assert!(
                call.definition.as_ref().unwrap().len() == 64 && call.policy.as_ref().unwrap().len() == 64
            );
        }
        let said: Vec<_> = record.rounds.iter().map(|round| (round.text.as_str(), round.status)).collect();
        assert_eq!(said, [("I look.", Some(200)), ("Half saw.", Some(200))], "{api:?} {mode:?}");
        let stops = match api {
            Api::Messages => ["tool_use", "end_turn"],
            Api::Chat => ["tool_calls", "stop"],
            Api::Responses => ["completed", "completed"],
        };
        for (round, (stop, id)) in record.rounds.iter().zip(stops.iter().zip(["req_1", "req_2"])) {
            assert_eq!((round.stop_reason.as_deref(), round.request_id.as_deref()), (Some(*stop), Some(id)));
            assert!(round.first_byte_us.unwrap() <= round.duration_us.unwrap());
        }
        let end = record.interception.end.as_ref().unwrap();
        let total = end.total_us.unwrap();
        assert!(end.first_byte_us.unwrap() <= total && end.provider_us + end.tools_us <= total, "{end:?}");
        assert!(end.provider_us > 0 && end.tools_us > 0, "{end:?}");
        assert_eq!((end.rounds, end.injected_calls, end.client_calls), (2, 2, 0));
        assert_eq!(end.answered_by.as_deref(), Some("m-1-2026"));
    }
}

#[tokio::test]
async fn f46_of_an_answer_that_breaks_off_is_kept_what_came() {
    for api in APIS {
        let world = World::builder().start().await;
        let frames = api.frames(&say("r1").thinking("Hm.").text("Half a sentence"));
        let until = frames.iter().position(|frame| frame.contains("Half")).unwrap();
        let mut steps: Vec<Step> =
            frames[..=until].iter().map(|frame| Step::Bytes(frame.clone().into())).collect();
        steps.push(Step::Cut);
        world.provider.will(with_id(api, Reply::steps(steps), "req_1"));
        let answer = world.ask(api, &api.request(Mode::Streamed, "Speak", &[])).await;
        let record = world.record(&answer).await;
        assert_eq!(record.outcome(), "failed", "{api:?}");
        let round = &record.rounds[0];
        assert_eq!((round.text.as_str(), round.request_id.as_deref()), ("Half ", Some("req_1")), "{api:?}");
        assert_eq!(round.stop_reason, None);
    }
}

#[tokio::test]
async fn f46_an_error_of_the_providers_is_a_round_with_its_status() {
    for (api, mode) in all_forms() {
        let world = World::builder().start().await;
        world.provider.will(with_id(api, Reply::error(429, r#"{"error":{"message":"slow down"}}"#), "req_9"));
        let answer = world.ask(api, &api.request(mode, "Speak", &[])).await;
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.status()), ("failed", Some(429)));
        assert_eq!(record.error(), "HTTP 429", "what it says is a text, kept and erased like one");
        let [round] = record.rounds.as_slice() else { panic!("{:?}", record.rounds) };
        assert_eq!((round.status, round.request_id.as_deref()), (Some(429), Some("req_9")));
        assert!(round.text.contains("slow down"));
        assert_eq!(round.usage, Usage::default());
    }
}

#[tokio::test]
async fn f46_what_is_passed_on_is_on_record_too() {
    let world = World::builder().start().await;
    let count = r#"{"input_tokens":123}"#;
    world.provider.will(with_id(Api::Messages, Reply::new(200, "application/json", count), "req_1"));
    world.provider.will(Reply::error(400, r#"{"error":{"message":"too odd"}}"#));
    let body = Api::Messages.request(Mode::Whole, "Count me", &[]).to_string();
    let ask = async || world.post("/v1/messages/count_tokens", body.clone(), &[]).await;
    let counted = world.record(&ask().await).await;
    assert_eq!((counted.outcome(), user_prompts(&counted)), ("completed", vec!["Count me"]));
    let round = &counted.rounds[0];
    assert_eq!((round.text.as_str(), round.status), (count, Some(200)));
    assert_eq!(round.request_id.as_deref(), Some("req_1"));
    assert!(round.duration_us.is_some() && counted.interception.end.as_ref().unwrap().provider_us > 0);
    let refused = world.record(&ask().await).await;
    assert_eq!((refused.outcome(), refused.rounds[0].status), ("failed", Some(400)));
    assert_eq!(refused.error(), "HTTP 400");
    assert!(refused.rounds[0].text.contains("too odd"));
}

#[tokio::test]
async fn f47_a_turn_that_carries_results_brings_no_prompt_but_follows_the_one_that_did() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        world.provider.will_say(
            api,
            mode,
            &[
                say("r1").text("Let me.").call("c1", "mine", "{}"),
                say("r2").text("Again.").call("c2", "srv__look", "{}").call("c3", "mine", "{}"),
                say("r3").text("Done."),
                say("r4").text("Really."),
            ],
        );
        let mut agent = Agent::new(api, mode);
        let mut records = Vec::new();
        agent.prompt("First?").send(&world).await;
        records.push(world.record(agent.answer.as_ref().unwrap()).await);
        agent.results().send(&world).await;
        records.push(world.record(agent.answer.as_ref().unwrap()).await);
        agent.results().prompt("Hurry!").send(&world).await;
        records.push(world.record(agent.answer.as_ref().unwrap()).await);
        agent.prompt("Second?").send(&world).await;
        records.push(world.record(agent.answer.as_ref().unwrap()).await);

        let prompts: Vec<_> = records.iter().map(user_prompts).collect();
        assert_eq!(prompts, [vec!["First?"], vec![], vec!["Hurry!"], vec!["Second?"]], "{api:?} {mode:?}");
        for (earlier, later) in records.iter().zip(&records[1..]) {
            assert_eq!(later.interception.start.parent, Some(earlier.id), "{api:?} {mode:?}");
            assert_eq!(later.interception.start.thread, records[0].id);
        }
        assert_eq!(records[0].interception.start.parent, None);
    }
}

#[tokio::test]
async fn who_goes_on_from_a_stored_response_follows_it() {
    let world = World::builder().start().await;
    world.provider.will_say(Api::Responses, Mode::Whole, &[say("r1").text("One."), say("r2").text("Two.")]);
    let mut agent =
        Agent::with(Api::Responses, Mode::Whole, Habits { memory: Memory::Chain, ..Habits::default() });
    agent.prompt("First?").send(&world).await;
    let first = world.record(agent.answer.as_ref().unwrap()).await;
    agent.prompt("Second?").send(&world).await;
    let second = world.record(agent.answer.as_ref().unwrap()).await;
    assert_eq!(second.interception.start.parent, Some(first.id));
    assert_eq!(second.interception.start.thread, first.id);
}

#[tokio::test]
async fn conversations_that_begin_alike_are_two() {
    for (api, mode) in all_forms() {
        let world = World::builder().start().await;
        let answers = [say("r1").text("Hello."), say("r2").text("Hello there."), say("r3").text("Well.")];
        world.provider.will_say(api, mode, &answers);
        let (mut one, mut other) = (Agent::new(api, mode), Agent::new(api, mode));
        let mut records = Vec::new();
        for agent in [&mut one, &mut other] {
            agent.prompt("Hi").send(&world).await;
            records.push(world.record(agent.answer.as_ref().unwrap()).await);
        }
        one.prompt("How are you?").send(&world).await;
        let third = world.record(one.answer.as_ref().unwrap()).await;
        assert_eq!(third.interception.start.thread, records[0].id, "{api:?} {mode:?}");
        assert_eq!(records[1].interception.start.thread, records[1].id, "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn instructions_are_on_record() {
    for (api, field) in [(Api::Messages, "system"), (Api::Responses, "instructions")] {
        let world = World::builder().start().await;
        world.provider.will_say(api, Mode::Whole, &[say("r1").text("Hi.")]);
        let mut request = api.request(Mode::Whole, "Hi", &[]);
        request[field] = json!("Be brief.");
        let record = world.record(&world.ask(api, &request).await).await;
        assert_eq!(record.prompts, [(Role::System, "Be brief.".to_owned()), (Role::User, "Hi".to_owned())]);
    }
}

/// What an API says of the same tokens, some of them read from and written to caches.
fn usage_with_caches(api: Api) -> Value {
    if api == Api::Messages {
        return json!({"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 700,
            "cache_creation_input_tokens": 200,
            "cache_creation": {"ephemeral_5m_input_tokens": 120, "ephemeral_1h_input_tokens": 80},
            "output_tokens_details": {"thinking_tokens": 9}});
    }
    let (input, output) = if api == Api::Chat { ("prompt", "completion") } else { ("input", "output") };
    json!({
        format!("{input}_tokens"): 1000, format!("{output}_tokens"): 50, "total_tokens": 1050,
        format!("{input}_tokens_details"): {"cached_tokens": 700, "cache_write_tokens": 200,
            "cache_write_tokens_details": {"ttl_30m_tokens": 120, "ttl_12h_tokens": 80}},
        format!("{output}_tokens_details"): {"reasoning_tokens": 9},
    })
}

#[tokio::test]
async fn f49_cached_input_is_no_full_input_in_any_api() {
    for (api, mode) in all_forms() {
        let world = World::builder().start().await;
        let usage = usage_with_caches(api);
        let plain = api.whole(&say("r1").text("Hi."));
        let reply = match mode {
            Mode::Whole => {
                let mut whole = plain.clone();
                whole["usage"] = usage;
                Reply::new(200, "application/json", whole.to_string())
            }
            Mode::Streamed => {
                let said = plain["usage"].to_string();
                let said = if api == Api::Messages { r#"{"output_tokens":5}"# } else { &said };
                let frames = api.frames(&say("r1").text("Hi."));
                let last = frames.iter().rposition(|frame| frame.contains(said)).unwrap();
                let with = |(at, frame): (usize, String)| {
                    if at == last { frame.replace(said, &usage.to_string()) } else { frame }
                };
                Reply::stream(frames.into_iter().enumerate().map(with).collect())
            }
        };
        world.provider.will(reply);
        let record = world.record(&world.ask(api, &api.request(mode, "Hi", &[])).await).await;
        let classes = Usage {
            input: 100,
            output: 50,
            cache_read: 700,
            cache_write_short: 120,
            cache_write_long: 80,
            reasoning: 9,
        };
        assert_eq!(record.rounds[0].usage, classes, "{api:?} {mode:?}");
        let end = record.interception.end.as_ref().unwrap();
        assert_eq!((end.input, end.cache_read, end.cache_write, end.reasoning), (100, 700, 200, 9));
    }
}

#[tokio::test]
async fn who_asks_says_with_which_version_as_which_agent_and_under_which_id() {
    let world = World::builder().start().await;
    world.provider.will_say(Api::Messages, Mode::Whole, &[say("r1").text("Hi.")]);
    let headers = [
        ("user-agent", "claude-cli/2.1.329 (external, cli)"),
        ("x-claude-code-session-id", "s-1"),
        ("x-claude-code-agent-id", "a-2"),
        ("x-claude-code-parent-agent-id", "a-1"),
        ("x-client-request-id", "q-1"),
    ];
    let request = Api::Messages.request(Mode::Whole, "Hi", &[]).to_string();
    let start = world.record(&world.post("/v1/messages", request, &headers).await).await.interception.start;
    assert_eq!((start.client.as_str(), start.client_version.as_deref()), ("claude-code", Some("2.1.329")));
    assert_eq!(start.client_session.as_deref(), Some("s-1"));
    assert_eq!((start.agent.as_deref(), start.parent_agent.as_deref()), (Some("a-2"), Some("a-1")));
    assert_eq!((start.request_id.as_deref(), start.policy.len()), (Some("q-1"), 64));
}

#[tokio::test]
async fn what_is_kept_of_a_text_is_what_its_provider_server_or_tool_says() {
    let world = World::builder()
        .server("srv", McpServer::new().echo("echo").echo("hush"))
        .tune(|server| {
            let hush = (toolgate::config::Pattern::parse("hush").unwrap(), Keep::Digest);
            server.record = ServerRecord { default: Some(Keep::Redacted), tools: vec![hush] };
        })
        .config(|config| config.audit.record = Keep::None)
        .start()
        .await;
    let arguments = r#"{"to":"ada@example.com"}"#;
    let calls =
        say("r1").text("I ask.").call("c1", "srv__echo", arguments).call("c2", "srv__hush", arguments);
    world.provider.will_say(Api::Messages, Mode::Whole, &[calls, say("r2").text("Done.")]);
    let record =
        world.record(&world.ask(Api::Messages, &Api::Messages.request(Mode::Whole, "Ask", &[])).await).await;
    let [echo, hush] = record.calls.as_slice() else { panic!("{:?}", record.calls) };
    assert_eq!((echo.arguments.as_str(), echo.body.kept), (r#"{"to":"[email]"}"#, Kept::Redacted));
    let result = echo.outcome.as_ref().unwrap().result.as_ref().unwrap();
    assert!(result.contains("[email]") && !result.contains("ada@"), "{result}");
    assert_eq!((hush.arguments.as_str(), hush.body.kept, hush.body.id.is_some()), ("", Kept::Digest, true));
    assert_eq!(hush.body.bytes, arguments.len() as u64);
    assert!(record.prompts.iter().all(|(_, text)| text.is_empty()));
    let round = &record.rounds[0];
    assert_eq!((round.text.as_str(), round.body.kept, round.body.bytes), ("", Kept::None, 6));
}
