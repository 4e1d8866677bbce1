//! A turn that nobody can vouch for, without what its provider would refuse.

use std::borrow::Cow;

use super::message::{Message, Part, SHOWN_ID};
use crate::dialect::raw::{self, Object, Patch, quote};
use crate::dialect::{Items, KeptRound, result};

/// A turn without thinking, with what claims to be the gateway's as plain text; nothing where nothing is left.
///
/// It is one message: the text stands before the client's calls, which its results must follow.
pub fn turn(said: &[Message<'_>], brings_servers: bool) -> Vec<String> {
    let texts: Vec<Cow<'_, str>> = said.iter().flat_map(Message::part_texts).collect();
    let parts: Vec<Part<'_>> = texts.iter().map(|text| Part::read(text)).collect();
    let (mut before, mut calls) = (Vec::new(), Vec::new());
    for (at, part) in parts.iter().enumerate() {
        if part.is_thinking() || is_line(&parts, at) {
            continue;
        }
        match part.shown_id(brings_servers) {
            Some(_) => before.push(Cow::Owned(claim(part))),
            None if calls.is_empty() && part.kind != "tool_use" => before.push(Cow::Borrowed(part.json)),
            None => calls.push(Cow::Borrowed(part.json)),
        }
    }
    before.append(&mut calls);
    let Some(first) = said.first().filter(|_| !before.is_empty()) else { return Vec::new() };
    let mut patch = Patch::default();
    patch.set(first.json, &first.fields, "content", &format!("[{}]", before.join(",")));
    vec![patch.apply(first.json)]
}

/// A round without its thinking.
pub fn round(round: &KeptRound) -> KeptRound {
    let parts = raw::elements(&round.items.0).unwrap_or_default().into_iter().map(Part::read);
    let kept: Vec<&str> = parts.filter(|part| !part.is_thinking()).map(|part| part.json).collect();
    KeptRound { items: Items(format!("[{}]", kept.join(","))), calls: round.calls.clone() }
}

/// The fields of a request whose tool loop has lost its thinking: the API would refuse the loop while thinking
/// is `enabled`, and edits of thinking while it is not.
pub fn without_thinking(request: &Object<'_>) -> Vec<(&'static str, String)> {
    let enabled = request
        .object("thinking")
        .is_some_and(|thinking| thinking.string("type").is_some_and(|kind| kind == "enabled"));
    if !enabled {
        return Vec::new();
    }
    let mut fields = vec![("thinking", r#"{"type":"disabled"}"#.to_owned())];
    if let (Some(text), Some(management)) =
        (request.get("context_management"), request.object("context_management"))
    {
        let edits = management.array("edits").into_iter().map(Part::read);
        let kept: Vec<&str> =
            edits.filter(|edit| !edit.kind.starts_with("clear_thinking")).map(|edit| edit.json).collect();
        let mut patch = Patch::default();
        patch.set(text, &management, "edits", &format!("[{}]", kept.join(",")));
        fields.push(("context_management", patch.apply(text)));
    }
    fields
}

/// Whether the block here is a line about calls, which stands between them and their results.
pub fn is_line(parts: &[Part<'_>], at: usize) -> bool {
    let is_text = |part: &&Part<'_>| part.kind == "text";
    let is_ours = |part: Option<&Part<'_>>, kind: &str| {
        part.is_some_and(|part| {
            part.kind == kind && part.shown_id(true).is_some_and(|id| id.starts_with(SHOWN_ID))
        })
    };
    parts[at].kind == "text"
        && is_ours(parts[..at].iter().rev().find(|part| !is_text(part)), "mcp_tool_use")
        && is_ours(parts[at..].iter().find(|part| !is_text(part)), "mcp_tool_result")
}

/// What a block of the form for server-run tools claims, as a text block.
fn claim(part: &Part<'_>) -> String {
    let text = if part.kind == "mcp_tool_use" {
        let (server, tool) = (part.string("server_name"), part.string("name"));
        result::unproven_call(&server, &tool, part.fields.get("input").unwrap_or("{}"))
    } else {
        result::unproven_result(&part.result_text(), part.fields.is_true("is_error"))
    };
    let marker = part.fields.get("cache_control").map(|marker| format!(r#","cache_control":{marker}"#));
    format!(r#"{{"type":"text","text":{}{}}}"#, quote(&text), marker.unwrap_or_default())
}
