//! What the client is told of tokens, and what the records keep, over several rounds.

use serde_json::{Value, json};
use toolgate::domain::Usage;

use crate::client::Answer;
use crate::mcp_server::{McpServer, text};
use crate::provider::Reply;
use crate::record::Round;
use crate::wire::{APIS, Api, Mode, Say, all_forms, named, say, unnamed};
use crate::world::{Record, World};

async fn world() -> World {
    World::with(McpServer::new().tool("look", text("42 birds"))).await
}

fn rounds() -> [Say; 3] {
    [
        say("r1").text("Let me look.").call("c1", "srv__look", "{}").tokens(100, 11),
        say("r2").call("c2", "srv__look", "{}").tokens(140, 12),
        say("r3").text("I saw 42 birds.").tokens(180, 13),
    ]
}

/// A request that wants usage also where that has to be said.
fn request(api: Api, mode: Mode) -> Value {
    let mut request = api.request(mode, "How many birds?", &["mine"]);
    if (api, mode) == (Api::Chat, Mode::Streamed) {
        request["stream_options"] = json!({"include_usage": true});
    }
    request
}

/// What the records keep of a round with these figures of the scripted provider's.
fn recorded(api: Api, input: u64, output: u64) -> Usage {
    match api {
        Api::Messages => Usage { input, output, cache_read: 7, cache_write_short: 3, ..Usage::default() },
        Api::Chat | Api::Responses => {
            Usage { input: input - 2, output, cache_read: 2, reasoning: 1, ..Usage::default() }
        }
    }
}

fn usages(record: &Record) -> Vec<Usage> {
    record.rounds.iter().map(|round| round.usage).collect()
}

/// What an API says of so many input and output tokens in so many rounds.
fn openai(api: Api, input: u64, cached: u64, output: u64, rounds: u64) -> Value {
    let (input_key, output_key) =
        if api == Api::Chat { ("prompt", "completion") } else { ("input", "output") };
    json!({
        format!("{input_key}_tokens"): input, format!("{output_key}_tokens"): output, "total_tokens": input + output,
        format!("{input_key}_tokens_details"): {"cached_tokens": cached},
        format!("{output_key}_tokens_details"): {"reasoning_tokens": rounds},
    })
}

async fn recorded_rounds(world: &World, answer: &Answer) -> Vec<(u32, String, String, Usage)> {
    let record = world.record(answer).await;
    let row = |round: &Round| (round.round, round.response_id.clone(), round.model.clone(), round.usage);
    record.rounds.iter().map(row).collect()
}

#[tokio::test]
async fn f06_usage_comes_once_and_is_that_of_all_rounds() {
    for (api, mode) in all_forms() {
        let world = world().await;
        world.provider.will_say(api, mode, &rounds());
        let answer = world.ask(api, &request(api, mode)).await;
        let usage = answer.message(api, mode).usage;
        if api == Api::Messages {
            let iteration = |input, output| {
                json!({"type": "message", "input_tokens": input, "output_tokens": output,
                    "cache_creation_input_tokens": 3, "cache_read_input_tokens": 7})
            };
            assert_eq!(
                usage,
                json!({"input_tokens": 420, "output_tokens": 36, "cache_creation_input_tokens": 9,
                "cache_read_input_tokens": 21, "service_tier": "standard",
                "iterations": [iteration(100, 11), iteration(140, 12), iteration(180, 13)]}),
                "{mode:?}"
            );
        } else {
            assert_eq!(usage, openai(api, 420, 6, 36, 3), "{api:?} {mode:?}");
        }
        let expected = [("r1", 100, 11), ("r2", 140, 12), ("r3", 180, 13)].into_iter().zip(1..).map(
            |((id, input, output), round)| {
                (round, id.to_owned(), "m-1-2026".to_owned(), recorded(api, input, output))
            },
        );
        assert_eq!(recorded_rounds(&world, &answer).await, expected.collect::<Vec<_>>(), "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn f06_a_client_that_sizes_its_context_by_usage_gets_the_last_input() {
    for (api, mode) in [
        (Api::Chat, Mode::Streamed),
        (Api::Chat, Mode::Whole),
        (Api::Responses, Mode::Streamed),
        (Api::Responses, Mode::Whole),
    ] {
        let world = world().await;
        world.provider.will_say(api, mode, &rounds());
        let answer =
            world.post(api.path(), request(api, mode).to_string(), &[("originator", "codex_exec")]).await;
        assert_eq!(answer.message(api, mode).usage, openai(api, 180, 2, 36, 3), "{api:?} {mode:?}");
        let kept = usages(&world.record(&answer).await);
        assert_eq!(kept, [recorded(api, 100, 11), recorded(api, 140, 12), recorded(api, 180, 13)]);
    }
}

#[tokio::test]
async fn f07_usage_that_was_not_asked_for_is_not_told() {
    for round_count in [1, 3] {
        let world = world().await;
        world.provider.will_say(Api::Chat, Mode::Streamed, &rounds()[3 - round_count..]);
        let answer =
            world.ask(Api::Chat, &Api::Chat.request(Mode::Streamed, "How many birds?", &["mine"])).await;
        assert_eq!(answer.message(Api::Chat, Mode::Streamed).usage, Value::Null);
        for chunk in answer.data() {
            assert!(chunk["choices"][0].is_object(), "a chunk without a choice: {chunk}");
            assert_eq!(chunk.get("usage"), None, "{chunk}");
        }
        for request in world.provider.requests() {
            assert_eq!(request.json()["stream_options"], json!({"include_usage": true}));
        }
        assert_eq!(world.record(&answer).await.rounds.len(), round_count);
    }
}

#[tokio::test]
async fn f07_usage_that_was_asked_for_is_told_once() {
    let world = world().await;
    world.provider.will_say(Api::Chat, Mode::Streamed, &rounds());
    let answer = world.ask(Api::Chat, &request(Api::Chat, Mode::Streamed)).await;
    let mut chunks = answer.data();
    let last = chunks.pop().unwrap();
    assert_eq!(
        (&last["choices"], &last["id"], &last["usage"]),
        (&json!([]), &json!("r1"), &openai(Api::Chat, 420, 6, 36, 3))
    );
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()), "{}", answer.body);
}

