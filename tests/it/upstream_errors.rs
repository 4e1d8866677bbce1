//! What the client gets when the provider refuses, breaks off or makes no sense.

use serde_json::{Value, json};
use toolgate::config::ProviderKind;

use crate::client::{Answer, ApiError};
use crate::mcp_server::{McpServer, text};
use crate::provider::{Reply, Step};
use crate::wire::{APIS, Api, Mode, Say, all_forms, named, say, unnamed};
use crate::world::{World, configured};

fn birds() -> McpServer {
    McpServer::new().tool("look", text("42 birds"))
}

fn calling() -> Say {
    say("r1").text("Let me look.").call("c1", "srv__look", "{}").tokens(100, 11)
}

/// A world whose provider calls the tool in round 1 and gives this answer in round 2, and what came of it.
async fn in_round_two(api: Api, mode: Mode, second: Reply) -> (World, McpServer, Answer) {
    let server = birds();
    let world = World::with(server.clone()).await;
    world.provider.will_say(api, mode, &[calling()]);
    world.provider.will(second);
    let answer = world.ask(api, &api.request(mode, "How many birds?", &["mine"])).await;
    (world, server, answer)
}

/// The interception failed after round 1, whose tool ran once and whose tokens are kept.
async fn assert_failed_once(world: &World, server: &McpServer, answer: &Answer) {
    assert_eq!((server.calls().len(), world.provider.requests().len()), (1, 2), "{}", answer.body);
    let record = world.record(answer).await;
    assert_eq!((record.outcome(), record.call_outcomes()), ("failed", vec!["ok"]), "{}", answer.body);
    assert!(!record.error().is_empty());
    assert_eq!((&*record.rounds[0].response_id, record.rounds[0].usage.output), ("r1", 11));
}

#[tokio::test]
async fn f10_a_refused_connection_is_a_502() {
    for (api, mode) in all_forms() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let world = World::builder().server("srv", birds()).config(|config| {
            config.providers = vec![
                configured("anthropic", ProviderKind::Anthropic, format!("http://{closed}")),
                configured("openai", ProviderKind::OpenAi, format!("http://{closed}/v1")),
            ];
        });
        let world = world.start().await;
        let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (502, None), "{api:?} {mode:?}");
        let ApiError { kind, message } = answer.failure(api);
        assert_eq!(kind, if api == Api::Messages { "api_error" } else { "bad_gateway" });
        assert!(
            message.contains("could not be reached") && !message.contains(&closed.to_string()),
            "{message}"
        );
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.status()), ("failed", Some(502)));
    }
}

#[tokio::test]
async fn f10_an_answer_without_a_byte_is_a_502() {
    for (api, mode) in all_forms() {
        let kind = if mode == Mode::Streamed { "text/event-stream" } else { "application/json" };
        let empty = || Reply::new(200, kind, "");
        let cut = || Reply::steps(vec![Step::Cut]);
        for reply in [empty(), cut()] {
            let world = World::with(birds()).await;
            world.provider.will(reply);
            let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
            assert_eq!(answer.status, 502, "{api:?} {mode:?}: {}", answer.body);
            answer.failure(api);
            assert_eq!(world.record(&answer).await.outcome(), "failed", "{api:?} {mode:?}");
        }
    }
}

#[tokio::test]
async fn f13_an_incomplete_later_round_ends_the_turn() {
    for (api, mode) in all_forms() {
        let stop = match api {
            Api::Messages => "max_tokens",
            Api::Chat => "length",
            Api::Responses => "incomplete",
        };
        let second = say("r2").text("Half a").call("c2", "srv__look", "{}").stop(stop);
        let (world, server, answer) = in_round_two(api, mode, Reply::say(api, mode, &second)).await;
        let message = answer.message(api, mode);
        assert_eq!((&*message.stop, message.calls.len()), (stop, 0), "{api:?} {mode:?}");
        assert_eq!((server.calls().len(), world.provider.requests().len()), (1, 2), "{api:?} {mode:?}");
        let record = world.record(&answer).await;
        assert_eq!(record.call_outcomes(), ["ok", "not_executed"], "{api:?} {mode:?}");
        assert_eq!(record.interception.end.unwrap().stop_reason.as_deref(), Some(stop));
    }
}

