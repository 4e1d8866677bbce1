//! The conversation as a request tells it.

use super::call;
use super::content::{self, Part};
use super::reasoning;
use crate::dialect::canon::{Canon, Said};
use crate::dialect::raw::Object;
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{History, Request};
use crate::domain::Digest;

/// The conversation as the client tells it: consecutive messages of the assistant's are one turn.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let tools = Canon::of_tools(&object);
    let mut walk = Walk::new(Digest::default(), tools);
    for (index, text) in object.array("messages").into_iter().enumerate() {
        read_message(&mut walk, index, text);
    }
    let history = walk.finish();
    let end_user = object.string("safety_identifier").or_else(|| object.string("user"));
    History { tools, end_user: end_user.map(Into::into), ..history }
}

fn read_message(walk: &mut Walk, index: usize, text: &str) {
    let message = Object::within(text).unwrap_or_default();
    let role = message.string("role").unwrap_or_default();
    match &*role {
        "assistant" => read_turn(walk.assistant(index), &message),
        "tool" => {
            let call = message.string("tool_call_id").unwrap_or_default().into_owned();
            walk.result(call, said("tool", &message));
        }
        "user" | "system" | "developer" => walk.message(&role, said(&role, &message)),
        _ => walk.other(Canon::of_json("other", text)),
    }
}

/// Reads a message of the assistant's.
fn read_turn(turn: &mut OpenTurn, message: &Object<'_>) {
    for part in content::parts(message) {
        match part {
            Part::Text(text) => turn.text(&text),
            Part::Thinking => {}
            Part::Other(json) => turn.other(json),
        }
    }
    for call in message.array("tool_calls").into_iter().filter_map(call::read) {
        turn.call(&call.id, &call.name, &call.arguments);
    }
    for key in ["function_call", "audio"] {
        if let Some(value) = message.get(key).filter(|value| *value != "null") {
            turn.other(value);
        }
    }
    if reasoning::is_signed(message) {
        turn.thinking();
    }
}

/// What a message that is not the assistant's says: a string and one text part are the same.
fn said(role: &str, message: &Object<'_>) -> Digest {
    let mut canon = Canon::of(role);
    canon.word(&message.string("name").filter(|_| role != "tool").unwrap_or_default());
    canon.content(content::parts(message).into_iter().filter_map(|part| match part {
        Part::Text(text) => Some(Said::Text(text)),
        Part::Thinking => None,
        Part::Other(json) => Some(Said::Other(json)),
    }));
    canon.digest()
}
