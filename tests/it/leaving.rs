//! Clients that go away, and a gateway that does.

use std::time::Duration;

use serde_json::{Value, json};
use toolgate::store::Store;

use crate::client::api_error;
use crate::mcp_server::{McpServer, text};
use crate::provider::{Gate, Reply};
use crate::record::Round;
use crate::wire::{Api, Mode, Say, all_forms, say};
use crate::world::{Record, World};

/// A server with one tool, `wait`, that answers when the gate is opened.
fn waiting(gate: &Gate) -> McpServer {
    let gate = gate.clone();
    McpServer::new().tool_with("wait", json!({"type": "object"}), move |_| {
        let gate = gate.clone();
        Box::pin(async move {
            gate.pass().await;
            text("done")
        })
    })
}

/// An answer that stops in the middle of its text and never ends.
fn unfinished(api: Api, mode: Mode, say: &Say) -> Reply {
    match mode {
        Mode::Whole => Reply::say(api, mode, say).then_hang(),
        Mode::Streamed => Reply::stream(api.frames(say)[..6].to_vec()).then_hang(),
    }
}

fn long_text(id: &str) -> Say {
    say(id).text("one two three four five six seven eight nine ten").tokens(20, 9)
}

/// Input and output tokens of each recorded round.
fn tokens(record: &Record) -> Vec<(u32, u64, u64)> {
    let row = |row: &Round| (row.round, row.usage.input + row.usage.cache_read, row.usage.output);
    record.rounds.iter().map(row).collect()
}

/// Asks, and goes away when this text has arrived or, with a whole answer, when something else has happened.
async fn ask_and_leave(world: &World, api: Api, mode: Mode, text: &str, happened: impl Future<Output = ()>) {
    let body = api.request(mode, "Hi", &[]).to_string();
    if mode == Mode::Whole {
        tokio::select! {
            answer = world.post(api.path(), body, &[]) => panic!("an answer: {answer:?}"),
            () = happened => return,
        }
    }
    let mut response = world.open(api.path(), body, &[]).await;
    let mut got = String::new();
    while !got.contains(text) {
        got += std::str::from_utf8(&response.chunk().await.unwrap().expect("the answer ended")).unwrap();
    }
}

#[tokio::test]
async fn f14_a_client_that_leaves_in_mid_stream_ends_the_upstream_request_and_the_record() {
    for (api, mode) in all_forms() {
        let world = World::with(McpServer::new().tool("look", text("42 birds"))).await;
        world.provider.will_say(
            api,
            mode,
            &[say("r1").text("Look.").call("c1", "srv__look", "{}").tokens(10, 5)],
        );
        world.provider.will(unfinished(api, mode, &long_text("r2")));
        ask_and_leave(&world, api, mode, "two ", world.provider.arrived(2)).await;
        world.provider.dropped(1).await;
        let record = world.last_record().await;
        assert_eq!(
            (record.outcome(), record.error()),
            ("cancelled", "the client went away"),
            "{api:?} {mode:?}"
        );
        assert_eq!(record.call_outcomes(), ["ok"]);
        // `cached_tokens` are part of the input in the OpenAI APIs, and beside it in the messages API.
        let first = if api == Api::Messages { (1, 17, 5) } else { (1, 10, 5) };
        let second = match (api, mode) {
            (Api::Messages, Mode::Streamed) => (2, 27, 1),
            // These tell their usage at the end alone; the round is on record all the same.
            _ => (2, 0, 0),
        };
        assert_eq!(tokens(&record), [first, second], "{api:?} {mode:?}");
        assert_eq!(world.newest().await.len(), 1);
    }
}

#[tokio::test]
async fn f14_a_client_that_leaves_before_the_first_byte_is_on_record_too() {
    for (api, mode) in all_forms() {
        let world = World::builder().start().await;
        world.provider.will(Reply::stream(Vec::new()).then_hang());
        let body = api.request(mode, "Hi", &[]);
        tokio::select! {
            answer = world.ask(api, &body) => panic!("an answer: {answer:?}"),
            () = world.provider.arrived(1) => {}
        }
        world.provider.dropped(1).await;
        let record = world.last_record().await;
        assert_eq!((record.outcome(), record.status()), ("cancelled", None), "{api:?} {mode:?}");
    }
}

