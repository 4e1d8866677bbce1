//! What binds a turn to what went before: thoughts hold only behind the very prefix that they were made
//! behind, and a turn that calls injected tools comes back as it was issued.

use serde_json::Value;

use super::{INJECTED, Issued};
use crate::wire::Api;

/// Each thought was issued, and stands behind what it was issued behind; but a leading run of thoughts may be
/// left out. Reasoning may come without its id, which its seal stands for.
pub fn check_thoughts(api: Api, units: &[Value], issued: &[Issued]) -> Result<(), String> {
    for (at, thought) in units.iter().enumerate().filter(|(_, unit)| is_thought(unit)) {
        let is_this =
            |item: &Value| item == thought || (is_sealed(item) && bare_item(item) == bare_item(thought));
        let mut places =
            issued.iter().filter_map(|round| Some((round, round.items.iter().position(is_this)?)));
        let mut is_known = false;
        let fits = places.any(|(round, place)| {
            is_known = true;
            let before: Vec<&Value> = round.prefix.iter().chain(&round.items[..place]).collect();
            let next = round.items.get(place + 1).filter(|_| api == Api::Responses);
            is_same_but_for_leading_thoughts(&before, &units[..at])
                && next.is_none_or(|next| units.get(at + 1).is_some_and(|unit| kind(unit) == kind(next)))
        });
        if !is_known {
            return Err(format!("units.{at}: Invalid `signature` in `thinking` block: {thought}"));
        }
        if !fits {
            return Err(format!("units.{at}: The block is bound to a different conversation: {thought}"));
        }
    }
    Ok(())
}

fn is_sealed(item: &Value) -> bool {
    item["encrypted_content"].is_string()
}

/// What kind of item a unit is; a message needs no type.
fn kind(unit: &Value) -> &str {
    unit["type"].as_str().unwrap_or("message")
}

fn is_same_but_for_leading_thoughts(then: &[&Value], now: &[Value]) -> bool {
    let count = |thoughts: usize, unit: &Value| thoughts + usize::from(is_thought(unit));
    let (made, kept) = (then.iter().copied().fold(0, count), now.iter().fold(0, count));
    let mut to_leave_out = made.saturating_sub(kept);
    let expected = then.iter().filter(|unit| {
        let leave_out = to_leave_out > 0 && is_thought(unit);
        to_leave_out -= usize::from(leave_out);
        !leave_out
    });
    expected.copied().eq(now)
}

/// Each turn with a call of an injected tool is whole and in order. `without_thoughts`: or but for its thoughts.
pub fn check_injected(
    api: Api,
    units: &[Value],
    issued: &[Issued],
    without_thoughts: bool,
) -> Result<(), String> {
    for (at, unit) in units.iter().enumerate() {
        for id in injected_calls(api, unit) {
            let has = |item: &Value| injected_calls(api, item).contains(&id);
            let round = issued.iter().rev().find(|round| round.items.iter().any(has));
            let round = round.ok_or_else(|| format!("the call {id} was never made"))?;
            let spare = |units: &[Value]| -> Vec<Value> {
                if without_thoughts { bare(units) } else { units.to_vec() }
            };
            let expected = spare(&round.items);
            let place = expected.iter().position(has).unwrap();
            let found = spare(turn(api, units, at, place, expected.len()));
            if found != expected {
                return Err(format!("the turn of {id} is not what was issued: {found:?} for {expected:?}"));
            }
        }
    }
    Ok(())
}

/// Units without thoughts, without the ids that bind items to them, and without what only tells of the past.
fn bare(units: &[Value]) -> Vec<Value> {
    units.iter().filter(|unit| !is_thought(unit)).map(bare_item).collect()
}

fn bare_item(unit: &Value) -> Value {
    let fields = unit.as_object().into_iter().flatten();
    fields
        .filter(|(key, _)| *key != "id" && *key != "status")
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The model's turn around a unit: up to where another speaks (messages), or as long as it was issued.
fn turn(api: Api, units: &[Value], at: usize, place: usize, length: usize) -> &[Value] {
    match api {
        Api::Messages => {
            let is_users = |unit: &Value| unit["role"] != "assistant";
            let start = units[..at].iter().rposition(is_users).map_or(0, |last| last + 1);
            let end = units[at..].iter().position(is_users).map_or(units.len(), |next| at + next);
            &units[start..end]
        }
        Api::Chat => &units[at..=at],
        Api::Responses => {
            let start = at.saturating_sub(place);
            &units[start..units.len().min(start + length)]
        }
    }
}

/// The ids of a unit's calls of injected tools.
fn injected_calls(api: Api, unit: &Value) -> Vec<String> {
    let calls = match api {
        Api::Messages => vec![(&unit["block"]["id"], &unit["block"]["name"])],
        Api::Chat => {
            let calls = unit["tool_calls"].as_array().into_iter().flatten();
            calls.map(|call| (&call["id"], &call["function"]["name"])).collect()
        }
        Api::Responses => vec![(&unit["call_id"], &unit["name"])],
    };
    let is_injected = |name: &Value| name.as_str().is_some_and(|name| name.starts_with(INJECTED));
    calls
        .into_iter()
        .filter(|(_, name)| is_injected(name))
        .filter_map(|(id, _)| id.as_str().map(str::to_owned))
        .collect()
}

fn is_thought(unit: &Value) -> bool {
    unit["type"] == "reasoning"
        || matches!(unit["block"]["type"].as_str(), Some("thinking" | "redacted_thinking"))
}
