//! Whatever the rounds of an answer say: what a client echoes of them is known again, and becomes what went up.

use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use toolgate::dialect::{KeptRound, NextRound, Request, Restoration, Visible};
use toolgate::domain::ToolResult;

use crate::client::Message;
use crate::conversation::{Conversation, End};
use crate::properties::{OURS, THEIRS, rounds};
use crate::wire::{Api, Mode, Say, all_forms};

/// An answer, and what the gateway knows of it.
struct Answered {
    /// What the client got.
    message: Message,
    visible: Visible,
    kept: Vec<KeptRound>,
    /// The history that went up for the last round.
    went_up: Vec<String>,
}

fn answer(api: Api, mode: Mode, body: &Value, rounds: &[Say]) -> Answered {
    let mut conversation = Conversation::new(api, mode, body, &OURS);
    let (mut visible, mut kept) = (Visible::default(), Vec::new());
    for (number, say) in rounds.iter().enumerate() {
        if let Some(kept) = kept.last() {
            api.dialect().append(&mut conversation.request, kept, NextRound::MayCall);
            conversation.splicer.next_round(&mut conversation.out);
        }
        let round = conversation.round(&api.bytes(mode, say));
        visible.add_text(&round.text);
        visible.calls.extend(round.client_calls().map(|call| call.id.clone()));
        visible.items.extend(round.item_ids.iter().cloned());
        let results: Vec<_> = round
            .injected_calls()
            .map(|call| ToolResult::text(format!("{number} for {}", call.id)))
            .collect();
        kept.push(api.dialect().keep(&round, &results));
    }
    let went_up = elements(api, &conversation.request);
    Answered { message: conversation.end(End::Natural).message(api, mode), visible, kept, went_up }
}

fn key(api: Api) -> &'static str {
    if api == Api::Responses { "input" } else { "messages" }
}

/// The elements of a request's history, byte for byte.
fn elements(api: Api, request: &Request) -> Vec<String> {
    let body: std::collections::HashMap<String, Box<RawValue>> =
        serde_json::from_slice(&request.body()).unwrap();
    let elements: Vec<Box<RawValue>> = serde_json::from_str(body[key(api)].get()).unwrap();
    elements.iter().map(|element| element.get().to_owned()).collect()
}

/// What the client sends behind the history that was answered: the answer, its results for some of its calls,
/// and what its user says.
fn echo(api: Api, message: &Message, answers: impl Fn(usize) -> bool) -> Vec<Value> {
    let input = |arguments: &str| serde_json::from_str(arguments).unwrap_or_else(|_| json!({}));
    let function = |name: &str, arguments: &str| json!({"name": name, "arguments": arguments});
    let call = |call: &crate::wire::Call| match api {
        Api::Messages => {
            json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input(&call.arguments)})
        }
        Api::Chat => {
            json!({"id": call.id, "type": "function", "function": function(&call.name, &call.arguments)})
        }
        Api::Responses => {
            json!({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments})
        }
    };
    let result = |call: &crate::wire::Call| match api {
        Api::Messages => json!({"type": "tool_result", "tool_use_id": call.id, "content": "done"}),
        Api::Chat => json!({"role": "tool", "tool_call_id": call.id, "content": "done"}),
        Api::Responses => json!({"type": "function_call_output", "call_id": call.id, "output": "done"}),
    };
    // Some clients change the order of calls.
    let calls: Vec<Value> = message.calls.iter().rev().map(call).collect();
    let answered = message.calls.iter().enumerate().filter(|(at, _)| answers(*at));
    let results: Vec<Value> = answered.map(|(_, call)| result(call)).collect();
    let part = |kind: &'static str| move |text: &String| json!({"type": kind, "text": text});
    let next = json!({"role": "user", "content": "And?"});
    match api {
        Api::Messages => {
            let said: Vec<Value> = message.texts.iter().map(part("text")).chain(calls).collect();
            let answered: Vec<Value> =
                results.into_iter().chain([json!({"type": "text", "text": "And?"})]).collect();
            vec![json!({"role": "assistant", "content": said}), json!({"role": "user", "content": answered})]
        }
        Api::Chat => {
            let mut said = json!({"role": "assistant", "content": message.texts.first()});
            if !calls.is_empty() {
                said["tool_calls"] = Value::from(calls);
            }
            std::iter::once(said).chain(results).chain([next]).collect()
        }
        Api::Responses => {
            let said = |text| json!({"type": "message", "role": "assistant", "content": [part("output_text")(text)]});
            message.texts.iter().map(said).chain(calls).chain(results).chain([next]).collect()
        }
    }
}

