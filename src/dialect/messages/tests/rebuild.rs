use serde_json::{Value, json};

use super::{call, kept, message, request, says, text, thinking};
use crate::dialect::{Delivery, Dialect, KeptRound, Messages, Proven, ProvenCall};
use crate::domain::Form;

/// What the seals say of the injected calls of these rounds.
fn proven(rounds: &[Value]) -> Vec<ProvenCall> {
    let mut proven = Vec::new();
    for (round, blocks) in (1..).zip(rounds) {
        let calls = blocks.as_array().unwrap().iter().filter(|block| block["type"] == "tool_use");
        for (position, call) in (0..).zip(calls).filter(|(_, call)| call["name"] != "read") {
            let string = |key: &str| call[key].as_str().unwrap().to_owned();
            proven.push(ProvenCall { round, position, call_id: string("id"), name: string("name") });
        }
    }
    proven
}

fn rebuilt(content: &Value, calls: &[ProvenCall]) -> Option<Vec<KeptRound>> {
    let proven: Vec<_> = calls.iter().cloned().map(Proven::Call).collect();
    let request = request(&json!([says("user", "q"), says("assistant", content.clone())]), &json!({}));
    let history = Messages.history(&request);
    Messages.rebuild(&request, &history.turns[0], &proven)
}

/// The content with the client's calls at its end, as Claude Code sends it back.
fn calls_last(content: &Value) -> Value {
    let (calls, others): (Vec<_>, Vec<_>) =
        content.as_array().unwrap().iter().cloned().partition(|block| block["type"] == "tool_use");
    json!([others, calls].concat())
}

#[test]
fn rounds_come_back_from_what_was_shown_of_them() {
    for rounds in [
        vec![
            json!([thinking("1"), text("I look."), call("a", "gh"), call("b", "db")]),
            json!([text("Found.")]),
        ],
        vec![
            json!([call("a", "gh")]),
            json!([call("b", "gh")]),
            json!([thinking("3"), call("c", "db")]),
            json!([text("So.")]),
        ],
        // The client's calls before, between and behind the injected ones, or in a round of their own.
        vec![json!([thinking("1"), call("c", "read"), call("a", "gh")])],
        vec![json!([text("Both."), call("a", "gh"), call("c", "read"), call("b", "gh"), call("d", "read")])],
        vec![json!([call("a", "gh")]), json!([text("Now yours."), call("c", "read"), call("d", "read")])],
        vec![json!([call("a", "gh")]), json!([text("Both."), call("d", "read"), call("c", "gh")])],
        vec![json!([call("a", "gh")]), json!([call("c", "read")])],
        // Cut short after a call ran.
        vec![json!([text("I look."), call("a", "gh")])],
    ] {
        let expected: Vec<KeptRound> = rounds.iter().map(kept).collect();
        for delivery in [Delivery::Streamed, Delivery::Whole] {
            for lines in [false, true] {
                let content = &message(delivery, Form::Native, lines, &rounds)["content"];
                for content in [content.clone(), calls_last(content)] {
                    let rebuilt = rebuilt(&content, &proven(&rounds));
                    assert_eq!(rebuilt.as_ref(), Some(&expected), "{content}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_tell_a_whole_is_not_rebuilt() {
    let rounds = [json!([call("a", "gh"), call("b", "gh")]), json!([text("So."), call("c", "db")])];
    let content = message(Delivery::Whole, Form::Native, false, &rounds)["content"].clone();
    let proven = proven(&rounds);
    assert!(rebuilt(&content, &proven).is_some());
    for gone in [0, 2] {
        // A call or a result that the client dropped.
        let mut content = content.as_array().unwrap().clone();
        content.remove(gone);
        assert_eq!(rebuilt(&json!(content), &proven), None);
        assert_eq!(rebuilt(&json!(content), &proven[1..]), None);
    }
    let changed = |change: fn(&mut ProvenCall)| {
        let mut proven = proven.clone();
        change(&mut proven[1]);
        rebuilt(&content, &proven)
    };
    assert_eq!(changed(|call| call.round = 2), None);
    assert_eq!(changed(|call| call.round = 3), None);
    assert_eq!(changed(|call| call.position = 0), None);
    assert_eq!(changed(|call| call.position = 2), None);
    assert_eq!(rebuilt(&content, &proven[..2]), None);
}

#[test]
fn a_cache_marker_is_not_part_of_a_round() {
    let rounds = [json!([call("a", "gh")]), json!([text("Found.")])];
    let mut content = message(Delivery::Whole, Form::Native, false, &rounds)["content"].clone();
    content[2]["cache_control"] = json!({"type": "ephemeral"});
    let rebuilt = rebuilt(&content, &proven(&rounds)).unwrap();
    assert_eq!(rebuilt[1], kept(&rounds[1]));
}