#[tokio::test]
async fn f11_the_figures_of_message_delta_are_cumulative() {
    let world = world().await;
    for round in
        [say("r1").call("c1", "srv__look", "{}").tokens(100, 11), say("r2").text("Done.").tokens(140, 20)]
    {
        let mut frames = Api::Messages.frames(&round);
        // `message_start` says 1 output token, an early `message_delta` 4, the last one all of them.
        let early = named(
            &json!({"type": "message_delta", "delta": {"stop_reason": null, "stop_sequence": null}, "usage": {"output_tokens": 4}}),
        );
        frames.insert(frames.len() - 2, early);
        world.provider.will(Reply::stream(frames));
    }
    let answer = world.ask(Api::Messages, &request(Api::Messages, Mode::Streamed)).await;
    let usage = answer.message(Api::Messages, Mode::Streamed).usage;
    assert_eq!((&usage["input_tokens"], &usage["output_tokens"]), (&json!(240), &json!(31)));
    assert_eq!(usage["iterations"][0]["output_tokens"], 11);
    let record = world.record(&answer).await;
    assert_eq!(usages(&record), [recorded(Api::Messages, 100, 11), recorded(Api::Messages, 140, 20)]);
    let end = record.interception.end.as_ref().unwrap();
    assert_eq!((end.input, end.output, end.cache_read, end.cache_write), (240, 31, 14, 6));
}

#[tokio::test]
async fn f12_running_usage_in_each_chunk_is_not_added_up() {
    let world = world().await;
    for round in [
        say("r1").text("Let me look.").call("c1", "srv__look", "{}").tokens(100, 9),
        say("r2").text("I saw 42.").tokens(140, 7),
    ] {
        world.provider.will(Reply::stream(with_running_usage(&round)));
    }
    let answer = world.ask(Api::Chat, &request(Api::Chat, Mode::Streamed)).await;
    let last = answer.data().into_iter().rfind(|chunk| !chunk["usage"].is_null()).unwrap();
    assert_eq!(last["usage"], json!({"prompt_tokens": 240, "completion_tokens": 16, "total_tokens": 256}));
    let record = world.record(&answer).await;
    let plain = |input, output| Usage { input, output, ..Usage::default() };
    assert_eq!(usages(&record), [plain(100, 9), plain(140, 7)]);
    let end = record.interception.end.as_ref().unwrap();
    assert_eq!((end.input, end.output, end.rounds), (240, 16, 2));
}

/// The chunks of a round, each with the usage up to there, and no chunk for usage alone.
fn with_running_usage(round: &Say) -> Vec<String> {
    let chunks = Api::Chat.frames(round);
    let mut frames = Vec::new();
    for (count, chunk) in (1..).zip(&chunks[..chunks.len() - 2]) {
        let mut chunk: Value = serde_json::from_str(chunk.trim().strip_prefix("data: ").unwrap()).unwrap();
        let is_last = !chunk["choices"][0]["finish_reason"].is_null();
        let output = if is_last { round.output } else { round.output.min(count) };
        chunk["usage"] = json!({"prompt_tokens": round.input, "completion_tokens": output, "total_tokens": round.input + output});
        frames.push(unnamed(&chunk));
    }
    frames.push("data: [DONE]\n\n".to_owned());
    frames
}

#[tokio::test]
async fn the_records_tell_cache_writes_by_their_life_time() {
    let world = world().await;
    let mut answer = Api::Messages.whole(&say("r1").text("Hi."));
    answer["usage"] = json!({"input_tokens": 1, "cache_creation_input_tokens": 50, "cache_read_input_tokens": 7, "output_tokens": 9,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30}});
    world.provider.will(Reply::new(200, "application/json", answer.to_string()));
    let answer = world.ask(Api::Messages, &request(Api::Messages, Mode::Whole)).await;
    let expected = Usage {
        input: 1,
        output: 9,
        cache_read: 7,
        cache_write_short: 20,
        cache_write_long: 30,
        reasoning: 0,
    };
    assert_eq!(usages(&world.record(&answer).await), [expected]);
}

#[tokio::test]
async fn one_round_keeps_its_very_usage() {
    for api in APIS {
        let world = world().await;
        world.provider.will_say(api, Mode::Whole, &[say("r1").text("Hi.")]);
        let answer = world.ask(api, &request(api, Mode::Whole)).await;
        assert_eq!(answer.json(), api.whole(&say("r1").text("Hi.")), "{api:?}");
    }
}
