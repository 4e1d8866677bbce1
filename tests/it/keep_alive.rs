//! In silence, each API gets the sign of life that its clients take, and none where they take none.

use std::time::Duration;

use crate::client::Live;
use crate::mcp_server::McpServer;
use crate::provider::{Gate, Reply, Step};
use crate::wire::{APIS, Api, Mode, all_forms, say};
use crate::world::World;

/// The sign of life of each API.
fn sign(api: Api) -> &'static str {
    match api {
        Api::Messages => "event: ping\n",
        Api::Chat => ": keep-alive\n\n",
        Api::Responses => "event: keepalive\n",
    }
}

/// A world where keep-alives are due soon, with a tool that waits for a gate.
async fn quick_world(gate: &Gate) -> World {
    let tool = gate.clone();
    let server = McpServer::new().tool_with("wait", serde_json::json!({"type": "object"}), move |_| {
        let gate = tool.clone();
        Box::pin(async move {
            gate.pass().await;
            crate::mcp_server::text("waited")
        })
    });
    let quick = |config: &mut toolgate::config::Config| config.limits.keep_alive = Duration::from_millis(30);
    World::builder().server("srv", server).config(quick).start().await
}

/// Waits for three more signs of life than there are.
async fn three_more(live: &mut Live, api: Api) {
    let seen = live.so_far().matches(sign(api)).count();
    live.until_times(sign(api), seen + 3).await;
}

/// The steps of a stream that waits for a gate after the frame with this text.
fn paused_after(api: Api, say: &crate::wire::Say, mark: &str, gate: &Gate) -> Vec<Step> {
    let mut steps = Vec::new();
    for frame in api.frames(say) {
        let pauses = frame.contains(mark) && !steps.iter().any(|step| matches!(step, Step::Wait(_)));
        steps.push(Step::Bytes(frame.into()));
        if pauses {
            steps.push(Step::Wait(gate.clone()));
        }
    }
    assert!(steps.iter().any(|step| matches!(step, Step::Wait(_))), "no {mark} in the stream");
    steps
}

#[tokio::test]
async fn f09_signs_of_life_while_a_tool_runs_also_before_any_text() {
    for api in APIS {
        for preamble in ["", "Let me wait."] {
            let gate = Gate::new();
            let world = quick_world(&gate).await;
            let first = if preamble.is_empty() { say("r1") } else { say("r1").text(preamble) };
            world.provider.will_say(
                api,
                Mode::Streamed,
                &[first.call("c1", "srv__wait", "{}"), say("r2").text("Done.")],
            );
            let mut live = world.live(api, &api.request(Mode::Streamed, "Wait", &["mine"])).await;
            three_more(&mut live, api).await;
            assert_eq!(world.provider.requests().len(), 1, "the tool does not run any more");
            gate.open();
            let answer = live.rest().await;
            assert!(answer.message(api, Mode::Streamed).texts.concat().ends_with("Done."), "{api:?}");
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), record.call_outcomes()), ("completed", vec!["ok"]), "{api:?}");
        }
    }
}

#[tokio::test]
async fn signs_of_life_before_the_head_of_a_later_round() {
    for api in APIS {
        let (tool, head) = (Gate::new(), Gate::new());
        tool.open();
        let world = quick_world(&tool).await;
        world.provider.will_say(api, Mode::Streamed, &[say("r1").call("c1", "srv__wait", "{}")]);
        let frames = api.frames(&say("r2").text("Done."));
        let steps = [Step::Wait(head.clone())]
            .into_iter()
            .chain(frames.into_iter().map(|frame| Step::Bytes(frame.into())));
        world.provider.will(Reply::steps(steps.collect()));
        let mut live = world.live(api, &api.request(Mode::Streamed, "Wait", &["mine"])).await;
        world.provider.arrived(2).await;
        three_more(&mut live, api).await;
        head.open();
        assert_eq!(live.rest().await.message(api, Mode::Streamed).texts, ["Done."], "{api:?}");
    }
}

