//! The conversation as a request tells it.

use std::borrow::Cow;

use super::message::{Message, Part, SHOWN_ID, brings_servers, messages};
use crate::dialect::canon::{Canon, Said};
use crate::dialect::raw::{self, Object};
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{Echo, History, Request};
use crate::domain::Digest;

/// What Claude Code's first system block begins with, whose rest varies from request to request.
pub const BILLING: &str = "x-anthropic-billing-header";

/// The conversation as the client tells it: consecutive messages of the assistant's are one turn.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let (messages, servers) = (messages(&object), brings_servers(&object));
    let (system, tools) = (system(&object), Canon::of_tools(&object));
    let mut walk = Walk::new(system, tools);
    let mut index = 0;
    while let Some(message) = messages.get(index) {
        let turn = messages[index..].iter().take_while(|message| message.is_assistant()).count();
        if turn == 0 {
            walk.message(&message.role, said(message));
        } else {
            read_turn(&mut walk, index, &messages[index..index + turn], servers);
        }
        index += turn.max(1);
    }
    let history = walk.finish();
    History {
        tools,
        end_user: object.object("metadata").and_then(|data| data.string("user_id").map(Cow::into_owned)),
        ..history
    }
}

/// Reads the messages of one turn of the assistant's, of which the first has this index.
fn read_turn(walk: &mut Walk, index: usize, messages: &[Message<'_>], servers: bool) {
    let blocks: Vec<Vec<Part<'_>>> = messages.iter().map(|message| message.parts().collect()).collect();
    let shown: Vec<(Cow<'_, str>, &Part<'_>)> =
        blocks.iter().flatten().filter_map(|block| Some((block.shown_id(servers)?, block))).collect();
    for (at, (message, blocks)) in messages.iter().zip(&blocks).enumerate() {
        let turn = walk.assistant(index + at);
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
        seal: id.strip_prefix(SHOWN_ID).unwrap_or(id).to_owned(),
        arguments: block.fields.get("input").unwrap_or_default().to_owned(),
        result: result.map(Part::result_text).unwrap_or_default(),
        is_error: result.is_some_and(|result| result.fields.is_true("is_error")),
    });
}

/// What a message that is not the assistant's says: a string and one text block are the same.
fn said(message: &Message<'_>) -> Digest {
    let mut canon = Canon::of(&message.role);
    take_content(&mut canon, message.content(), |_| true);
    canon.digest()
}

fn system(object: &Object<'_>) -> Digest {
    let mut canon = Canon::of("system");
    let is_stable = |block: &Part<'_>| !block.string("text").starts_with(BILLING);
    take_content(&mut canon, object.get("system").unwrap_or("[]"), is_stable);
    canon.digest()
}

/// Takes a text, or the blocks that count, of which results have no order. They do not go to the walk one by
/// one, for the text beside them is of the same message.
fn take_content(canon: &mut Canon, content: &str, counts: impl Fn(&Part<'_>) -> bool) {
    if let Some(text) = raw::inner(content) {
        return canon.content([Said::Text(raw::unescape(text).into())]);
    }
    let mut results = Vec::new();
    let blocks = raw::elements(content).unwrap_or_default().into_iter().map(Part::read).filter(counts);
    canon.content(blocks.filter_map(|block| match &*block.kind {
        "text" => Some(Said::Text(block.string("text"))),
        "tool_result" => {
            results.push(result(&block));
            None
        }
        _ => Some(Said::Other(block.json)),
    }));
    results.sort_unstable();
    for result in results {
        canon.part(result);
    }
}

fn result(block: &Part<'_>) -> Digest {
    let mut canon = Canon::of("result");
    canon.word(&block.string("tool_use_id"));
    canon.word(if block.fields.is_true("is_error") { "error" } else { "" });
    take_content(&mut canon, block.fields.get("content").unwrap_or("[]"), |_| true);
    canon.digest()
}
