use serde_json::{Value, json};

use super::{call, history, request, result, says, shown, text, thinking};
use crate::dialect::{Dialect, Echo, History, Messages, Request};

/// A conversation of two turns, as the API's documentation writes one.
fn told() -> [Value; 5] {
    [
        says("user", json!("Look  it up.")),
        says("assistant", json!([text("I look."), call("a", "read"), call("b", "read")])),
        says("user", json!([result("a"), result("b"), text("Quick!")])),
        says("assistant", json!([text("Found.")])),
        says("user", json!("Thanks.")),
    ]
}

fn whole(messages: &[Value]) -> History {
    history(&json!(messages))
}

#[test]
fn a_conversation_counts_the_same_in_all_the_ways_that_clients_tell_it() {
    let plain = whole(&told()).whole;
    let marked = json!({"type": "text", "text": "Thanks.", "cache_control": {"type": "ephemeral"}});
    let [used, resulted] = shown("mcptoolu_tgx", "r");
    let short = json!({"type": "tool_result", "tool_use_id": "b", "content": "of b", "is_error": false});
    for (place, other) in [
        (0, says("user", json!([text("Look it up.")]))),
        (0, says("user", json!([text("Look "), text("it up.")]))),
        (1, says("assistant", json!([call("b", "read"), call("a", "read"), text("I look.")]))),
        (
            1,
            says(
                "assistant",
                json!([
                    thinking("hm"),
                    text("I "),
                    thinking("so"),
                    text("look."),
                    call("a", "read"),
                    call("b", "read")
                ]),
            ),
        ),
        (2, says("user", json!([short, result("a"), text("Quick!")]))),
        (2, says("user", json!([text("Quick"), result("b"), result("a"), text("!")]))),
        (3, says("assistant", json!("Found."))),
        (3, says("assistant", json!([used, resulted, text("Found."), text("")]))),
        (4, says("user", json!([marked]))),
    ] {
        let mut messages = told();
        messages[place] = other;
        assert_eq!(whole(&messages).whole, plain, "{}", messages[place]);
    }
}

#[test]
fn a_turn_split_into_messages_is_one() {
    let mut messages = told().to_vec();
    messages.splice(
        1..2,
        [
            says("assistant", json!([text("I look.")])),
            says("assistant", json!([call("b", "read")])),
            says("assistant", json!([call("a", "read")])),
        ],
    );
    let (split, plain) = (whole(&messages), whole(&told()));
    assert_eq!(split.whole, plain.whole);
    assert_eq!(split.turns[0].elements, 1..4);
    assert_eq!(split.turns[0].visible, plain.turns[0].visible);
    assert_eq!(split.turns[1].elements, 5..6);
    assert_eq!(split.turns[1].before, plain.turns[1].before);
}

#[test]
fn what_says_something_else_counts_otherwise() {
    let plain = whole(&told()).whole;
    let failed = json!({"type": "tool_result", "tool_use_id": "a", "content": "of a", "is_error": true});
    for (place, other) in [
        (0, says("system", json!("Look it up."))),
        (0, says("user", json!([text("Look it up."), {"type": "image", "source": {}}]))),
        (1, says("assistant", json!([text("I look."), call("a", "read")]))),
        (1, says("assistant", json!([text("I look."), call("a", "read"), call("b", "write")]))),
        (2, says("user", json!([failed, result("b"), text("Quick!")]))),
        (2, says("user", json!([result("a"), result("b")]))),
        (3, says("assistant", json!("Not found."))),
    ] {
        let mut messages = told();
        messages[place] = other;
        assert_ne!(whole(&messages).whole, plain, "{}", messages[place]);
    }
}

#[test]
fn what_comes_before_a_turn_is_what_was_whole_when_it_was_asked_for() {
    let told = told();
    let all = whole(&told);
    assert_eq!(all.turns[0].before, whole(&told[..1]).whole);
    assert_eq!(all.turns[1].before, whole(&told[..3]).whole);
    assert!(!all.turns[0].has_thinking && all.turns[0].echoes.is_empty());
    assert_eq!(all.turns[0].visible.text, "Ilook.");
    assert!(all.turns[0].visible.calls.iter().eq(["a", "b"]));
}

