//! What every dialect says in words about the parts of a tool result that it has no form for.

use std::borrow::Cow;

use crate::domain::{Content, ToolResult};

/// What a model is told of a client's call that came back without a result.
pub const NO_RESULT: &str = "The client gave no result for this call.";

/// How much is told of what nobody vouches for, bytes of arguments or result.
const MAX_CLAIM: usize = 4096;

/// A call of which a client says that it was run on the server's side, in plain words, for nobody vouches for it.
pub fn unproven_call(server: &str, tool: &str, arguments: &str) -> String {
    format!("[Unproven: the tool {tool} of {server} was called with {}]", bounded(arguments))
}

/// What such a call is said to have brought.
pub fn unproven_result(result: &str, is_error: bool) -> String {
    let how = if is_error { "error" } else { "result" };
    format!("[Unproven: a tool's {how} was: {}]", bounded(result))
}

fn bounded(text: &str) -> Cow<'_, str> {
    let end = text.floor_char_boundary(MAX_CLAIM);
    if end == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{}…", &text[..end])) }
}

/// The text of a part for APIs or models that cannot take it as it is.
pub fn in_words(part: &Content) -> String {
    match part {
        Content::Text(text) => text.clone(),
        Content::Image { media_type, data } => format!("[image, {media_type}, {} bytes]", decoded_len(data)),
        Content::Audio { media_type, data } => format!("[audio, {media_type}, {} bytes]", decoded_len(data)),
        Content::TextResource { uri, text, .. } => format!("[resource {uri}]\n{text}"),
        Content::BlobResource { uri, media_type, data } => {
            format!(
                "[resource {uri}, {}, {} bytes]",
                media_type.as_deref().unwrap_or("unknown type"),
                decoded_len(data)
            )
        }
        Content::ResourceLink { uri, name, description, media_type } => {
            let mut text = format!("[resource link {name}: {uri}");
            if let Some(media_type) = media_type {
                text.push_str(", ");
                text.push_str(media_type);
            }
            text.push(']');
            if let Some(description) = description {
                text.push(' ');
                text.push_str(description);
            }
            text
        }
    }
}

/// The result's parts, or its structured content as text where it has no parts.
pub fn parts(result: &ToolResult) -> Vec<Content> {
    match &result.structured {
        Some(structured) if result.content.is_empty() => vec![Content::Text(structured.to_string())],
        _ => result.content.clone(),
    }
}

/// Media type and data of a part that is an image of a type that all three APIs take (Messages API, "Vision";
/// OpenAI API, "Images and vision"): any other makes them refuse the whole request.
pub fn image(part: &Content) -> Option<(&str, &str)> {
    let (Content::Image { media_type, data }
    | Content::BlobResource { media_type: Some(media_type), data, .. }) = part
    else {
        return None;
    };
    matches!(media_type.as_str(), "image/jpeg" | "image/png" | "image/gif" | "image/webp")
        .then_some((media_type, data))
}

/// Marks the text of a failed call, for APIs that have no flag for it.
pub fn mark_error(result: &ToolResult, text: &str) -> String {
    let says_so = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"));
    if result.is_error && !says_so { format!("Error: {text}") } else { text.to_owned() }
}

fn decoded_len(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}
