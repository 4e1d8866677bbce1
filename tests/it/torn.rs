//! Lines that are cut in the midst of a round: the client comes back with the blocks and items that it has of it, and
//! what goes up from then on goes on with what went up before.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::client::Live;
use crate::mcp_server::McpServer;
use crate::provider::{Received, Reply, Step};
use crate::wire::{Api, Mode, Say, say};
use crate::world::World;

/// The model writes, and then both writes and asks for something of the client's, in this order or the other.
fn rounds(writes_first: bool) -> [Say; 2] {
    let calls = [("x2", "mine"), ("c2", "srv__write")];
    let ordered = if writes_first { [calls[1], calls[0]] } else { calls };
    let two = say("r2").thinking("Once more, with a file.").text("And once more.");
    [
        say("r1").thinking("I write.").text("Writing it down.").call("c1", "srv__write", r#"{"n":1}"#),
        ordered.into_iter().fold(two, |say, (id, name)| say.call(id, name, r#"{"n":2}"#)),
    ]
}

/// Who breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Client,
    Provider,
}

fn cases() -> impl Iterator<Item = (Api, Breaks)> {
    let breaks = |api| [Breaks::Client, Breaks::Provider].map(|breaks| (api, breaks));
    [Api::Messages, Api::Responses].into_iter().flat_map(breaks)
}

/// A stream that stops before this is in it.
fn stops_before(api: Api, say: &Say, (what, breaks): (&str, Breaks)) -> Reply {
    let frames = api.frames(say);
    let at = frames.iter().position(|frame| frame.contains(what)).unwrap();
    let mut steps: Vec<Step> = frames.into_iter().take(at).map(|frame| Step::Bytes(frame.into())).collect();
    steps.push(if breaks == Breaks::Client { Step::Hang } else { Step::Cut });
    Reply::steps(steps).header("content-type", "text/event-stream")
}

/// Asks, and is gone, or left alone, when the second round has come as far as this. So many blocks or items were
/// done; what the client has of them comes into its history.
async fn tear(
    world: &World,
    agent: &mut Agent,
    rounds: &[Say; 2],
    before: (&str, Breaks),
    (done, has): (usize, &[&str]),
) {
    let (api, [one, two]) = (agent.api, rounds);
    world.provider.will_say(api, Mode::Streamed, std::slice::from_ref(one));
    world.provider.will(stops_before(api, two, before));
    let headers: Vec<(&str, &str)> = agent.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let mut live = Live::new(world.open(api.path(), agent.request().to_string(), &headers).await);
    let kind = if api == Api::Messages { "content_block_stop" } else { "response.output_item.done" };
    live.until_times(&format!(r#""type":"{kind}""#), done).await;
    drop(live);
    world.first_record().await;
    let is_seen = |piece: &&Value| has.iter().any(|has| piece.to_string().contains(has));
    let said: Vec<Value> =
        [pieces(api, one), pieces(api, two)].concat().iter().filter(is_seen).cloned().collect();
    match api {
        Api::Messages => agent.history.push(json!({"role": "assistant", "content": said})),
        _ => agent.history.extend(said),
    }
}

fn pieces(api: Api, say: &Say) -> Vec<Value> {
    let whole = api.whole(say);
    let pieces = if api == Api::Messages { &whole["content"] } else { &whole["output"] };
    pieces.as_array().unwrap().clone()
}

/// What the client has where the second round was cut before its first call.
const HALF: [&str; 4] = ["I write.", "Writing it down.", "Once more, with a file.", "And once more."];

#[tokio::test]
async fn f59_what_is_added_to_the_half_of_a_round_stands_behind_that_half_ever_after() {
    for (api, breaks) in cases() {
        let world = World::with(McpServer::new().echo("write")).await;
        let mut agent = Agent::new(api, Mode::Streamed).header("x-session-id", "s1");
        agent.prompt("Write it down.");
        tear(&world, &mut agent, &rounds(false), ("x2", breaks), (4, &HALF)).await;
        let again = say("r3").thinking("Once more.").text("And once more.");
        let again = again.call("x3", "mine", r#"{"n":2}"#).call("c3", "srv__write", r#"{"n":2}"#);
        world.provider.will_say(api, Mode::Streamed, &[again, say("r4").text("It is written.")]);
        agent.send(&world).await;
        agent.results().send(&world).await;
        world.provider.will_say(api, Mode::Streamed, &[say("r5").text("Yes.")]);
        agent.prompt("Is it?").send(&world).await;
        let requests = world.provider.requests();
        let half = json!(requests[2].added_since(api, &requests[1])).to_string();
        assert!(half.contains("And once more."), "{api:?}: what the client saw of it: {half}");
        for pair in requests[2..].windows(2) {
            pair[1].added_since(api, &pair[0]);
        }
        check_legal(api, requests.last().unwrap());
    }
}

/// No message is empty, and each call has its result.
fn check_legal(api: Api, request: &Received) {
    let history = request.history(api);
    let text = json!(history).to_string();
    assert!(!text.contains(r#""content":[]"#), "{api:?}: {text}");
    let blocks: Vec<Value> = match api {
        Api::Messages => {
            history.iter().filter_map(|message| message["content"].as_array()).flatten().cloned().collect()
        }
        _ => history,
    };
    let ids = |kind: &str, key: &str| -> BTreeSet<String> {
        let of_kind = blocks.iter().filter(|block| block["type"] == kind);
        of_kind.map(|block| block[key].as_str().unwrap().to_owned()).collect()
    };
    let (calls, results) = match api {
        Api::Messages => (ids("tool_use", "id"), ids("tool_result", "tool_use_id")),
        _ => (ids("function_call", "call_id"), ids("function_call_output", "call_id")),
    };
    assert_eq!(calls, results, "{api:?}: {text}");
}

#[tokio::test]
async fn f59_a_call_that_the_client_never_got_to_see_is_answered_in_its_stead_ever_after() {
    for (api, breaks) in cases() {
        let end = if api == Api::Messages { "message_delta" } else { "response.completed" };
        for (writes_first, before) in [(false, "c2"), (true, end)] {
            let world = World::with(McpServer::new().echo("write")).await;
            let mut agent = Agent::new(api, Mode::Streamed).header("x-session-id", "s1");
            agent.prompt("Write it down.");
            tear(&world, &mut agent, &rounds(writes_first), (before, breaks), (5, &HALF)).await;
            world.provider.will_say(api, Mode::Streamed, &[say("r3").text("It is written.")]);
            agent.send(&world).await;
            world.provider.will_say(api, Mode::Streamed, &[say("r4").text("Yes.")]);
            agent.prompt("Is it?").send(&world).await;
            let requests = world.provider.requests();
            let [.., second, third] = &requests[..] else { panic!("no requests") };
            check_legal(api, second);
            check_legal(api, third);
            third.added_since(api, second);
            let calls: Vec<_> = third.told(api).into_iter().map(|told| (told.id, told.is_error)).collect();
            assert!(calls.contains(&("x2".to_owned(), true)), "{api:?} {breaks:?}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn f59_a_call_of_the_clients_in_the_half_of_a_round_goes_up_with_what_came_before_it() {
    for (api, breaks) in cases() {
        let end = if api == Api::Messages { "message_delta" } else { "response.completed" };
        for (writes_first, before) in [(false, "c2"), (true, end)] {
            let server = McpServer::new().echo("write");
            let world = World::with(server.clone()).await;
            let mut agent = Agent::new(api, Mode::Streamed).header("x-session-id", "s1");
            agent.prompt("Write it down.");
            let has: Vec<&str> = HALF.into_iter().chain(["x2"]).collect();
            tear(&world, &mut agent, &rounds(writes_first), (before, breaks), (5, &has)).await;
            world.provider.will_say(api, Mode::Streamed, &[say("r3").text("It is written.")]);
            agent.results_of(&["x2"]).send(&world).await;
            let [.., second, third] = &world.provider.requests()[..] else { panic!("no requests") };
            let added = json!(third.added_since(api, second)).to_string();
            assert!(
                added.contains("Once more, with a file."),
                "{api:?}: its thinking is bound to the call: {added}"
            );
            let told: Vec<_> = third.told(api).into_iter().map(|told| (told.id, told.is_error)).collect();
            let told: Vec<_> = told.iter().map(|(id, is_error)| (id.as_str(), *is_error)).collect();
            let expected = if writes_first {
                vec![("c1", false), ("c2", true), ("x2", false)]
            } else {
                vec![("c1", false), ("x2", false)]
            };
            assert_eq!(told, expected, "{api:?}");
            check_legal(api, third);
            assert_eq!(server.calls().len(), 1, "{api:?}: what ran does not run again");
            let torn = world.first_record().await;
            assert!(
                torn.outcomes_by_id().contains(&("x2", "released")),
                "{api:?}: {:?}",
                torn.outcomes_by_id()
            );
        }
    }
}