#[test]
fn calls_that_were_shown_come_back_as_echoes_and_do_not_count() {
    let [used, resulted] = shown("mcptoolu_tgS-1", "42 birds");
    let turn = |blocks: Value| history(&json!([says("user", json!("q")), says("assistant", blocks)]));
    let plain = turn(json!([text("So.")]));
    let call = |id: &str, arguments: &str, result: &str, is_error| Echo::Call {
        seal: id.to_owned(),
        arguments: arguments.to_owned(),
        result: result.to_owned(),
        is_error,
    };
    let stringified = json!({"type": "mcp_tool_result", "tool_use_id": "mcptoolu_tgS-1", "is_error": true, "content": "bad"});
    for (blocks, echo) in [
        (json!([used, resulted, text("So.")]), call("S-1", r#"{"q":1}"#, "42 birds", false)),
        (json!([used, stringified, text("So.")]), call("S-1", r#"{"q":1}"#, "bad", true)),
        (json!([used, text("So.")]), call("S-1", r#"{"q":1}"#, "", false)),
        (json!([text("So."), resulted]), call("S-1", "", "42 birds", false)),
    ] {
        let told = turn(blocks.clone());
        assert_eq!(told.whole, plain.whole, "{blocks}");
        assert_eq!(told.turns[0].echoes, [echo], "{blocks}");
    }
}

#[test]
fn foreign_calls_are_echoes_unless_the_request_brings_their_servers() {
    let blocks = [shown("mcptoolu_x", "r"), shown("mcptoolu_tgy", "r")].concat();
    let messages = json!([says("user", json!("q")), says("assistant", json!(blocks))]);
    let ids = |more: Value| {
        let history = Messages.history(&request(&messages, &more));
        let id = |echo: &Echo| match echo {
            Echo::Call { seal, .. } | Echo::Seal(seal) => seal.clone(),
        };
        (history.turns[0].echoes.iter().map(id).collect::<Vec<_>>(), history.whole)
    };
    let (foreign, own) = (ids(json!({})), ids(json!({"mcp_servers": [{"name": "s"}]})));
    assert_eq!(foreign.0, ["mcptoolu_x", "y"]);
    assert_eq!(own.0, ["y"]);
    assert_ne!(foreign.1, own.1);
}

#[test]
fn a_beginning_is_the_same_for_all_requests_of_a_conversation() {
    let of = |messages: &[Value], more: Value| Messages.history(&request(&json!(messages), &more));
    let system = |billing: &str| json!({"system": [text(billing), text("Be terse.")]});
    let first = of(&told()[..1], system("x-anthropic-billing-header: cc_version=1.a;"));
    let later = of(&told(), system("x-anthropic-billing-header: cc_version=1.b;"));
    assert_eq!(first.beginning, later.beginning);
    assert_eq!(first.tools, later.tools);
    assert_ne!(first.beginning, of(&told(), json!({"system": "Be verbose."})).beginning);
    let without = of(&told(), json!({"system": "Be terse.", "tools": []}));
    assert_ne!(first.tools, without.tools);
    assert_ne!(first.beginning, without.beginning);
}

#[test]
fn the_same_request_counts_the_same_however_it_is_to_be_delivered() {
    let of = |more: Value| request(&json!(told()), &more);
    let plain = of(json!({"system": "s"}));
    let same = json!({"system": "s", "stream": true, "max_tokens": 4000, "metadata": {"user_id": "u"}});
    assert_eq!(of(same).fingerprint(), plain.fingerprint());
    for other in [
        json!({"system": "t"}),
        json!({"system": "s", "temperature": 0}),
        json!({"system": "s", "model": "n"}),
    ] {
        assert_ne!(of(other.clone()).fingerprint(), plain.fingerprint(), "{other}");
    }
    let end_user = |request: &Request| Messages.history(request).end_user;
    assert_eq!(end_user(&of(json!({"metadata": {"user_id": "u"}}))).as_deref(), Some("u"));
    assert_eq!(end_user(&plain), None);
}

#[test]
fn what_is_no_message_is_no_reason_to_panic() {
    for messages in [
        json!("x"),
        json!([1, "a", [], null, {}]),
        json!([{"role": "assistant"}, {"role": "assistant", "content": [1, {"type": 5}]}]),
    ] {
        history(&messages);
    }
}
