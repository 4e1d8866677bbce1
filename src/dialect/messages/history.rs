use std::borrow::Cow;

use super::message::{Message, Part, SHOWN_ID, brings_servers, messages};
use crate::dialect::canon::Canon;
use crate::dialect::raw::{self, Object};
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{Echo, History, Request};
use crate::domain::Digest;

/// Top-level fields that say how the answer is delivered, and to whom.
const DELIVERY: [&str; 4] = ["stream", "stream_options", "metadata", "max_tokens"];

/// What Claude Code's first system block begins with, whose rest varies from request to request.
const BILLING: &str = "x-anthropic-billing-header";

/// The conversation as the client tells it.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let (messages, servers) = (messages(&object), brings_servers(&object));
    let mut walk = Walk::new();
    let mut at = 0;
    while let Some(message) = messages.get(at) {
        let turn = messages[at..].iter().take_while(|message| message.is_assistant()).count();
        if turn == 0 {
            walk.other(visible(message));
        } else {
            read_turn(&mut walk, at, &messages[at..at + turn], servers);
        }
        at += turn.max(1);
    }
    let (whole, turns) = walk.finish();
    let (system, tools) = (system(&object), tools(&object));
    let first = messages.iter().find(|message| message.role == "user").map(visible).unwrap_or_default();
    History {
        whole,
        turns,
        beginning: Digest::of_parts(&[&system.0, &tools.0, &first.0]),
        tools,
        request: everything(&object, [("messages", whole), ("system", system), ("tools", tools)]),
        end_user: object.object("metadata").and_then(|data| data.string("user_id").map(Cow::into_owned)),
    }
}

/// Reads the messages of one turn of the assistant's, of which the first has this place.
fn read_turn(walk: &mut Walk, place: usize, messages: &[Message<'_>], servers: bool) {
    let blocks: Vec<Vec<Part<'_>>> = messages.iter().map(|message| message.parts().collect()).collect();
    let shown: Vec<(Cow<'_, str>, &Part<'_>)> =
        blocks.iter().flatten().filter_map(|block| Some((block.shown_id(servers)?, block))).collect();
    for (at, (message, blocks)) in messages.iter().zip(&blocks).enumerate() {
        let turn = walk.assistant(place + at);
        if let Some(text) = raw::inner(message.content()) {
            turn.text(&raw::unescape(text));
        }
        for block in blocks {
            match block.shown_id(servers) {
                Some(id) => read_shown(turn, &id, block, &shown),
                None => read_block(turn, block),
            }
        }
    }
}

/// Takes a block that the provider made.
fn read_block(turn: &mut OpenTurn, block: &Part<'_>) {
    match &*block.kind {
        "text" => turn.text(&block.string("text")),
        "tool_use" => {
            let arguments = block.fields.get("input").unwrap_or("{}");
            turn.call(&block.string("id"), &block.string("name"), arguments);
        }
        _ if block.is_thinking() => turn.thinking(),
        _ => turn.other(block.json),
    }
}

/// Takes a call in the form that the gateway shows its calls in, with its result, or a result whose call is
/// missing.
fn read_shown(turn: &mut OpenTurn, id: &str, block: &Part<'_>, shown: &[(Cow<'_, str>, &Part<'_>)]) {
    let of_call = |kind: &str| {
        shown.iter().find(|(other, block)| other == id && block.kind == kind).map(|(_, block)| *block)
    };
    if block.kind == "mcp_tool_result" && of_call("mcp_tool_use").is_some() {
        return;
    }
    let result = of_call("mcp_tool_result");
    turn.echo(Echo::Call {
        id: id.strip_prefix(SHOWN_ID).unwrap_or(id).to_owned(),
        arguments: block.fields.get("input").unwrap_or_default().to_owned(),
        result: result.map(Part::result_text).unwrap_or_default(),
        is_error: result.is_some_and(|result| result.fields.is_true("is_error")),
    });
}

/// What is visible of a message that is not the assistant's.
fn visible(message: &Message<'_>) -> Digest {
    let mut canon = Canon::of(&message.role);
    content(&mut canon, message.content());
    canon.digest()
}

fn content(canon: &mut Canon, value: &str) {
    match raw::inner(value) {
        Some(text) => text_part(canon, &raw::unescape(text)),
        None => parts(canon, raw::elements(value).unwrap_or_default().into_iter().map(Part::read)),
    }
}

/// Takes blocks: adjacent texts as one, results by their calls, and in no order.
fn parts<'a>(canon: &mut Canon, blocks: impl Iterator<Item = Part<'a>>) {
    let (mut text, mut results) = (String::new(), Vec::new());
    for block in blocks {
        match &*block.kind {
            "text" => text.push_str(&block.string("text")),
            "tool_result" => results.push(result(&block)),
            _ => {
                text_part(canon, &std::mem::take(&mut text));
                canon.json(block.json);
            }
        }
    }
    text_part(canon, &text);
    results.sort_unstable();
    for result in results {
        canon.part(result);
    }
}

fn text_part(canon: &mut Canon, text: &str) {
    if !text.trim_ascii().is_empty() {
        canon.word("text");
        canon.text(text);
    }
}

fn result(block: &Part<'_>) -> Digest {
    let mut canon = Canon::of("result");
    canon.word(&block.string("tool_use_id"));
    canon.word(if block.fields.is_true("is_error") { "error" } else { "" });
    content(&mut canon, block.fields.get("content").unwrap_or("[]"));
    canon.digest()
}

fn system(object: &Object<'_>) -> Digest {
    let mut canon = Canon::of("system");
    let value = object.get("system").unwrap_or("[]");
    match raw::elements(value) {
        Some(blocks) => {
            let blocks = blocks.into_iter().map(Part::read);
            parts(&mut canon, blocks.filter(|block| !block.string("text").starts_with(BILLING)));
        }
        None => content(&mut canon, value),
    }
    canon.digest()
}

fn tools(object: &Object<'_>) -> Digest {
    let mut canon = Canon::of("tools");
    canon.json(object.get("tools").unwrap_or("[]"));
    canon.digest()
}

/// The whole request; `known` are the fields whose digests are known.
fn everything(object: &Object<'_>, known: [(&str, Digest); 3]) -> Digest {
    let mut canon = Canon::of("request");
    let mut fields: Vec<_> = object.fields.iter().filter(|field| !DELIVERY.contains(&&*field.key)).collect();
    fields.sort_by(|a, b| a.key.cmp(&b.key));
    for field in fields {
        canon.word(&field.key);
        match known.iter().find(|(key, _)| *key == field.key) {
            Some((_, digest)) => canon.part(*digest),
            None => canon.json(field.value),
        }
    }
    canon.digest()
}

#[cfg(test)]
mod tests;
