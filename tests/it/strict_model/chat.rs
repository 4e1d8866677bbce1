//! What the chat API refuses.

use serde_json::Value;

/// Every call is answered by one tool message directly behind the turn that made it.
pub fn check(history: &[Value]) -> Result<(), String> {
    let mut open: Vec<String> = Vec::new();
    for (at, message) in history.iter().enumerate() {
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let place = open.iter().position(|call| call == id).ok_or_else(|| {
                format!("messages[{at}]: 'tool' must be a response to a preceding message with 'tool_calls': {id:?}")
            })?;
            open.remove(place);
            continue;
        }
        if !open.is_empty() {
            return Err(format!(
                "messages[{at}]: 'tool_calls' must be followed by tool messages responding to each: {open:?}"
            ));
        }
        if message["role"] == "assistant" {
            let calls = message["tool_calls"].as_array();
            if calls.is_none() && message["content"].is_null() {
                return Err(format!("messages[{at}]: content is null, and there are no tool_calls"));
            }
            if calls.is_some_and(Vec::is_empty) {
                return Err(format!("messages[{at}]: [] is too short - 'tool_calls'"));
            }
            for call in calls.into_iter().flatten() {
                open.push(call["id"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    if open.is_empty() { Ok(()) } else { Err(format!("no tool messages at the end for: {open:?}")) }
}