#[tokio::test]
async fn f14_a_client_that_leaves_while_tools_run_cancels_only_what_changes_nothing() {
    for (api, mode) in all_forms() {
        let (never, gate) = (Gate::new(), Gate::new());
        let (reading, writing) = (waiting(&never), waiting(&gate));
        let builder = World::builder().read_only_server("ro", reading.clone()).server("rw", writing.clone());
        let world = builder.start().await;
        let calls = say("r1").text("one two").call("c1", "ro__wait", "{}").call("c2", "rw__wait", "{}");
        world.provider.will_say(api, mode, &[calls]);
        let body = api.request(mode, "Hi", &[]).to_string();
        let both_run = async {
            reading.arrived(1).await;
            writing.arrived(1).await;
        };
        let client = async { world.post(api.path(), body, &[]).await };
        tokio::select! { answer = client => panic!("an answer: {answer:?}"), () = both_run => {} }

        reading.cancelled(1).await;
        assert_eq!(writing.cancellations(), 0, "a call that may change something was cancelled");
        gate.open();
        let record = world.last_record().await;
        assert_eq!(
            (record.outcome(), record.error()),
            ("cancelled", "the client went away"),
            "{api:?} {mode:?}"
        );
        assert_eq!(record.call_outcomes(), ["cancelled", "ok"]);
        let result = record.calls[1].outcome.as_ref().unwrap().result.as_deref();
        assert!(result.is_some_and(|result| result.contains("done")), "{result:?}");
        let first = if api == Api::Messages { (1, 17, 5) } else { (1, 10, 5) };
        assert_eq!(tokens(&record), [first]);
        assert_eq!((writing.cancellations(), world.provider.requests().len()), (0, 1));
    }
}

#[tokio::test]
async fn a_shutdown_lets_running_interceptions_finish() {
    for (api, mode) in all_forms() {
        let gate = Gate::new();
        let server = waiting(&gate);
        let world = World::with(server.clone()).await;
        let calls = say("r1").text("Wait.").call("c1", "srv__wait", "{}");
        world.provider.will_say(api, mode, &[calls, say("r2").text("Done.")]);
        let body = api.request(mode, "Hi", &[]);
        let stopping = async {
            server.arrived(1).await;
            world.begin_to_stop().await;
            gate.open();
        };
        let (answer, ()) = tokio::join!(world.ask(api, &body), stopping);
        assert!(answer.message(api, mode).texts.concat().contains("Done."), "{api:?} {mode:?}");
        let record = record_after_the_end(world, answer.header("x-toolgate-interception").unwrap()).await;
        assert_eq!((record.outcome(), record.call_outcomes()), ("completed", vec!["ok"]));
    }
}

#[tokio::test]
async fn after_the_time_to_drain_interceptions_end_in_the_apis_own_form() {
    for (api, mode) in all_forms() {
        let world =
            World::builder().config(|config| config.limits.drain = Duration::from_millis(50)).start().await;
        world.provider.will(unfinished(api, mode, &long_text("r1")));
        let body = api.request(mode, "Hi", &[]);
        let stopping = async {
            world.provider.arrived(1).await;
            world.begin_to_stop().await;
        };
        let (answer, ()) = tokio::join!(world.ask(api, &body), stopping);
        let told = match (api, mode) {
            (_, Mode::Whole) => {
                assert_eq!(answer.status, 503);
                answer.error(api).message
            }
            (Api::Responses, Mode::Streamed) => failed_response(&answer.data()),
            (_, Mode::Streamed) => api_error(api, answer.data().last().unwrap()).message,
        };
        assert_eq!(told, "the gateway is shutting down", "{api:?} {mode:?}: {}", answer.body);
        let record = record_after_the_end(world, answer.header("x-toolgate-interception").unwrap()).await;
        assert_eq!((record.outcome(), record.error()), ("failed", "the gateway is shutting down"));
    }
}

fn failed_response(events: &[Value]) -> String {
    let last = events.last().unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    last["response"]["error"]["message"].as_str().unwrap().to_owned()
}

/// Stops the gateway, and reads what it left behind.
async fn record_after_the_end(world: World, id: &str) -> Record {
    let folder = world.stop().await;
    let store = Store::open_read_only(&toolgate::config::Store::sqlite(
        folder.path().join("toolgate.db"),
        toolgate::config::Durability::Process,
    ))
    .await
    .unwrap();
    Record::read(&store, id.parse().unwrap()).await.unwrap()
}
