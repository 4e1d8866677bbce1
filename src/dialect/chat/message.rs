//! The message of a streamed round, gathered from its deltas.

use super::call::{self, CallPieces};
use super::chunk::Chunk;
use crate::dialect::raw::{self, Object};

/// The assistant's message of one streamed round, gathered from its deltas, in the form in which it goes
/// back up.
#[derive(Debug, Default)]
pub struct Message {
    /// Strings that grow: `content`, `refusal`, and what a provider adds, such as `reasoning_content`; still
    /// escaped.
    strings: Vec<(String, String)>,
    /// Arrays that grow, such as `reasoning_details`: their elements.
    arrays: Vec<(String, Vec<String>)>,
    /// The tool calls, in the model's order.
    pub calls: Vec<CallPieces>,
    /// A delta has said something.
    begun: bool,
    /// The only delta that has, where it is a message as it stands.
    alone: Option<String>,
}

/// Whether a delta is a message as it stands, to be taken so: its calls are complete and have no index.
pub fn is_whole(delta: &Object<'_>) -> bool {
    let is_whole = |call: &str| {
        let has = |call: &Object<'_>, key| call.string(key).is_some_and(|value| !value.is_empty());
        Object::within(call).is_some_and(|call| {
            call.get("index").is_none()
                && has(&call, "id")
                && has(&call, "type")
                && call::read_name(&call).is_some()
        })
    };
    delta.string("role").is_some_and(|role| role == "assistant")
        && delta.array("tool_calls").into_iter().all(is_whole)
}

impl Message {
    /// Takes a delta, but for its tool calls.
    pub fn grow(&mut self, chunk: &Chunk<'_>) {
        let delta = &chunk.delta;
        if chunk.says_more_than(&["role"]) {
            let text = chunk.choice.as_ref().and_then(|choice| choice.get("delta"));
            self.alone = text.filter(|_| !self.begun && is_whole(delta)).map(str::to_owned);
            self.begun = true;
        }
        for field in &delta.fields {
            if matches!(&*field.key, "role" | "tool_calls" | "function_call") {
                continue;
            }
            if let Some(piece) = raw::inner(field.value) {
                entry(&mut self.strings, &field.key).push_str(piece);
            } else if let Some(elements) = raw::elements(field.value) {
                entry(&mut self.arrays, &field.key).extend(elements.into_iter().map(str::to_owned));
            }
        }
    }

    /// What the model thought, under the names that providers use for it.
    pub fn thoughts(&self) -> String {
        let thoughts = self.strings.iter().find(|(key, _)| key == "reasoning_content" || key == "reasoning");
        thoughts.map(|(_, text)| raw::unescape(text)).unwrap_or_default()
    }

    /// The message as an element of `messages`.
    pub fn render(&self) -> String {
        if let Some(message) = &self.alone {
            return message.clone();
        }
        // Some providers write thinking as parts of the content, and then the answer as a string.
        let has_parts = self.arrays.iter().any(|(key, parts)| key == "content" && !parts.is_empty());
        let content = self.strings.iter().find(|(key, text)| key == "content" && !text.is_empty());
        let mut message = String::from(r#"{"role":"assistant""#);
        if content.is_none() && !has_parts {
            message.push_str(r#","content":null"#);
        }
        for (key, text) in self.strings.iter().filter(|(_, text)| !text.is_empty()) {
            if !(has_parts && key == "content") {
                message.extend([",", &raw::quote(key), ":\"", text, "\""]);
            }
        }
        for (key, elements) in self.arrays.iter().filter(|(key, _)| has_parts || key != "content") {
            let mut elements = elements.join(",");
            if let Some((_, text)) = content.filter(|_| key == "content") {
                elements.extend([r#",{"type":"text","text":""#, text, "\"}"]);
            }
            message.extend([",", &raw::quote(key), ":[", &elements, "]"]);
        }
        let calls: Vec<String> = self.calls.iter().filter_map(CallPieces::render).collect();
        if !calls.is_empty() {
            message.extend([r#","tool_calls":["#, &calls.join(","), "]"]);
        }
        message.push('}');
        message
    }
}

fn entry<'a, T: Default>(entries: &'a mut Vec<(String, T)>, key: &str) -> &'a mut T {
    let at = entries.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
        entries.push((key.to_owned(), T::default()));
        entries.len() - 1
    });
    &mut entries[at].1
}
