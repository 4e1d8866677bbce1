//! What a message says, part by part.

use std::borrow::Cow;

use crate::dialect::raw::{self, Object};

/// A part of what a message says.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text, or a refusal.
    Text(Cow<'a, str>),
    /// Thinking that stands among the parts, as some providers have it.
    Thinking,
    /// An image, a file or whatever else, as it stands.
    Other(&'a str),
}

/// The parts of a message's content, which may also be one string, and its refusal.
pub fn parts<'a>(message: &Object<'a>) -> Vec<Part<'a>> {
    let content = message.get("content").unwrap_or("null");
    let mut parts: Vec<_> = match (raw::text(content), raw::elements(content)) {
        (Some(text), _) => vec![Part::Text(text)],
        (None, Some(elements)) => elements.into_iter().map(part).collect(),
        (None, None) if content == "null" => Vec::new(),
        (None, None) => vec![Part::Other(content)],
    };
    parts.extend(message.get("refusal").and_then(raw::text).map(Part::Text));
    parts
}

/// All text of an assistant's message.
pub fn said(message: &Object<'_>) -> String {
    let text = |part| if let Part::Text(text) = part { Some(text) } else { None };
    parts(message).into_iter().filter_map(text).collect()
}

fn part(json: &str) -> Part<'_> {
    let Some(part) = Object::within(json) else { return Part::Other(json) };
    let kind = part.string("type").unwrap_or_default();
    match &*kind {
        "text" | "refusal" => part.get(&kind).and_then(raw::text).map_or(Part::Other(json), Part::Text),
        "thinking" | "reasoning" => Part::Thinking,
        _ => Part::Other(json),
    }
}

/// Whether a message of the assistant's has anything but calls and plain reasoning.
pub fn says_something(message: &Object<'_>) -> bool {
    let is_something = |part| if let Part::Text(text) = part { !text.is_empty() } else { true };
    parts(message).into_iter().any(is_something)
        || ["function_call", "audio"].iter().any(|key| message.get(key).is_some_and(|value| value != "null"))
}
