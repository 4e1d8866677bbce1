//! When the wall clock runs out, the message ends legally with what there is.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate::config::Config;

use crate::client::{ApiError, Message};
use crate::mcp_server::{McpServer, text};
use crate::provider::{Gate, Reply, Step};
use crate::wire::{APIS, Api, Mode, Say, all_forms, say};
use crate::world::{Builder, World};

fn short(config: &mut Config) {
    (config.limits.wall_clock_streamed, config.limits.wall_clock_whole) =
        (Duration::from_secs(1), Duration::from_secs(1));
}

fn builder() -> Builder {
    World::builder().config(short)
}

/// A server whose tool waits for a gate.
fn waiting(gate: &Gate) -> McpServer {
    McpServer::new().gated("wait", gate)
}

/// The API's word for an answer that a limit cut short.
fn limit(api: Api) -> &'static str {
    match api {
        Api::Messages => "max_tokens",
        Api::Chat => "length",
        Api::Responses => "max_output_tokens",
    }
}

/// A stream that goes no further after the frame with this text.
fn stuck_after(api: Api, say: &Say, mark: &str) -> Reply {
    let frames = api.frames(say);
    let last = frames.iter().position(|frame| frame.contains(mark)).expect("no such frame");
    let steps = frames.into_iter().take(last + 1).map(|frame| Step::Bytes(frame.into()));
    Reply::steps(steps.chain([Step::Hang]).collect())
}

fn assert_cut(api: Api, message: &Message, texts: &[&str]) {
    assert_eq!(
        (message.texts.concat(), &*message.stop),
        (texts.concat(), limit(api)),
        "{api:?}: {message:?}"
    );
}

#[tokio::test]
async fn a_text_in_mid_stream_is_cut_short() {
    for api in APIS {
        let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
        world.provider.will(stuck_after(api, &say("r1").thinking("Hm.").text("Half a sentence"), "\"Half "));
        let answer = world.ask(api, &api.request(Mode::Streamed, "Speak", &["mine"])).await;
        let message = answer.message(api, Mode::Streamed);
        assert_cut(api, &message, &["Half "]);
        assert_eq!((&*message.id, message.thinking.concat()), ("r1", "Hm.".to_owned()));
        world.provider.dropped(1).await;
        let record = world.record(&answer).await;
        assert_eq!(record.outcome(), "capped", "{api:?}");
        assert_eq!(record.rounds[0].response_id, "r1");
    }
}

