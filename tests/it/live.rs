//! Text reaches the client while it is produced, and a client that goes away leaves a complete record.

use serde_json::json;

use crate::mcp_server::{McpServer, text};
use crate::provider::{Gate, Reply, Step};
use crate::wire::{APIS, Api, Mode, Say, say};
use crate::world::World;

const WORDS: [&str; 5] = ["Alpha", "Bravo", "Carol", "Delta", "Echo"];

/// The frames of a round, with a gate before each frame that has one of the words.
fn gated(api: Api, say: &Say) -> (Vec<Step>, Vec<Gate>) {
    let (mut steps, mut gates) = (Vec::new(), Vec::new());
    let is_word = |frame: &str| {
        ["text_delta", "\"content\":\"", "output_text.delta"].iter().any(|mark| frame.contains(mark))
            && !frame.contains("\"content\":\"\"")
    };
    for frame in api.frames(say) {
        if is_word(&frame) {
            let gate = Gate::new();
            gates.push(gate.clone());
            steps.push(Step::Wait(gate));
        }
        steps.push(Step::Bytes(frame.into()));
    }
    (steps, gates)
}

/// Opens gate after gate, and sees each word arrive before the next.
async fn words_flow(world: &World, api: Api, before: Option<Say>) {
    if let Some(before) = before {
        world.provider.will_say(api, Mode::Streamed, &[before]);
    }
    let (steps, gates) = gated(api, &say("last").text(&WORDS.join(" ")));
    assert_eq!(gates.len(), WORDS.len());
    world.provider.will(Reply::steps(steps));
    let mut request = api.request(Mode::Streamed, "Speak", &["mine"]);
    if api == Api::Chat {
        request["stream_options"] = json!({"include_usage": true});
    }
    let mut gates = gates.iter().zip(WORDS);
    // The first gate is open before: a head may wait for the first words.
    let (first, word) = gates.next().unwrap();
    first.open();
    let mut live = world.live(api, &request).await;
    live.until(word).await;
    for (gate, word) in gates {
        assert!(!live.so_far().contains(&format!("\"{word}")), "{api:?}: {word} is early");
        gate.open();
        live.until(&format!("\"{word}")).await;
    }
    let answer = live.rest().await;
    assert_eq!(
        answer.message(api, Mode::Streamed).texts.last().unwrap().split("\n\n").last(),
        Some(&*WORDS.join(" ")),
        "{api:?}"
    );
}

#[tokio::test]
async fn f08_text_flows_with_injection_on() {
    for api in APIS {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        words_flow(&world, api, None).await;
        assert_eq!(world.provider.requests()[0].tool_names(), ["mine", "srv__look"]);
    }
}

#[tokio::test]
async fn f08_text_flows_without_tools() {
    for api in APIS {
        words_flow(&World::builder().start().await, api, None).await;
    }
}

#[tokio::test]
async fn f08_text_flows_after_a_tool_ran() {
    for api in APIS {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        words_flow(&world, api, Some(say("r1").text("Wait.").call("c1", "srv__look", "{}"))).await;
        assert_eq!(world.provider.requests().len(), 2);
    }
}

#[tokio::test]
async fn f14_a_client_that_goes_away_leaves_an_end_and_its_tokens() {
    for api in APIS {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        world.provider.will_say(
            api,
            Mode::Streamed,
            &[say("r1").call("c1", "srv__look", "{}").tokens(100, 11)],
        );
        let mut steps: Vec<Step> = Vec::new();
        for frame in api.frames(&say("r2").text("Half a sentence").tokens(140, 12)) {
            let is_half = frame.contains("Half");
            steps.push(Step::Bytes(frame.into()));
            if is_half {
                break;
            }
        }
        steps.push(Step::Hang);
        world.provider.will(Reply::steps(steps));
        let mut live = world.live(api, &api.request(Mode::Streamed, "Speak", &["mine"])).await;
        live.until("Half").await;
        let id = live.interception();
        drop(live);
        world.provider.dropped(1).await;
        let record = world.record_of(&id).await;
        assert_eq!((record.outcome(), record.error()), ("cancelled", "the client went away"), "{api:?}");
        assert_eq!(record.call_outcomes(), ["ok"]);
        let rows: Vec<_> =
            record.rounds.iter().map(|row| (row.round, &*row.response_id, row.usage.output)).collect();
        // What a provider tells at the end alone cannot be known; Anthropic's says something at the start.
        let (last_input, last_output) = if api == Api::Messages { (140, 1) } else { (0, 0) };
        assert_eq!(rows, [(1, "r1", 11), (2, "r2", last_output)], "{api:?}");
        assert_eq!(record.rounds[1].usage.input, last_input, "{api:?}");
        let said: Vec<_> = record.rounds.iter().map(|row| (&*row.text, row.status)).collect();
        assert_eq!(said, [("", Some(200)), ("Half ", Some(200))], "{api:?}: what came is kept");
        let end = record.interception.end.as_ref().unwrap();
        assert_eq!((end.rounds, end.output, end.injected_calls), (2, 11 + last_output, 1), "{api:?}");
    }
}

#[tokio::test]
async fn f14_a_client_that_goes_away_before_the_head_closes_the_upstream_request() {
    for api in APIS {
        for mode in [Mode::Streamed, Mode::Whole] {
            let world = World::with(McpServer::new().tool("look", text("42"))).await;
            world.provider.will(Reply::steps(vec![Step::Hang]));
            let request = api.request(mode, "Speak", &["mine"]).to_string();
            let asking = world.open(api.path(), request, &[]);
            tokio::select! {
                _ = asking => panic!("an answer came"),
                () = world.provider.arrived(1) => {}
            }
            world.provider.dropped(1).await;
            let record = world.last_record().await;
            assert_eq!(record.outcome(), "cancelled", "{api:?} {mode:?}");
        }
    }
}
