//! F59 and F62: agents send a turn again when its answer was cut, also as a whole after a stream. What ran once
//! does not run again, and the second answer has all that the first one had.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate::domain::Repeat;

use crate::agent::Agent;
use crate::client::{Answer, patiently};
use crate::expected::{expected, spelled};
use crate::mcp_server::McpServer;
use crate::provider::{Gate, Reply, Step};
use crate::strict_model::INJECTED;
use crate::wire::{APIS, Api, MODES, Mode, Say, all_forms, say};
use crate::world::World;

/// How the gateway is told that a request is the same one again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Session,
    RetryCount,
    /// By nothing but that the first answer was cut.
    None,
}

impl Sign {
    fn headers(self, again: bool) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Session => vec![("x-session-id", "s1")],
            Self::RetryCount if again => vec![("x-stainless-retry-count", "1")],
            Self::RetryCount => vec![("x-stainless-retry-count", "0")],
            Self::None => Vec::new(),
        }
    }
}

/// Each API, with the deliveries of the first request and of the second.
fn forms() -> impl Iterator<Item = (Api, Mode, Mode)> {
    all_forms().flat_map(|(api, first)| MODES.into_iter().map(move |second| (api, first, second)))
}

/// Each form with a session, and for each API the other signs.
fn cases() -> impl Iterator<Item = (Api, Mode, Mode, Sign)> {
    let others = |api| [Sign::RetryCount, Sign::None].map(|sign| (api, Mode::Streamed, Mode::Streamed, sign));
    forms()
        .map(|(api, first, second)| (api, first, second, Sign::Session))
        .chain(APIS.into_iter().flat_map(others))
}