#[tokio::test]
async fn a_call_of_the_clients_in_mid_stream_is_cut_short() {
    for api in APIS {
        let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
        let call = say("r1").text("Run it.").call("c1", "mine", r#"{"at":"here"}"#);
        world.provider.will(stuck_after(api, &call, r#""{\"a""#));
        let answer = world.ask(api, &api.request(Mode::Streamed, "Speak", &["mine"])).await;
        let message = answer.message(api, Mode::Streamed);
        assert_cut(api, &message, &["Run it."]);
        assert_eq!(message.calls.len(), 1, "{api:?}");
        assert_eq!(world.record(&answer).await.outcome(), "capped");
    }
}

#[tokio::test]
async fn a_later_round_in_mid_stream_is_cut_short_with_the_usage_so_far() {
    for api in APIS {
        let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
        world.provider.will_say(
            api,
            Mode::Streamed,
            &[say("r1").text("Wait.").call("c1", "srv__look", "{}").tokens(100, 11)],
        );
        world.provider.will(stuck_after(api, &say("r2").text("Half a sentence").tokens(140, 12), "Half "));
        let mut request = api.request(Mode::Streamed, "Speak", &["mine"]);
        if api == Api::Chat {
            request["stream_options"] = json!({"include_usage": true});
        }
        let answer = world.ask(api, &request).await;
        let message = answer.message(api, Mode::Streamed);
        let separator = if api == Api::Chat { "\n\n" } else { "" };
        assert_cut(api, &message, &["Wait.", separator, "Half "]);
        assert_eq!(message.id, "r1");
        let output = message.usage.get("output_tokens").or(message.usage.get("completion_tokens")).cloned();
        let expected = if api == Api::Messages { 12 } else { 11 };
        assert_eq!(output, Some(json!(expected)), "{api:?}: {}", message.usage);
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.call_outcomes()), ("capped", vec!["ok"]), "{api:?}");
        assert_eq!(record.rounds.iter().map(|row| row.round).collect::<Vec<_>>(), [1, 2]);
    }
}

#[tokio::test]
async fn a_tool_that_changes_something_finishes_after_the_client_has_its_whole_answer() {
    for (api, mode) in all_forms() {
        let gate = Gate::new();
        let server = waiting(&gate);
        let world = builder().server("srv", server.clone()).start().await;
        world.provider.will_say(api, mode, &[say("r1").text("Let me wait.").call("c1", "srv__wait", "{}")]);
        let mut live = world.live(api, &api.request(mode, "Wait", &["mine"])).await;
        live.until(limit(api)).await;
        let answer = live.rest().await;
        server.arrived(1).await;
        gate.open();
        let message = answer.message(api, mode);
        assert_cut(api, &message, &["Let me wait."]);
        assert_eq!((message.calls, world.provider.requests().len()), (vec![], 1), "{api:?} {mode:?}");
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.call_outcomes()), ("capped", vec!["ok"]), "{api:?} {mode:?}");
        assert_eq!(record.rounds.len(), 1, "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn a_tool_that_changes_nothing_is_cancelled() {
    for (api, mode) in all_forms() {
        let server = waiting(&Gate::new());
        let world = builder().read_only_server("srv", server.clone()).start().await;
        world.provider.will_say(api, mode, &[say("r1").text("Let me wait.").call("c1", "srv__wait", "{}")]);
        let answer = world.ask(api, &api.request(mode, "Wait", &["mine"])).await;
        assert_cut(api, &answer.message(api, mode), &["Let me wait."]);
        server.cancelled(1).await;
        let record = world.record(&answer).await;
        assert_eq!(
            (record.outcome(), record.call_outcomes()),
            ("capped", vec!["cancelled"]),
            "{api:?} {mode:?}"
        );
    }
}

#[tokio::test]
async fn a_whole_answer_ends_with_the_rounds_that_are_complete() {
    for api in APIS {
        let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
        world.provider.will_say(
            api,
            Mode::Whole,
            &[say("r1").text("Wait.").call("c1", "srv__look", "{}").tokens(100, 11)],
        );
        world.provider.will(
            Reply::steps(vec![Step::Bytes("{".into()), Step::Hang])
                .header("content-type", "application/json"),
        );
        let answer = world.ask(api, &api.request(Mode::Whole, "Speak", &["mine"])).await;
        let message = answer.message(api, Mode::Whole);
        assert_cut(api, &message, &["Wait."]);
        assert_eq!((&*message.id, message.calls), ("r1", vec![]));
        assert_eq!(world.record(&answer).await.outcome(), "capped");
    }
}

#[tokio::test]
async fn with_nothing_begun_it_is_a_504() {
    for (api, mode) in all_forms() {
        let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
        world.provider.will(Reply::steps(vec![Step::Hang]));
        let answer = world.ask(api, &api.request(mode, "Speak", &["mine"])).await;
        assert_eq!(
            (answer.status, answer.header("x-should-retry")),
            (504, None),
            "{api:?} {mode:?}: {}",
            answer.body
        );
        let ApiError { kind, message } = answer.failure(api);
        assert_eq!(kind, if api == Api::Messages { "timeout_error" } else { "timeout" });
        assert!(message.contains("limits.wall_clock"), "{message}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let record = world.record(&answer).await;
        assert_eq!(
            (record.outcome(), record.status(), record.rounds.len()),
            ("failed", Some(504), 1),
            "{api:?} {mode:?}"
        );
    }
}

#[tokio::test]
async fn a_cap_with_usage_unasked_tells_none() {
    let world = builder().server("srv", McpServer::new().tool("look", text("42"))).start().await;
    world.provider.will_say(Api::Chat, Mode::Streamed, &[say("r1").call("c1", "srv__look", "{}")]);
    world.provider.will(stuck_after(Api::Chat, &say("r2").text("Half a sentence"), "Half "));
    let answer = world.ask(Api::Chat, &Api::Chat.request(Mode::Streamed, "Speak", &["mine"])).await;
    assert_cut(Api::Chat, &answer.message(Api::Chat, Mode::Streamed), &["Half "]);
    assert!(
        answer.data().iter().all(|chunk| chunk.get("usage").is_none_or(Value::is_null)),
        "{}",
        answer.body
    );
}