#[tokio::test]
async fn f13_a_broken_later_round_runs_no_tool_again() {
    for api in APIS {
        let frames = api.frames(&say("r2").text("Half a sentence").call("c2", "srv__look", "{}"));
        let steps = frames.into_iter().take(5).map(|frame| Step::Bytes(frame.into())).chain([Step::Cut]);
        let (world, server, answer) = in_round_two(api, Mode::Streamed, Reply::steps(steps.collect())).await;
        assert_failed_once(&world, &server, &answer).await;
        let message = answer.failure(api).message;
        assert!(message.contains("broke off"), "{api:?}: {message}");
    }
}

#[tokio::test]
async fn f13_a_failed_response_is_a_failure() {
    for mode in [Mode::Streamed, Mode::Whole] {
        for round in [1, 2] {
            let mut failed = Api::Responses.whole(&say("r2").text("Half a").stop("failed"));
            failed["error"] = json!({"code": "server_error", "message": "the model fell over"});
            let reply = match mode {
                Mode::Whole => Reply::new(200, "application/json", failed.to_string()),
                Mode::Streamed => {
                    let mut frames = Api::Responses.frames(&say("r2").text("Half a").stop("failed"));
                    let number = frames.len() - 1;
                    frames.pop();
                    frames.push(named(
                        &json!({"type": "response.failed", "response": failed, "sequence_number": number}),
                    ));
                    Reply::stream(frames)
                }
            };
            if round == 2 {
                let (world, server, answer) = in_round_two(Api::Responses, mode, reply).await;
                assert_eq!(answer.message(Api::Responses, mode).stop, "failed");
                assert!(answer.body.contains("the model fell over"));
                assert_failed_once(&world, &server, &answer).await;
            } else {
                let world = World::with(birds()).await;
                world.provider.will(reply);
                let answer = world.ask(Api::Responses, &Api::Responses.request(mode, "Hi", &["mine"])).await;
                assert_eq!(answer.message(Api::Responses, mode).stop, "failed");
                let record = world.record(&answer).await;
                let error = "the provider's answer ended in an error: server_error";
                assert_eq!((record.outcome(), record.error()), ("failed", error), "{mode:?}");
                let [round] = record.rounds.as_slice() else { panic!("{:?}", record.rounds) };
                assert!(round.text.contains("the model fell over"), "{}", round.text);
            }
        }
    }
}

/// Odd spacing, unknown fields and characters that a second serialisation would change.
const ERROR_BODY: &str =
    "{\"type\":\"error\",  \"error\":{\"type\":\"odd_error\",\"message\":\"No \\u00e9\",\"x\":1.50}}\n";

#[tokio::test]
async fn f15_an_error_before_the_first_byte_stays_as_it_is() {
    for (api, mode) in all_forms() {
        let world = World::with(birds()).await;
        let table = [
            (400, Some("false")),
            (401, Some("false")),
            (403, Some("false")),
            (404, Some("false")),
            (413, Some("false")),
            (422, Some("false")),
            (408, None),
            (409, None),
            (429, None),
            (500, None),
            (503, None),
            (529, None),
        ];
        for (asked, (status, told)) in (1..).zip(table) {
            let reply = Reply::error(status, ERROR_BODY)
                .header("request-id", "req_1")
                .header("retry-after", "7")
                .header("anthropic-ratelimit-tokens-remaining", "5")
                .header("set-cookie", "session=1");
            world.provider.will(reply);
            let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
            assert_eq!((answer.status, &*answer.body), (status, ERROR_BODY), "{api:?} {mode:?}");
            assert_eq!(answer.header("x-should-retry"), told, "{api:?} {mode:?} {status}");
            let passed = ["request-id", "retry-after", "anthropic-ratelimit-tokens-remaining", "set-cookie"]
                .map(|name| answer.header(name));
            assert_eq!(passed, [Some("req_1"), Some("7"), Some("5"), None]);
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), record.status()), ("failed", Some(status)));
            assert!(record.error().contains("odd_error"), "{}", record.error());
            assert_eq!(world.provider.requests().len(), asked, "an error is retried");
        }
    }
}