/// The ids of the calls, and of those that have results, in these elements of a history.
fn calls_and_results(api: Api, elements: &[String]) -> [Vec<String>; 2] {
    let parsed = elements.iter().map(|element| serde_json::from_str::<Value>(element).unwrap());
    let pieces: Vec<Value> = parsed
        .flat_map(|element| match api {
            Api::Messages => element["content"].as_array().cloned().unwrap_or_default(),
            Api::Chat => {
                let calls = element["tool_calls"].as_array().cloned().unwrap_or_default();
                std::iter::once(element).chain(calls).collect()
            }
            Api::Responses => vec![element],
        })
        .collect();
    let ids = |kind: &str, id: &str| {
        let of_kind = pieces.iter().filter(|piece| piece["type"] == kind || piece["role"] == kind);
        of_kind.map(|piece| piece[id].as_str().unwrap().to_owned()).collect()
    };
    match api {
        Api::Messages => [ids("tool_use", "id"), ids("tool_result", "tool_use_id")],
        Api::Chat => [ids("function", "id"), ids("tool", "tool_call_id")],
        Api::Responses => [ids("function_call", "call_id"), ids("function_call_output", "call_id")],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_kept_of_any_rounds_comes_back_as_it_went_up(rounds in rounds(), answers in any::<u8>()) {
        for (api, mode) in all_forms() {
            let dialect = api.dialect();
            let mut body = api.request(mode, "Hello?", &THEIRS);
            let before = dialect.history(&dialect.read(body.to_string().into()).unwrap());
            let answered = answer(api, mode, &body, &rounds);
            if answered.visible.is_empty() {
                continue;
            }
            let echo = echo(api, &answered.message, |at| answers >> at & 1 == 1);
            body[key(api)].as_array_mut().unwrap().extend(echo);
            let mut request = dialect.read(body.to_string().into()).unwrap();
            let history = dialect.history(&request);
            let turn = &history.turns[0];
            prop_assert_eq!(turn.before, before.whole, "{:?}", api);
            prop_assert_eq!(history.beginning, before.beginning, "{:?}", api);
            prop_assert!(answered.visible.is_echoed_by(&turn.visible), "{:?}: {:?} {:?}", api, answered.visible, turn.visible);

            let restoration = Restoration::Rounds { rounds: &answered.kept, with_thinking: true };
            dialect.restore(&mut request, &history, &[(0, restoration)]);
            let up = elements(api, &request);
            let (same, rest) = up.split_at(answered.went_up.len());
            prop_assert_eq!(same, &answered.went_up[..], "{:?} {:?}", api, mode);
            let [calls, mut results] = calls_and_results(api, rest);
            let ids: Vec<String> = answered.kept.last().unwrap().calls.iter().map(|call| call.id.clone()).collect();
            prop_assert_eq!(&calls, &ids, "{:?} {:?}: {:?}", api, mode, rest);
            results.sort();
            prop_assert_eq!(&results, &ids, "{:?} {:?}: {:?}", api, mode, rest);
            prop_assert!(up.last().unwrap().contains("And?"), "{:?} {:?}: {:?}", api, mode, rest);
        }
    }
}
