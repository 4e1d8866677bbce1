//! What the provider got, read back: the history of a request, whichever the API.

use serde_json::{Value, json};

use crate::provider::Received;
use crate::wire::Api;

/// A tool result as it went up.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// The call's id.
    pub id: String,
    /// Its texts.
    pub text: String,
    /// Whether the model is told that the call failed: by the flag where the API has one, else in words.
    pub is_error: bool,
}

impl Received {
    /// The history: `messages` or `input`.
    pub fn history(&self, api: Api) -> Vec<Value> {
        let key = if api == Api::Responses { "input" } else { "messages" };
        self.json()[key].as_array().unwrap().clone()
    }

    /// What this request's history has more than an earlier one's, which it must begin with.
    pub fn added_since(&self, api: Api, earlier: &Self) -> Vec<Value> {
        let (mut history, before) = (self.history(api), earlier.history(api));
        let added = history.split_off(before.len());
        assert_eq!(history, before, "the history was changed");
        added
    }

    /// The results of all tool calls in the history, in order.
    pub fn told(&self, api: Api) -> Vec<Told> {
        self.history(api)
            .iter()
            .flat_map(|element| match api {
                Api::Messages => {
                    element["content"].as_array().into_iter().flatten().filter_map(tool_result).collect()
                }
                Api::Chat => Vec::from_iter(tool_message(element)),
                Api::Responses => Vec::from_iter(output(element)),
            })
            .collect()
    }
}

/// The names of the functions that a request's or answer's tools define, and whatever else is in it.
pub fn function(tool: &Value) -> (String, Value) {
    let inner = if tool["function"].is_object() { &tool["function"] } else { tool };
    let schema = inner.get("parameters").or(inner.get("input_schema")).cloned().unwrap_or(json!(null));
    (inner["name"].as_str().unwrap_or_default().to_owned(), schema)
}

fn tool_result(block: &Value) -> Option<Told> {
    (block["type"] == "tool_result").then(|| Told {
        id: string(&block["tool_use_id"]),
        text: texts(&block["content"]),
        is_error: block["is_error"] == true,
    })
}

fn tool_message(message: &Value) -> Option<Told> {
    (message["role"] == "tool").then(|| in_words(&message["tool_call_id"], &message["content"]))
}

fn output(item: &Value) -> Option<Told> {
    (item["type"] == "function_call_output").then(|| in_words(&item["call_id"], &item["output"]))
}

fn in_words(id: &Value, content: &Value) -> Told {
    let text = texts(content);
    Told { id: string(id), is_error: text.starts_with("Error"), text }
}

fn texts(content: &Value) -> String {
    match content.as_array() {
        Some(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n"),
        None => string(content),
    }
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