#[tokio::test]
async fn f15_the_providers_own_word_on_retries_stands() {
    let world = World::with(birds()).await;
    world.provider.will(Reply::error(400, ERROR_BODY).header("x-should-retry", "true"));
    let answer = world.ask(Api::Messages, &Api::Messages.request(Mode::Whole, "Hi", &[])).await;
    assert_eq!(answer.header("x-should-retry"), Some("true"));
}

#[tokio::test]
async fn f15_streams_carry_the_first_rounds_headers_and_whole_answers_the_last_rounds() {
    for (api, mode) in all_forms() {
        let server = birds();
        let world = World::with(server).await;
        let rounds = [calling(), say("r2").text("Done.")];
        for (round, id) in rounds.iter().zip(["req_1", "req_2"]) {
            world.provider.will(
                Reply::say(api, mode, round)
                    .header("request-id", id)
                    .header("x-unknown", "stays")
                    .header("set-cookie", "a=b"),
            );
        }
        let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
        answer.message(api, mode);
        let expected = if mode == Mode::Streamed { "req_1" } else { "req_2" };
        assert_eq!(answer.header("request-id"), Some(expected), "{api:?} {mode:?}");
        assert_eq!((answer.header("x-unknown"), answer.header("set-cookie")), (Some("stays"), None));
    }
}

#[tokio::test]
async fn f20_an_answer_over_the_limit_ends_in_an_error() {
    for (api, mode) in all_forms() {
        let world = World::builder().config(|config| config.limits.max_answer_bytes = 2000).start().await;
        world.provider.will(Reply::say(api, mode, &say("r1").text(&"word ".repeat(800))));
        let answer = world.ask(api, &api.request(mode, "Speak", &[])).await;
        assert!(answer.failure(api).message.contains("larger than 2000 bytes"), "{api:?} {mode:?}");
        assert_eq!(world.record(&answer).await.outcome(), "failed");
    }
}

#[tokio::test]
async fn an_error_status_in_a_later_round() {
    for (api, mode) in all_forms() {
        let reply = Reply::error(529, ERROR_BODY).header("request-id", "req_2");
        let (world, server, answer) = in_round_two(api, mode, reply).await;
        if mode == Mode::Streamed {
            let message = answer.failure(api).message;
            assert!(message.contains("529") && message.contains("round 2"), "{api:?}: {message}");
            assert!(answer.body.contains("\"Let "), "{}", answer.body);
        } else {
            assert_eq!((answer.status, &*answer.body), (529, ERROR_BODY), "{api:?}");
            assert_eq!(
                (answer.header("request-id"), answer.header("x-should-retry")),
                (Some("req_2"), Some("false"))
            );
        }
        assert_failed_once(&world, &server, &answer).await;
        assert!(world.record(&answer).await.error().contains("odd_error"));
    }
}

/// An error event as the provider of this API sends it.
fn error_event(api: Api) -> String {
    match api {
        Api::Messages => {
            named(&json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}))
        }
        Api::Chat => unnamed(
            &json!({"error": {"code": "overloaded_error", "message": "Overloaded", "type": "server_error", "param": null}}),
        ),
        Api::Responses => named(
            &json!({"type": "error", "code": "overloaded_error", "message": "Overloaded", "param": null, "sequence_number": 4}),
        ),
    }
}

