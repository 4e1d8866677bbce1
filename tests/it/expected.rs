//! What a client must make of rounds of which it sees but one message.

use serde_json::{Value, json};

use crate::client::Message;
use crate::wire::{Api, Say};

/// The message of these rounds, but for its usage; `is_ours` says which tools are injected.
pub fn expected(api: Api, rounds: &[Say], is_ours: impl Fn(&str) -> bool) -> Message {
    let texts: Vec<String> =
        rounds.iter().map(|round| round.text.concat()).filter(|text| !text.is_empty()).collect();
    let thinking: Vec<String> = rounds.iter().filter_map(|round| round.thinking.clone()).collect();
    let join = |texts: Vec<String>| match api {
        Api::Chat if !texts.is_empty() => vec![texts.join("\n\n")],
        _ => texts,
    };
    let last = rounds.last().unwrap();
    let calls: Vec<_> = last.calls.iter().filter(|call| !is_ours(&call.name)).cloned().collect();
    let stop = match (api, calls.is_empty()) {
        (Api::Messages, true) => "end_turn",
        (Api::Messages, false) => "tool_use",
        (Api::Chat, true) => "stop",
        (Api::Chat, false) => "tool_calls",
        (Api::Responses, _) => "completed",
    };
    Message {
        id: rounds[0].id.clone(),
        texts: join(texts),
        thinking: join(thinking),
        calls,
        stop: stop.to_owned(),
        usage: Value::Null,
    }
}

/// The messages of a turn: each ends where the client's own tools are called, or with the last round.
pub fn messages(api: Api, rounds: &[Say], is_ours: impl Fn(&str) -> bool) -> Vec<Message> {
    let has_clients = |round: &Say| round.calls.iter().any(|call| !is_ours(&call.name));
    rounds.split_inclusive(has_clients).map(|rounds| expected(api, rounds, &is_ours)).collect()
}

/// A message whose calls' arguments are spelled in one way, for messages keep no spelling, and without usage.
pub fn spelled(mut message: Message) -> Message {
    message.usage = Value::Null;
    for call in &mut message.calls {
        let parsed: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        call.arguments = parsed.to_string();
    }
    message
}
