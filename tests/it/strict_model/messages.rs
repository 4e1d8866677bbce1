//! What the messages API refuses.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::Issued;

/// Every call is answered in the user message directly behind it, before anything else is said there.
pub fn check(body: &Value, history: &[Value]) -> Result<(), String> {
    let mut names = HashSet::new();
    for tool in body["tools"].as_array().into_iter().flatten() {
        if !names.insert(tool["name"].to_string()) {
            return Err(format!("tools: Tool names must be unique: {}", tool["name"]));
        }
    }
    let (mut open, mut seen) = (Vec::new(), HashSet::new());
    for (at, message) in history.iter().enumerate() {
        let blocks: Vec<Value> = blocks(message).into_iter().map(|mut unit| unit["block"].take()).collect();
        if blocks.is_empty() {
            return Err(format!("messages.{at}: all messages must have non-empty content"));
        }
        if blocks
            .iter()
            .any(|block| block["type"] == "text" && block["text"].as_str().unwrap().trim().is_empty())
        {
            return Err(format!("messages.{at}: text content blocks must contain non-whitespace text"));
        }
        if message["role"] == "assistant" {
            for call in blocks.iter().filter(|block| block["type"] == "tool_use") {
                if !seen.insert(call["id"].to_string()) {
                    return Err(format!("messages.{at}: `tool_use` ids must be unique: {}", call["id"]));
                }
                open.push(call["id"].clone());
            }
            continue;
        }
        let is_result = |block: &&Value| block["type"] == "tool_result";
        let mut results: Vec<Value> =
            blocks.iter().take_while(is_result).map(|block| block["tool_use_id"].clone()).collect();
        if blocks.iter().filter(is_result).count() > results.len() {
            return Err(format!("messages.{at}: `tool_result` blocks must come first"));
        }
        let mut wanted = std::mem::take(&mut open);
        results.sort_by_key(Value::to_string);
        wanted.sort_by_key(Value::to_string);
        if results != wanted {
            return Err(format!(
                "messages.{at}: `tool_use` ids {wanted:?} want `tool_result` blocks immediately after, found {results:?}"
            ));
        }
    }
    if open.is_empty() {
        Ok(())
    } else {
        Err(format!("`tool_use` ids without `tool_result` at the end: {open:?}"))
    }
}

/// With thinking enabled, the turn that waits for results begins with the thinking that it was issued with.
pub fn check_begins_with_thinking(history: &[Value], issued: &[Issued]) -> Result<(), String> {
    let Some((results, before)) = history.split_last() else { return Ok(()) };
    if !blocks(results).iter().any(|unit| unit["block"]["type"] == "tool_result") {
        return Ok(());
    }
    let start = before.iter().rposition(|message| message["role"] != "assistant").map_or(0, |last| last + 1);
    let turn: Vec<Value> = before[start..].iter().flat_map(blocks).collect();
    let is_thinking = |unit: &Value| unit["block"]["type"] == "thinking";
    let is_call = |unit: &&Value| unit["block"]["type"] == "tool_use";
    let was_issued_with = issued.iter().rev().find_map(|round| {
        let is_ours = turn.iter().filter(is_call).any(|call| round.items.contains(call));
        is_ours.then(|| is_thinking(&round.items[0]))
    });
    if was_issued_with == Some(true) && !turn.first().is_some_and(is_thinking) {
        return Err(format!(
            "Expected `thinking` or `redacted_thinking`, but found {}. When `thinking` is enabled, a final \
             `assistant` message must start with a thinking block",
            turn[0]
        ));
    }
    Ok(())
}

/// A message, block by block.
pub fn blocks(message: &Value) -> Vec<Value> {
    let unit = |block: &Value| json!({"role": message["role"], "block": block});
    match &message["content"] {
        Value::String(text) => vec![unit(&json!({"type": "text", "text": text}))],
        Value::Array(blocks) => blocks.iter().map(unit).collect(),
        _ => Vec::new(),
    }
}

/// The system prompt, block by block, without the billing line, which the provider takes out.
pub fn system(body: &Value) -> Vec<Value> {
    let is_billing =
        |text: &Value| text.as_str().is_some_and(|text| text.starts_with("x-anthropic-billing-header:"));
    match &body["system"] {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(blocks) => blocks
            .iter()
            .enumerate()
            .filter(|(at, block)| *at > 0 || !is_billing(&block["text"]))
            .map(|(_, block)| block.clone())
            .collect(),
        _ => Vec::new(),
    }
}
