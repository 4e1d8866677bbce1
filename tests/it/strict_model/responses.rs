//! What the responses API refuses, and the responses that it keeps.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

/// The items that a request stands on: those of the stored response that it goes on from, then its own, with
/// references put in.
pub fn history(body: &Value, stored: &HashMap<String, Vec<Value>>) -> Result<Vec<Value>, String> {
    let mut items = match body["previous_response_id"].as_str() {
        None => Vec::new(),
        Some(id) => {
            stored.get(id).cloned().ok_or_else(|| format!("Previous response with id '{id}' not found."))?
        }
    };
    match &body["input"] {
        Value::String(text) => items.push(json!({"role": "user", "content": text})),
        Value::Array(input) => {
            for item in input {
                items.push(resolved(item, stored)?);
            }
        }
        other => return Err(format!("input: {other}")),
    }
    Ok(items)
}

fn resolved(item: &Value, stored: &HashMap<String, Vec<Value>>) -> Result<Value, String> {
    if item["type"] != "item_reference" {
        return Ok(item.clone());
    }
    let known = stored.values().flatten().find(|kept| kept["id"] == item["id"]);
    known.cloned().ok_or_else(|| format!("Item with id {} not found.", item["id"]))
}

/// Every call has one output behind it, and reasoning that the provider does not hold comes with its seal.
pub fn check(body: &Value, history: &[Value], stored: &HashMap<String, Vec<Value>>) -> Result<(), String> {
    let (mut open, mut ids) = (Vec::new(), HashSet::new());
    for (at, item) in history.iter().enumerate() {
        if let Some(id) = item["id"].as_str().filter(|id| !ids.insert((*id).to_owned())) {
            return Err(format!("Duplicate item found with id {id}."));
        }
        match item["type"].as_str() {
            Some("function_call") => open.push(item["call_id"].clone()),
            Some("function_call_output") => {
                let call = open.iter().position(|call| *call == item["call_id"]).ok_or_else(|| {
                    format!("No tool call found for function call output with call_id {}.", item["call_id"])
                })?;
                open.remove(call);
            }
            Some("reasoning") if item["encrypted_content"].is_null() && !is_kept(body, item, stored) => {
                return Err(format!("Item with id {} not found. Items are not persisted.", item["id"]));
            }
            _ => {}
        }
        check_follows_its_reasoning(at, history, stored)?;
    }
    if open.is_empty() { Ok(()) } else { Err(format!("No tool output found for function calls {open:?}.")) }
}

fn is_kept(body: &Value, item: &Value, stored: &HashMap<String, Vec<Value>>) -> bool {
    body["store"] != false && stored.values().flatten().any(|kept| kept["id"] == item["id"])
}

/// An item that is known by its id wants the reasoning before it with which it was stored.
fn check_follows_its_reasoning(
    at: usize,
    history: &[Value],
    stored: &HashMap<String, Vec<Value>>,
) -> Result<(), String> {
    let item = &history[at];
    let is_this = |kept: &Value| kept["id"].is_string() && kept["id"] == item["id"];
    let reasoning = stored.values().find_map(|items| {
        let place = items.iter().position(is_this)?.checked_sub(1)?;
        (items[place]["type"] == "reasoning").then(|| &items[place]["id"])
    });
    match reasoning {
        Some(id) if at == 0 || history[at - 1]["id"] != *id => {
            Err(format!("Item {} was provided without its required 'reasoning' item: {id}.", item["id"]))
        }
        _ => Ok(()),
    }
}

/// Whether a request asks for sealed reasoning.
pub fn wants_seals(body: &Value) -> bool {
    body["include"].as_array().is_some_and(|include| include.contains(&json!("reasoning.encrypted_content")))
}