/// The model writes down what it was told, in one call, and says so.
fn rounds() -> [Say; 2] {
    [
        say("r1").thinking("I write.").text("Writing it down.").call("c1", "srv__write", r#"{"n":1}"#),
        say("r2").thinking("I wrote.").text("It is written."),
    ]
}

fn body(api: Api, mode: Mode) -> Value {
    let mut body = api.request(mode, "Write it down.", &["mine"]);
    if api == Api::Responses {
        body["include"] = json!(["reasoning.encrypted_content"]);
    }
    body
}

/// Asks, and is gone at this moment, before the answer is complete.
async fn leave(world: &World, api: Api, mode: Mode, sign: Sign, moment: impl Future<Output = ()>) {
    let headers = sign.headers(false);
    let asking = world.post(api.path(), body(api, mode).to_string(), &headers);
    tokio::select! {
        answer = asking => panic!("the answer was complete: {}", answer.body),
        () = moment => {}
    }
}

async fn again(world: &World, api: Api, mode: Mode, sign: Sign) -> Answer {
    let headers = sign.headers(true);
    patiently("the second answer", world.post(api.path(), body(api, mode).to_string(), &headers)).await
}

fn check_complete(api: Api, mode: Mode, answer: &Answer, rounds: &[Say]) {
    let complete = expected(api, rounds, |name| name.starts_with(INJECTED));
    assert_eq!(spelled(answer.message(api, mode)), spelled(complete), "{api:?} {mode:?}");
}

/// The second request's record says what it goes on with.
async fn check_records(world: &World, answer: &Answer) {
    let (first, second) = (world.first_record().await, world.record(answer).await);
    assert_eq!(second.interception.start.repeats, Some(first.id));
    assert_eq!((second.call_outcomes(), second.outcome()), (vec!["reused"], "completed"));
    assert_eq!(first.call_outcomes(), ["ok"]);
    assert_eq!(first.interception.start.repeats, None);
}

/// A stream that stops in the middle of its text, or a whole answer that never comes.
fn half(api: Api, mode: Mode, say: &Say) -> Vec<Step> {
    match mode {
        Mode::Whole => Vec::new(),
        Mode::Streamed => {
            let frames = api.frames(say);
            let text =
                frames.iter().position(|frame| frame.contains(&say.text[0].trim_end().to_owned())).unwrap();
            frames.into_iter().take(text + 1).map(|frame| Step::Bytes(frame.into())).collect()
        }
    }
}

fn hangs(api: Api, mode: Mode, say: &Say) -> Reply {
    unfinished(api, mode, say, Step::Hang)
}

fn cut(api: Api, mode: Mode, say: &Say) -> Reply {
    unfinished(api, mode, say, Step::Cut)
}

fn unfinished(api: Api, mode: Mode, say: &Say, last: Step) -> Reply {
    let mut steps = half(api, mode, say);
    steps.push(last);
    let content_type = if mode == Mode::Streamed { "text/event-stream" } else { "application/json" };
    Reply::steps(steps).header("content-type", content_type)
}

#[tokio::test]
async fn f59_a_client_that_left_before_any_call_begins_anew() {
    for (api, first, second) in forms() {
        let server = McpServer::new().echo("write");
        let world = World::with(server.clone()).await;
        let [one, two] = rounds();
        world.provider.will(hangs(api, first, &one));
        leave(&world, api, first, Sign::Session, world.provider.arrived(1)).await;
        world.first_record().await;
        world.provider.will_say(api, second, &[one.clone(), two.clone()]);
        let answer = again(&world, api, second, Sign::Session).await;
        check_complete(api, second, &answer, &[one, two]);
        assert_eq!(server.calls().len(), 1, "{api:?} {first:?} {second:?}");
        assert_eq!(world.provider.requests().len(), 3);
    }
}

#[tokio::test]
async fn f59_a_call_that_still_runs_is_joined() {
    for (api, first, second) in forms() {
        for sign in [Sign::Session, Sign::RetryCount] {
            let gate = Gate::new();
            let server = McpServer::new().gated("write", &gate);
            let world = World::with(server.clone()).await;
            let [one, two] = rounds();
            world.provider.will_say(api, first, std::slice::from_ref(&one));
            leave(&world, api, first, sign, server.arrived(1)).await;
            world.provider.will_say(api, second, std::slice::from_ref(&two));
            let opening = async {
                // The second request has come, and nothing has gone up for it.
                world.admitted(2).await;
                assert_eq!(world.provider.requests().len(), 1);
                gate.open();
            };
            let (answer, ()) = futures::future::join(again(&world, api, second, sign), opening).await;
            check_complete(api, second, &answer, &[one, two]);
            assert_eq!(server.calls().len(), 1, "{api:?} {first:?} {second:?} {sign:?}");
            assert_eq!(world.provider.requests().len(), 2);
            check_records(&world, &answer).await;
        }
    }
}

#[tokio::test]
async fn f59_a_call_that_has_ended_since_is_not_run_again() {
    for (api, first, second, sign) in cases() {
        let gate = Gate::new();
        let server = McpServer::new().gated("write", &gate);
        let world = World::with(server.clone()).await;
        let [one, two] = rounds();
        world.provider.will_say(api, first, std::slice::from_ref(&one));
        leave(&world, api, first, sign, server.arrived(1)).await;
        gate.open();
        assert_eq!(world.first_record().await.outcome(), "cancelled");
        world.provider.will_say(api, second, std::slice::from_ref(&two));
        let answer = again(&world, api, second, sign).await;
        check_complete(api, second, &answer, &[one, two]);
        assert_eq!(server.calls().len(), 1, "{api:?} {first:?} {second:?} {sign:?}");
        check_records(&world, &answer).await;
    }
}

#[tokio::test]
async fn f59_a_client_that_left_in_the_second_round_gets_both_without_a_second_call() {
    for (api, first, second, sign) in cases() {
        let server = McpServer::new().echo("write");
        let world = World::with(server.clone()).await;
        let [one, two] = rounds();
        world.provider.will_say(api, first, std::slice::from_ref(&one)).will(hangs(api, first, &two));
        leave(&world, api, first, sign, world.provider.arrived(2)).await;
        world.first_record().await;
        world.provider.will_say(api, second, std::slice::from_ref(&two));
        let answer = again(&world, api, second, sign).await;
        check_complete(api, second, &answer, &[one, two]);
        let requests = world.provider.requests();
        assert_eq!((server.calls().len(), requests.len()), (1, 3), "{api:?} {first:?} {second:?} {sign:?}");
        let history = |at: usize| requests[at].history(api);
        assert_eq!(history(1), history(2), "the second round was asked for in other words");
        check_records(&world, &answer).await;
    }
}

/// The ways in which a provider fails in a round.
fn failures(api: Api, mode: Mode, say: &Say) -> Vec<Reply> {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","code":null,"param":null}}"#;
    let mut failures = vec![cut(api, mode, say), Reply::error(529, overloaded)];
    if mode == Mode::Streamed {
        let mut steps = half(api, mode, say);
        let event = match api {
            Api::Messages => format!("event: error\ndata: {overloaded}\n\n"),
            Api::Chat => format!("data: {overloaded}\n\n"),
            Api::Responses => {
                "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\"message\":\"Overloaded\",\"param\":null,\"sequence_number\":9}\n\n".to_owned()
            }
        };
        steps.push(Step::Bytes(event.into()));
        failures.push(Reply::steps(steps));
    }
    failures
}

#[tokio::test]
async fn f59_a_provider_that_fails_in_the_second_round_makes_no_call_run_twice() {
    for (api, first, second, sign) in cases() {
        for (number, failure) in failures(api, first, &rounds()[1]).into_iter().enumerate() {
            let server = McpServer::new().echo("write");
            let world = World::with(server.clone()).await;
            let [one, two] = rounds();
            world.provider.will_say(api, first, std::slice::from_ref(&one)).will(failure);
            let headers = sign.headers(false);
            let broken = world.post(api.path(), body(api, first).to_string(), &headers).await;
            assert!(broken.status >= 400 || broken.body.contains("error"), "{}", broken.body);
            world.provider.will_say(api, second, std::slice::from_ref(&two));
            let answer = again(&world, api, second, sign).await;
            let case = format!("{api:?} {first:?} {second:?} {sign:?} {number}");
            assert_eq!((server.calls().len(), world.provider.requests().len()), (1, 3), "{case}");
            check_complete(api, second, &answer, &[one, two]);
            check_records(&world, &answer).await;
        }
    }
}

#[tokio::test]
async fn f59_each_round_that_was_complete_counts() {
    for (api, first, second) in forms() {
        let server = McpServer::new().echo("write");
        let world = World::with(server.clone()).await;
        let call = |n: u8| {
            say(&format!("r{n}")).text(&format!("Step {n}.")).call(
                &format!("c{n}"),
                "srv__write",
                &json!({ "n": n }).to_string(),
            )
        };
        let rounds = [call(1), call(2), call(3), say("r4").text("All steps done.")];
        world.provider.will_say(api, first, &rounds[..2]).will(hangs(api, first, &rounds[2]));
        leave(&world, api, first, Sign::Session, world.provider.arrived(3)).await;
        world.first_record().await;
        // The second time breaks off too.
        world.provider.will_say(api, second, &rounds[2..3]).will(cut(api, second, &rounds[3]));
        again(&world, api, second, Sign::Session).await.failure(api);
        world.provider.will_say(api, first, &rounds[3..]);
        let answer = again(&world, api, first, Sign::Session).await;
        check_complete(api, first, &answer, &rounds);
        let nonces: Vec<Value> =
            server.calls().into_iter().map(|(_, arguments)| arguments["n"].clone()).collect();
        assert_eq!(nonces, [1, 2, 3], "{api:?} {first:?} {second:?}");
        let record = world.record(&answer).await;
        assert_eq!(record.outcomes_by_id(), [("c1", "reused"), ("c2", "reused"), ("c3", "reused")]);
        let told: Vec<String> =
            world.provider.requests().last().unwrap().told(api).into_iter().map(|told| told.text).collect();
        assert_eq!(told, [r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#]);
    }
}

#[tokio::test]
async fn f59_a_mixed_turn_that_was_cut_is_whole_the_second_time() {
    for (api, first, second) in forms() {
        let gate = Gate::new();
        let server = McpServer::new().gated("write", &gate);
        let world = World::with(server.clone()).await;
        let mixed = say("r1").text("Both.").call("c1", "srv__write", "{}").call("c2", "mine", r#"{"a":1}"#);
        world.provider.will_say(api, first, std::slice::from_ref(&mixed));
        leave(&world, api, first, Sign::Session, server.arrived(1)).await;
        gate.open();
        world.first_record().await;
        let answer = again(&world, api, second, Sign::Session).await;
        check_complete(api, second, &answer, &[mixed]);
        assert_eq!(
            (server.calls().len(), world.provider.requests().len()),
            (1, 1),
            "{api:?} {first:?} {second:?}"
        );
    }
}

#[tokio::test]
async fn f62_after_a_cut_stream_the_whole_answer_is_kept_for_the_next_turn() {
    for api in APIS {
        let server = McpServer::new().echo("write");
        let world = World::with(server.clone()).await;
        let [one, two] = rounds();
        world.provider.will_say(api, Mode::Streamed, std::slice::from_ref(&one)).will(cut(
            api,
            Mode::Streamed,
            &two,
        ));
        let mut agent = Agent::new(api, Mode::Streamed).header("x-session-id", "s1");
        agent.prompt("Write it down.").ask(&world).await.failure(api);
        world.provider.will_say(api, Mode::Whole, std::slice::from_ref(&two));
        agent.mode = Mode::Whole;
        agent.body.as_object_mut().unwrap().shift_remove("stream");
        agent.send(&world).await;
        world.provider.will_say(api, Mode::Whole, &[say("r3").text("Yes.")]);
        agent.prompt("Is it?").send(&world).await;
        let told = world.provider.requests().last().unwrap().told(api);
        assert_eq!(told.len(), 1, "{api:?}: what ran is not in the next turn's history");
        assert_eq!((told[0].text.as_str(), server.calls().len()), (r#"{"n":1}"#, 1));
    }
}

#[tokio::test]
async fn f59_with_a_sign_of_a_repeat_a_complete_answer_runs_nothing_again_either() {
    for (api, first, second) in forms() {
        for sign in [Sign::Session, Sign::RetryCount] {
            let server = McpServer::new().echo("write");
            let world = World::with(server.clone()).await;
            let [one, two] = rounds();
            world.provider.will_say(api, first, &[one.clone(), two.clone()]);
            let headers = sign.headers(false);
            let answer = world.post(api.path(), body(api, first).to_string(), &headers).await;
            check_complete(api, first, &answer, &[one.clone(), two.clone()]);
            world.provider.will_say(api, second, std::slice::from_ref(&two));
            let answer = again(&world, api, second, sign).await;
            check_complete(api, second, &answer, &[one, two]);
            assert_eq!(server.calls().len(), 1, "{api:?} {first:?} {second:?} {sign:?}");
        }
    }
}

#[tokio::test]
async fn two_equal_requests_without_a_sign_of_a_repeat_both_run() {
    for (api, mode) in all_forms() {
        let gate = Gate::new();
        let server = McpServer::new().gated("write", &gate);
        let world = World::with(server.clone()).await;
        // One after the other.
        for number in 1..=2 {
            world.provider.will_say(api, mode, &rounds());
            gate.open();
            let answer = world.ask(api, &body(api, mode)).await;
            check_complete(api, mode, &answer, &rounds());
            let record = world.record(&answer).await;
            assert_eq!(
                (server.calls().len(), record.interception.start.repeats),
                (number, None),
                "{api:?} {mode:?}"
            );
        }
        // Side by side.
        world.provider.will_say(api, mode, &[rounds()[0].clone(), rounds()[0].clone()]);
        let (one, two) = (body(api, mode), body(api, mode));
        let both = async {
            patiently("both calls", server.arrived(4)).await;
            world.provider.will_say(api, mode, &[rounds()[1].clone(), rounds()[1].clone()]);
            gate.open();
            gate.open();
            patiently("the provider", world.provider.arrived(7)).await;
            gate.open();
        };
        let (one, two, ()) = tokio::join!(world.ask(api, &one), world.ask(api, &two), both);
        check_complete(api, mode, &one, &rounds());
        check_complete(api, mode, &two, &rounds());
    }
}

#[tokio::test]
async fn another_caller_conversation_or_body_is_no_repeat() {
    for (api, mode) in all_forms() {
        let others = [
            ("tg_bob", "s1", "temperature", json!(1)),
            ("tg_alice", "s2", "temperature", json!(1)),
            ("tg_alice", "s1", "temperature", json!(0.5)),
            ("tg_alice", "s1", "model", json!("m-2")),
        ];
        for (key, session, field, value) in others {
            let server = McpServer::new().echo("write");
            let builder = World::builder().caller("tg_alice", "alice", &[]).caller("tg_bob", "bob", &[]);
            let world = builder.server("srv", server.clone()).start().await;
            world.provider.will_say(api, mode, &rounds()[..1]).will(cut(api, mode, &rounds()[1]));
            let alice = [("x-api-key", "tg_alice"), ("x-session-id", "s1")];
            let mut request = body(api, mode);
            request["temperature"] = json!(1);
            world.post(api.path(), request.to_string(), &alice).await.failure(api);
            world.provider.will_say(api, mode, &rounds());
            request[field] = value;
            let headers = [("x-api-key", key), ("x-session-id", session)];
            let answer = world.post(api.path(), request.to_string(), &headers).await;
            check_complete(api, mode, &answer, &rounds());
            assert_eq!(server.calls().len(), 2, "{api:?} {mode:?}: {key} {session} {field}");
            assert_eq!(world.record(&answer).await.interception.start.repeats, None);
        }
    }
}

#[tokio::test]
async fn after_the_window_a_request_is_a_new_one() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().echo("write");
        let builder = World::builder().config(|config| config.continuity.repeat_window = Duration::ZERO);
        let world = builder.server("srv", server.clone()).start().await;
        world.provider.will_say(api, mode, &rounds()[..1]).will(cut(api, mode, &rounds()[1]));
        let headers = Sign::Session.headers(false);
        let first = world.post(api.path(), body(api, mode).to_string(), &headers).await;
        first.failure(api);
        // What runs is joined at any time.
        world.record(&first).await;
        world.provider.will_say(api, mode, &rounds());
        let answer = again(&world, api, mode, Sign::Session).await;
        check_complete(api, mode, &answer, &rounds());
        assert_eq!(server.calls().len(), 2, "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn a_server_whose_calls_may_run_again_has_them_run_again() {
    for (api, first, second) in forms() {
        let (once, often) = (McpServer::new().echo("write"), McpServer::new().echo("write"));
        let world = World::builder()
            .server("once", once.clone())
            .server("often", often.clone())
            .tune(|server| {
                if server.name == "often" {
                    server.repeat = Repeat::Rerun;
                }
            })
            .start()
            .await;
        let rounds = [
            say("r1").text("Writing.").call("c1", "once__write", r#"{"n":1}"#).call(
                "c2",
                "often__write",
                r#"{"n":2}"#,
            ),
            say("r2").text("Written."),
        ];
        world.provider.will_say(api, first, &rounds[..1]).will(cut(api, first, &rounds[1]));
        let headers = Sign::Session.headers(false);
        world.post(api.path(), body(api, first).to_string(), &headers).await.failure(api);
        world.provider.will_say(api, second, &rounds[1..]);
        let answer = again(&world, api, second, Sign::Session).await;
        let message = answer.message(api, second);
        assert!(message.texts.concat().ends_with("Written.") && message.calls.is_empty(), "{message:?}");
        assert_eq!((once.calls().len(), often.calls().len()), (1, 2), "{api:?} {first:?} {second:?}");
        assert_eq!(world.record(&answer).await.outcomes_by_id(), [("c1", "reused"), ("c2", "ok")]);
    }
}

/// Where the first answer breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    /// The client leaves while the call runs, which ends later.
    InTheCall,
    /// The client leaves in the second round.
    InRoundTwo,
    /// The provider breaks off in the second round.
    ByProvider,
}

/// Breaks off an answer whose first round was shown to the client.
async fn break_off(world: &World, server: &McpServer, gate: &Gate, agent: &Agent, moment: Break) {
    let (api, [one, two]) = (agent.api, rounds());
    world.provider.will_say(api, Mode::Streamed, std::slice::from_ref(&one));
    let asking = agent.ask(world);
    match moment {
        Break::InTheCall => {
            tokio::select! {
                _ = asking => panic!("the answer was complete"),
                () = server.arrived(1) => {}
            }
        }
        Break::InRoundTwo => {
            gate.open();
            world.provider.will(hangs(api, Mode::Streamed, &two));
            tokio::select! {
                _ = asking => panic!("the answer was complete"),
                () = world.provider.arrived(2) => {}
            }
            world.first_record().await;
        }
        Break::ByProvider => {
            gate.open();
            world.provider.will(cut(api, Mode::Streamed, &two));
            asking.await.failure(api);
        }
    }
}

#[tokio::test]
async fn f59_a_client_that_goes_on_from_what_it_saw_of_a_cut_answer_runs_nothing_again() {
    let resume = "Your response above was cut off mid-stream. Resume directly from where it stops.";
    for (api, says_so) in [(Api::Messages, true), (Api::Responses, false), (Api::Responses, true)] {
        for moment in [Break::InTheCall, Break::InRoundTwo, Break::ByProvider] {
            let gate = Gate::new();
            let server = McpServer::new().gated("write", &gate);
            let world = World::with(server.clone()).await;
            let mut agent = Agent::new(api, Mode::Streamed).header("x-session-id", "s1");
            agent.prompt("Write it down.");
            break_off(&world, &server, &gate, &agent, moment).await;
            // Claude Code and Codex keep the whole blocks and items that they saw.
            let [one, _] = rounds();
            let whole = api.whole(&one);
            match api {
                Api::Messages => {
                    let blocks = &whole["content"].as_array().unwrap()[..2];
                    agent.history.push(json!({"role": "assistant", "content": blocks}));
                }
                _ => agent.history.extend(whole["output"].as_array().unwrap()[..2].to_vec()),
            }
            if says_so {
                agent.prompt(resume);
            }
            world.provider.will_say(api, Mode::Streamed, &[say("r3").text("It is written.")]);
            let (message, ()) = futures::future::join(agent.send(&world), async { gate.open() }).await;
            assert!(message.texts.concat().ends_with("It is written."), "{message:?}");
            assert_eq!(server.calls().len(), 1, "{api:?} {moment:?}");
            let request = world.provider.requests().pop().unwrap();
            let told: Vec<_> = request.told(api).into_iter().map(|told| (told.id, told.text)).collect();
            assert_eq!(told, [("c1".to_owned(), "write".to_owned())], "{api:?} {moment:?}");
            // And it stays so in the next turn.
            world.provider.will_say(api, Mode::Streamed, &[say("r4").text("Yes.")]);
            agent.prompt("Is it?").send(&world).await;
            let request = world.provider.requests().pop().unwrap();
            assert_eq!(request.told(api).len(), 1, "{api:?} {moment:?}: forgotten in the next turn");
        }
    }
}
