use crate::dialect::raw::{self, Object};

use super::call::CallPieces;

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
}

impl Message {
    /// Takes a delta, but for its tool calls.
    pub fn grow(&mut self, delta: &Object<'_>) {
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
        let mut message = String::from(r#"{"role":"assistant""#);
        if !self.strings.iter().any(|(key, text)| key == "content" && !text.is_empty()) {
            message.push_str(r#","content":null"#);
        }
        for (key, text) in self.strings.iter().filter(|(_, text)| !text.is_empty()) {
            message.extend([",", &raw::quote(key), ":\"", text, "\""]);
        }
        for (key, elements) in &self.arrays {
            message.extend([",", &raw::quote(key), ":[", &elements.join(","), "]"]);
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
