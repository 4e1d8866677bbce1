//! Several rounds reach the client as one legal message of its own API.

use serde_json::{Value, json};

use crate::client::Message;
use crate::mcp_server::{McpServer, text};
use crate::provider::{Reply, Step};
use crate::wire::{APIS, Api, Call, Mode, Say, all_forms, named, say, unnamed};
use crate::world::World;

fn birds() -> McpServer {
    McpServer::new().tool("look", text("42 birds")).echo("echo")
}

/// Thinking, a preamble and a call; a second call without a text; the answer.
fn three_rounds() -> [Say; 3] {
    [
        say("r1").thinking("I should look.").text("Let me look.").call("c1", "srv__look", "{}"),
        say("r2").thinking("Once more.").call("c2", "srv__look", r#"{"again":true}"#),
        say("r3").text("I saw 42 birds."),
    ]
}

async fn folded(api: Api, mode: Mode, rounds: &[Say]) -> (World, crate::client::Answer, Message) {
    let world = World::with(birds()).await;
    world.provider.will_say(api, mode, rounds);
    let mut request = api.request(mode, "How many birds?", &["mine"]);
    if (api, mode) == (Api::Chat, Mode::Streamed) {
        request["stream_options"] = json!({"include_usage": true});
    }
    let answer = world.ask(api, &request).await;
    let message = answer.message(api, mode);
    (world, answer, message)
}

#[tokio::test]
async fn f01_block_and_item_indices_stay_dense_over_rounds() {
    for (api, mode) in all_forms() {
        let (world, answer, message) = folded(api, mode, &three_rounds()).await;
        let texts = if api == Api::Chat {
            vec!["Let me look.\n\nI saw 42 birds."]
        } else {
            vec!["Let me look.", "I saw 42 birds."]
        };
        assert_eq!(message.texts, texts, "{api:?} {mode:?}");
        let thinking = if api == Api::Chat {
            vec!["I should look.\n\nOnce more."]
        } else {
            vec!["I should look.", "Once more."]
        };
        assert_eq!(message.thinking, thinking, "{api:?} {mode:?}");
        assert_eq!((message.calls, world.record(&answer).await.call_outcomes()), (vec![], vec!["ok", "ok"]));
        if mode == Mode::Streamed && api != Api::Chat {
            let key = if api == Api::Messages { "index" } else { "output_index" };
            let opened = answer.data().into_iter().filter(|event| {
                matches!(event["type"].as_str(), Some("content_block_start" | "response.output_item.added"))
            });
            assert_eq!(
                opened.map(|event| event[key].clone()).collect::<Vec<_>>(),
                [json!(0), json!(1), json!(2), json!(3)]
            );
        }
    }
}

#[tokio::test]
async fn f02_events_carry_nothing_that_the_provider_did_not_write() {
    for api in APIS {
        let (_world, answer, message) = folded(api, Mode::Streamed, &three_rounds()).await;
        assert_eq!(message.id, "r1");
        // But for indices, sequence numbers and the id, an event of any round is one of the provider's.
        let comparable = |mut event: Value| {
            for key in ["index", "output_index", "sequence_number", "id"] {
                event.as_object_mut().unwrap().remove(key);
            }
            if let Some(item) = event["item"].as_object_mut() {
                item.remove("encrypted_content");
            }
            event
        };
        let theirs: Vec<Value> =
            three_rounds().iter().flat_map(|round| data(&api.frames(round))).map(comparable).collect();
        for event in answer.data() {
            if is_content(&event) && !event.to_string().contains(r"\n\n") {
                assert!(theirs.contains(&comparable(event.clone())), "{api:?}: {event}");
            }
        }
        if api == Api::Messages {
            for event in answer.data() {
                let kind = event["type"].as_str().unwrap();
                assert_eq!(event.get("message").is_some(), kind == "message_start", "{event}");
                assert_eq!(event.get("usage").is_some(), kind == "message_delta", "{event}");
            }
        }
    }
}

#[tokio::test]
async fn f02_one_round_passes_byte_for_byte_with_injection_on() {
    for api in [Api::Messages, Api::Chat] {
        let world = World::with(birds()).await;
        let odd = |frame: String| {
            frame
                .replacen("data: {", "id: 7\r\ndata:{ \"x_unknown\":[1, 2.50],", 1)
                .replace('\n', "\r\n")
                .replace("\r\r", "\r")
        };
        let frames: Vec<String> =
            api.frames(&say("r1").text("Hello, you there.")).into_iter().map(odd).collect();
        world.provider.will(Reply::stream(frames.clone()));
        let mut request = api.request(Mode::Streamed, "Hi", &["mine"]);
        if api == Api::Chat {
            request["stream_options"] = json!({"include_usage": true});
        }
        let answer = world.ask(api, &request).await;
        assert_eq!(answer.body, frames.concat(), "{api:?}");
    }
}

#[tokio::test]
async fn f03_the_role_comes_once() {
    let (_world, answer, _) = folded(Api::Chat, Mode::Streamed, &three_rounds()).await;
    let roles = answer.data().iter().filter(|chunk| !chunk["choices"][0]["delta"]["role"].is_null()).count();
    assert_eq!(roles, 1, "{}", answer.body);
}

#[tokio::test]
async fn f04_the_stop_of_an_inner_round_stays_inside() {
    for (api, mode) in all_forms() {
        let (world, answer, message) = folded(api, mode, &three_rounds()).await;
        let stop = match api {
            Api::Messages => "end_turn",
            Api::Chat => "stop",
            Api::Responses => "completed",
        };
        assert_eq!(message.stop, stop, "{api:?} {mode:?}");
        for inner in ["\"tool_use\"", "\"tool_calls\"", "srv__look"] {
            assert!(!answer.body.contains(inner), "{api:?} {mode:?} {inner}: {}", answer.body);
        }
        let record = world.record(&answer).await;
        assert_eq!(record.interception.end.unwrap().stop_reason.as_deref(), Some(stop));
    }
}

#[tokio::test]
async fn f05_one_lifecycle_over_all_rounds() {
    for api in APIS {
        let (_world, answer, _) = folded(api, Mode::Streamed, &three_rounds()).await;
        let once: &[&str] = match api {
            Api::Messages => &["message_start", "message_delta", "message_stop"],
            Api::Responses => &["response.created", "response.in_progress", "response.completed"],
            Api::Chat => &[],
        };
        for kind in once {
            assert_eq!(
                answer.data().iter().filter(|event| event["type"] == *kind).count(),
                1,
                "{kind}: {}",
                answer.body
            );
        }
        assert_eq!(answer.body.matches("[DONE]").count(), usize::from(api == Api::Chat));
    }
}

#[tokio::test]
async fn f24_a_call_without_preamble_at_any_index_and_without_arguments() {
    for (api, mode) in all_forms() {
        for name in ["srv__look", "mine"] {
            let world = World::with(birds()).await;
            let call = say("r1").call("c1", name, "");
            match mode {
                Mode::Streamed => world.provider.will(Reply::stream(shifted(api, &call, 2))),
                Mode::Whole => world.provider.will(Reply::say(api, mode, &call)),
            };
            world.provider.will_say(api, mode, &[say("r2").text("Done.")]);
            let answer = world.ask(api, &api.request(mode, "Look", &["mine"])).await;
            let message = answer.message(api, mode);
            let record = world.record(&answer).await;
            if name == "mine" {
                let empty = |call: &Call| call.name == "mine" && matches!(&*call.arguments, "" | "{}");
                assert!(
                    message.calls.len() == 1 && message.calls.iter().all(empty),
                    "{api:?} {mode:?} {message:?}"
                );
                assert_eq!(record.call_outcomes(), ["released"]);
            } else {
                assert_eq!(
                    (message.texts, message.calls),
                    (vec!["Done.".to_owned()], vec![]),
                    "{api:?} {mode:?}"
                );
                assert_eq!(record.call_outcomes(), ["ok"]);
            }
        }
    }
}

#[tokio::test]
async fn f26_arguments_split_inside_characters_and_escapes() {
    let arguments = r#"{"at":"\u00e9\ud83d\ude00 \"ü\" 鳥 \\"}"#;
    for api in APIS {
        let server = birds();
        let world = World::with(server.clone()).await;
        let frames = api.frames(&say("r1").text("é鳥😀 ").call("c1", "srv__echo", arguments)).concat();
        let bytes = frames.into_bytes();
        world
            .provider
            .will(Reply::steps(bytes.chunks(1).map(|byte| Step::Bytes(byte.to_vec().into())).collect()));
        world.provider.will_say(api, Mode::Streamed, &[say("r2").text("Done.")]);
        let answer = world.ask(api, &api.request(Mode::Streamed, "Echo", &["mine"])).await;
        assert!(answer.message(api, Mode::Streamed).texts[0].starts_with("é鳥😀 "), "{api:?}");
        let expected: Value = serde_json::from_str(arguments).unwrap();
        assert_eq!(server.calls(), [("echo".to_owned(), expected.clone())], "{api:?}");
        let sent = world.provider.requests()[1].json();
        assert_eq!(sent_arguments(api, &sent), expected, "{api:?}: {sent}");
        assert_eq!(world.record(&answer).await.call_outcomes(), ["ok"]);
    }
}

#[tokio::test]
async fn f26_a_surrogate_pair_split_over_two_pieces() {
    for api in APIS {
        let server = birds();
        let world = World::with(server.clone()).await;
        // The emoji stands in the arguments as it is, and on the wire as two escapes in two frames.
        let frames = api.frames(&say("r1").call("c1", "srv__echo", r#"{"at":"😀"}"#));
        world
            .provider
            .will(Reply::stream(frames.into_iter().flat_map(|frame| split_emoji(&frame)).collect()));
        world.provider.will_say(api, Mode::Streamed, &[say("r2").text("Done.")]);
        let answer = world.ask(api, &api.request(Mode::Streamed, "Echo", &["mine"])).await;
        assert_eq!(answer.message(api, Mode::Streamed).texts, ["Done."], "{api:?}");
        assert_eq!(server.calls(), [("echo".to_owned(), json!({"at": "😀"}))], "{api:?}");
        assert_eq!(sent_arguments(api, &world.provider.requests()[1].json()), json!({"at": "😀"}), "{api:?}");
    }
}

#[tokio::test]
async fn f60_only_events_of_the_providers_vocabulary() {
    for api in APIS {
        let (_world, answer, _) = folded(api, Mode::Streamed, &three_rounds()).await;
        let known: Vec<Value> = three_rounds()
            .iter()
            .flat_map(|round| data(&api.frames(round)))
            .map(|event| event["type"].clone())
            .collect();
        for event in answer.data() {
            assert!(known.contains(&event["type"]), "{api:?}: {event}");
        }
        for line in answer.body.lines() {
            assert!(
                line.is_empty() || line.starts_with("event: ") || line.starts_with("data: "),
                "{api:?}: {line}"
            );
        }
    }
}

#[tokio::test]
async fn f62_a_whole_answer_is_the_streamed_one_in_one_piece() {
    for api in APIS {
        let rounds = [
            say("r1").text("Let me look.").call("c1", "srv__look", "{}").call("c2", "srv__look", "{}"),
            say("r2").thinking("And now?").call("c3", "srv__echo", r#"{"x":1}"#),
            say("r3").text("Run this.").call("c4", "mine", r#"{"y":[2]}"#).call("c5", "mine", "{}"),
        ];
        let (streamed_world, streamed_answer, streamed) = folded(api, Mode::Streamed, &rounds).await;
        let (world, answer, mut whole) = folded(api, Mode::Whole, &rounds).await;
        if api == Api::Chat {
            // Reasoning of a whole chat answer is the last round's.
            whole.thinking.clone_from(&streamed.thinking);
        }
        assert_eq!(whole, streamed, "{api:?}");
        assert_eq!(whole.calls.len(), 2);
        let (record, streamed_record) =
            (world.record(&answer).await, streamed_world.record(&streamed_answer).await);
        assert_eq!(record.call_outcomes(), ["ok", "ok", "ok", "released", "released"], "{api:?}");
        assert_eq!(record.call_outcomes(), streamed_record.call_outcomes());
        for (one, other) in world.provider.requests().iter().zip(streamed_world.provider.requests()) {
            assert_eq!(history(&one.json()), history(&other.json()), "{api:?}");
        }
    }
}

/// The conversation in a request.
fn history(request: &Value) -> Value {
    let mut history = request.get("messages").or(request.get("input")).unwrap().clone();
    for message in history.as_array_mut().unwrap() {
        let Some(message) = message.as_object_mut() else { continue };
        // A stream tells no refusal where there is none.
        message.retain(|_, value| !value.is_null() && *value != json!(""));
    }
    history
}

/// The arguments of the call in a request's history.
fn sent_arguments(api: Api, request: &Value) -> Value {
    let list = request.get("messages").or(request.get("input")).unwrap().as_array().unwrap();
    match api {
        Api::Messages => {
            let blocks = list[1]["content"].as_array().unwrap();
            blocks.iter().find(|block| block["type"] == "tool_use").unwrap()["input"].clone()
        }
        Api::Chat => {
            serde_json::from_str(list[1]["tool_calls"][0]["function"]["arguments"].as_str().unwrap()).unwrap()
        }
        Api::Responses => {
            let call = list.iter().find(|item| item["type"] == "function_call").unwrap();
            serde_json::from_str(call["arguments"].as_str().unwrap()).unwrap()
        }
    }
}

/// The data of frames as JSON.
fn data(frames: &[String]) -> Vec<Value> {
    let lines = frames.iter().flat_map(|frame| frame.lines().filter_map(|line| line.strip_prefix("data: ")));
    lines.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

/// Whether an event is about content, not about the message as a whole.
fn is_content(event: &Value) -> bool {
    match event["type"].as_str() {
        Some(kind) => kind.starts_with("content_block") || event.get("output_index").is_some(),
        None => {
            event["choices"][0]["finish_reason"].is_null()
                && !event["choices"][0]["delta"]["content"].is_null()
        }
    }
}

/// The frames of a round whose first call stands `by` places further on than it should.
fn shifted(api: Api, say: &Say, by: u64) -> Vec<String> {
    let shift = |mut event: Value| {
        let index = match api {
            Api::Messages => event.get_mut("index"),
            Api::Responses => event.get_mut("output_index"),
            Api::Chat => event.pointer_mut("/choices/0/delta/tool_calls/0/index"),
        };
        if let Some(index) = index {
            *index = json!(index.as_u64().unwrap() + by);
        }
        if api == Api::Chat { unnamed(&event) } else { named(&event) }
    };
    let mut frames: Vec<String> = data(&api.frames(say)).into_iter().map(shift).collect();
    if api == Api::Chat {
        frames.push("data: [DONE]\n\n".to_owned());
    }
    frames
}

/// Two frames for one whose piece of arguments has the emoji, each with half of its surrogate pair.
fn split_emoji(frame: &str) -> Vec<String> {
    let is_piece = ["input_json_delta", "function_call_arguments.delta", "\"tool_calls\""]
        .iter()
        .any(|kind| frame.contains(kind));
    if !is_piece || !frame.contains('😀') {
        return vec![frame.to_owned()];
    }
    let (before, after) = frame.split_once('😀').unwrap();
    let (start, text_before) = before.split_at(piece_start(before));
    let (text_after, end) = after.split_at(piece_end(after));
    vec![format!(r"{start}{text_before}\ud83d{end}"), format!(r"{start}\ude00{text_after}{end}")]
}

/// Where the JSON string begins that the end of this text stands in.
fn piece_start(before: &str) -> usize {
    let bytes = before.as_bytes();
    (1..bytes.len()).rev().find(|&at| bytes[at] == b'"' && bytes[at - 1] != b'\\').unwrap() + 1
}

/// Where the JSON string ends that the start of this text stands in.
fn piece_end(after: &str) -> usize {
    let bytes = after.as_bytes();
    (0..bytes.len()).find(|&at| bytes[at] == b'"' && (at == 0 || bytes[at - 1] != b'\\')).unwrap()
}

#[tokio::test]
async fn a_completion_keeps_the_first_rounds_time() {
    for mode in crate::wire::MODES {
        let world = World::with(McpServer::new().tool("look", text("42"))).await;
        for (round, created) in three_rounds().iter().zip(["11", "12", "13"]) {
            let later = |text: String| text.replace("\"created\":1,", &format!("\"created\":{created},"));
            world.provider.will(match mode {
                Mode::Whole => Reply::new(200, "application/json", later(Api::Chat.whole(round).to_string())),
                Mode::Streamed => Reply::stream(Api::Chat.frames(round).into_iter().map(later).collect()),
            });
        }
        let answer = world.ask(Api::Chat, &Api::Chat.request(mode, "Look", &["mine"])).await;
        answer.message(Api::Chat, mode);
        assert!(answer.body.contains("\"created\":11,"), "{}", answer.body);
        assert!(
            !answer.body.contains("\"created\":12,") && !answer.body.contains("\"created\":13,"),
            "{}",
            answer.body
        );
    }
}