#[tokio::test]
async fn an_error_event_of_the_providers_reaches_the_client_once() {
    for api in APIS {
        let mut frames = api.frames(&say("r2").text("Half a sentence").tokens(140, 12));
        frames.truncate(4);
        frames.push(error_event(api));
        let (world, server, answer) = in_round_two(api, Mode::Streamed, Reply::stream(frames.clone())).await;
        let overloaded = ApiError { kind: "overloaded_error".to_owned(), message: "Overloaded".to_owned() };
        assert_eq!(answer.failure(api), overloaded, "{api:?}");
        assert_eq!(answer.body.matches("Overloaded").count(), answer.body.matches("\"Overloaded\"").count());
        assert_eq!(answer.body.matches("\"Overloaded\"").count(), 1, "{}", answer.body);
        assert_failed_once(&world, &server, &answer).await;
        let record = world.record(&answer).await;
        let error = record.error().strip_prefix("the provider's answer ended in an error: ");
        assert!(matches!(error, Some("overloaded_error" | "server_error")), "{api:?}: {}", record.error());
        assert!(
            record.rounds[1].text.contains("Overloaded"),
            "its words are a text: {}",
            record.rounds[1].text
        );

        let world = World::with(birds()).await;
        world.provider.will(Reply::stream(frames.clone()));
        let mut request = api.request(Mode::Streamed, "Hi", &["mine"]);
        request["stream_options"] = json!({"include_usage": true});
        let answer = world.ask(api, &request).await;
        if api == Api::Responses {
            assert_eq!(answer.failure(api).message, "Overloaded");
        } else {
            assert_eq!(answer.body, frames.concat(), "{api:?}");
        }
        assert_eq!(world.record(&answer).await.outcome(), "failed");
    }
}

/// The pieces of a stream that ends, in order or by a cut, after so many bytes.
fn ended_at(bytes: &[u8], at: usize, cut: bool) -> Reply {
    let start = Step::Bytes(bytes[..at].to_vec().into());
    Reply::steps(if cut { vec![start, Step::Cut] } else { vec![start] })
}

#[tokio::test]
async fn a_stream_cut_at_any_byte_is_a_failure() {
    for api in APIS {
        let server = birds();
        let world = World::with(server.clone()).await;
        let whole = api.frames(&say("r2").text("So many.").tokens(140, 12)).concat().into_bytes();
        // A stream that merely ends is whole as soon as its message has its end.
        let end = match api {
            Api::Messages => "event: message_delta",
            Api::Chat => "\"finish_reason\":\"stop\"",
            Api::Responses => "event: response.completed",
        };
        let text = String::from_utf8(whole.clone()).unwrap();
        let complete = text.find(end).unwrap();
        let mut calls = 0;
        // In and around each line end, and here and there.
        let lines = text.match_indices('\n').flat_map(|(at, _)| [at, at + 1, at + "\ndata: ".len()]);
        let ends = lines.filter(|at| *at < complete).map(|at| (false, at));
        for (cut, at) in ends.chain((0..whole.len()).step_by(41).map(|at| (true, at))) {
            let later = at % 2 == 1;
            if later {
                world.provider.will_say(api, Mode::Streamed, &[calling()]);
                calls += 1;
            }
            world.provider.will(ended_at(&whole, at, cut));
            let answer = world
                .ask(api, &api.request(Mode::Streamed, &format!("How many? {at}, {cut}"), &["mine"]))
                .await;
            let message = answer.failure(api).message;
            assert!(message.contains("provider"), "{api:?} {at}: {message}");
            assert_eq!(server.calls().len(), calls, "{api:?} {at}");
            let record = world.record(&answer).await;
            assert_eq!(record.outcome(), "failed", "{api:?} {at}");
            let ids: Vec<&str> = record.rounds.iter().map(|row| &*row.response_id).collect();
            let begun = answer.body.contains("So ");
            match (later, begun) {
                (true, true) => assert_eq!(ids, ["r1", "r2"], "{api:?} {at}"),
                (false, true) => assert_eq!(ids, ["r2"], "{api:?} {at}"),
                (true, false) => assert_eq!(ids[0], "r1", "{api:?} {at}"),
                (false, false) => {}
            }
        }
        assert!(calls > 5);
    }
}