#[tokio::test]
async fn signs_of_life_in_the_middle_of_a_text_and_of_a_call() {
    for api in APIS {
        let call = match api {
            Api::Messages => "input_json_delta",
            Api::Chat => "\"arguments\":\"{",
            Api::Responses => "function_call_arguments.delta",
        };
        for (round, mark) in [
            (say("r1").text("Half a sentence."), "Half"),
            (say("r1").text("Mine.").call("c1", "mine", r#"{"at":"here"}"#), call),
        ] {
            let (tool, gate) = (Gate::new(), Gate::new());
            let world = quick_world(&tool).await;
            world.provider.will(Reply::steps(paused_after(api, &round, mark, &gate)));
            let mut live = world.live(api, &api.request(Mode::Streamed, "Speak", &["mine"])).await;
            three_more(&mut live, api).await;
            gate.open();
            let message = live.rest().await.message(api, Mode::Streamed);
            assert_eq!((message.texts, message.calls), (vec![round.text.concat()], round.calls), "{api:?}");
        }
    }
}

#[tokio::test]
async fn responses_get_no_sign_of_life_before_their_first_event() {
    let (tool, gate) = (Gate::new(), Gate::new());
    let world = quick_world(&tool).await;
    let frames = Api::Responses.frames(&say("r1").text("Late."));
    let mut steps = vec![Step::Bytes(": hold on\n\n".into()), Step::Wait(gate.clone())];
    steps.extend(frames.into_iter().map(|frame| Step::Bytes(frame.into())));
    world.provider.will(Reply::steps(steps));
    // A second request gets its signs of life meanwhile, so that the first would have had its own.
    let clock = Gate::new();
    let live = world.live(Api::Responses, &Api::Responses.request(Mode::Streamed, "Speak", &["mine"])).await;
    world.provider.will(Reply::steps(paused_after(
        Api::Messages,
        &say("r1").text("Half a word."),
        "Half",
        &clock,
    )));
    let mut other =
        world.live(Api::Messages, &Api::Messages.request(Mode::Streamed, "Speak", &["mine"])).await;
    three_more(&mut other, Api::Messages).await;
    gate.open();
    let answer = live.rest().await;
    assert_eq!(answer.message(Api::Responses, Mode::Streamed).texts, ["Late."]);
    assert!(!answer.body.split("response.created").next().unwrap().contains("keepalive"), "{}", answer.body);
}

#[tokio::test]
async fn f60_signs_of_life_are_events_that_clients_take() {
    for api in APIS {
        let gate = Gate::new();
        let world = quick_world(&gate).await;
        world.provider.will_say(
            api,
            Mode::Streamed,
            &[say("r1").call("c1", "srv__wait", "{}"), say("r2").text("Done.")],
        );
        let mut live = world.live(api, &api.request(Mode::Streamed, "Wait", &["mine"])).await;
        three_more(&mut live, api).await;
        gate.open();
        let answer = live.rest().await;
        let has_comments = answer.body.lines().any(|line| line.starts_with(':'));
        assert_eq!(has_comments, api == Api::Chat, "{api:?}: Codex and Qwen do not count comments");
        for event in answer.data() {
            match event["type"].as_str() {
                Some("ping") => assert_eq!(event.as_object().unwrap().len(), 1, "{event}"),
                Some("keepalive") => assert_eq!(event.as_object().unwrap().len(), 2, "{event}"),
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn whole_answers_get_nothing_before_their_body() {
    for (api, mode) in all_forms().filter(|(_, mode)| *mode == Mode::Whole) {
        let gate = Gate::new();
        let world = quick_world(&gate).await;
        world.provider.will_say(
            api,
            mode,
            &[say("r1").call("c1", "srv__wait", "{}"), say("r2").text("Done.")],
        );
        let request = api.request(mode, "Wait", &["mine"]).to_string();
        let time_passes = async {
            // A stream beside it gets three signs of life before the tool may end.
            world.provider.arrived(1).await;
            let clock = Gate::new();
            let beside = quick_world(&clock).await;
            beside.provider.will(Reply::steps(paused_after(
                Api::Messages,
                &say("r1").text("Half a word."),
                "Half",
                &clock,
            )));
            let mut other =
                beside.live(Api::Messages, &Api::Messages.request(Mode::Streamed, "Speak", &[])).await;
            three_more(&mut other, Api::Messages).await;
            gate.open();
        };
        let (answer, ()) = tokio::join!(world.post(api.path(), request, &[]), time_passes);
        assert_eq!(answer.message(api, mode).texts, ["Done."], "{api:?}");
        assert!(answer.body.starts_with('{'), "{api:?}: {}", answer.body);
    }
}