#[tokio::test]
async fn a_whole_answer_cut_at_any_byte_is_a_502() {
    for api in APIS {
        let server = birds();
        let world = World::with(server.clone()).await;
        let whole = api.whole(&say("r2").text("So many.")).to_string().into_bytes();
        for (number, at) in (0..whole.len()).step_by(43).enumerate() {
            let second = ended_at(&whole, at, number % 2 == 0).header("content-type", "application/json");
            world.provider.will_say(api, Mode::Whole, &[calling()]).will(second);
            let answer =
                world.ask(api, &api.request(Mode::Whole, &format!("How many? {at}"), &["mine"])).await;
            assert_eq!(
                (answer.status, answer.header("x-should-retry")),
                (502, Some("false")),
                "{api:?} {at}: {}",
                answer.body
            );
            let message = answer.failure(api).message;
            assert!(
                message.contains("unreadable") || message.contains("broke off"),
                "{api:?} {at}: {message}"
            );
            assert_eq!(server.calls().len(), number + 1);
            let record = world.record(&answer).await;
            let statuses: Vec<_> = record.rounds.iter().map(|row| row.status).collect();
            assert_eq!((record.outcome(), statuses), ("failed", vec![Some(200); 2]), "{api:?} {at}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_after_a_comment_is_no_empty_200() {
    for api in APIS {
        for cut in [false, true] {
            let world = World::with(birds()).await;
            world.provider.will(ended_at(b": PROCESSING\n\n", 14, cut));
            let answer = world.ask(api, &api.request(Mode::Streamed, "Hi", &["mine"])).await;
            let message = answer.failure(api).message;
            assert!(message.contains("provider"), "{api:?}: {message}");
            assert_eq!(world.record(&answer).await.outcome(), "failed");
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_type_is_a_502() {
    for (api, mode) in all_forms() {
        let page = || Reply::new(200, "text/html", "<html>\n\n<p>data: Sign in</p>\n\n</html>");
        let world = World::with(birds()).await;
        world.provider.will(page());
        let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
        assert_eq!(answer.status, 502, "{api:?} {mode:?}: {}", answer.body);
        answer.failure(api);
        assert_eq!(world.record(&answer).await.outcome(), "failed");

        let (world, server, answer) = in_round_two(api, mode, page()).await;
        answer.failure(api);
        assert!(!answer.body.contains("<html>"), "{api:?} {mode:?}: {}", answer.body);
        if mode == Mode::Whole {
            assert_eq!((answer.status, answer.header("x-should-retry")), (502, Some("false")));
        }
        assert_failed_once(&world, &server, &answer).await;
    }
}

#[tokio::test]
async fn a_compressed_answer_is_a_502() {
    for (api, mode) in all_forms() {
        let world = World::with(birds()).await;
        world.provider.will(Reply::say(api, mode, &say("r1").text("Hi.")).header("content-encoding", "gzip"));
        let answer = world.ask(api, &api.request(mode, "Hi", &["mine"])).await;
        assert_eq!((answer.status, answer.header("content-encoding")), (502, None), "{api:?} {mode:?}");
        assert!(answer.failure(api).message.contains("compressed"));
        assert_eq!(world.provider.requests()[0].headers["accept-encoding"], "identity");
        assert_eq!(world.record(&answer).await.outcome(), "failed");
    }
}

#[tokio::test]
async fn an_answer_that_is_json_but_no_message_is_a_502() {
    for api in APIS {
        let world = World::with(birds()).await;
        world.provider.will(Reply::new(200, "application/json", Value::Array(vec![]).to_string()));
        let answer = world.ask(api, &api.request(Mode::Whole, "Hi", &["mine"])).await;
        assert_eq!(answer.status, 502, "{api:?}: {}", answer.body);
    }
}
