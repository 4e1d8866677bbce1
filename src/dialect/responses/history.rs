//! The conversation as a request tells it.

use std::borrow::Cow;

use super::element::{self, Claim, Element, Kind, OWN_CALL};
use super::item;
use crate::dialect::canon::{Canon, Said};
use crate::dialect::raw::{self, Object, Patch};
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{Echo, History, Request};
use crate::domain::Digest;

/// The conversation as the client tells it, behind what it names as stored by the provider.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let tools = Canon::of_tools(&object);
    let system = Canon::of_json("instructions", object.get("instructions").unwrap_or("null"));
    let has_mcp = !request.tools.mcp_servers.is_empty();
    let mut walk = Walk::new(system, tools);
    for key in ["previous_response_id", "conversation"] {
        if let Some(held) = object.get(key).filter(|held| *held != "null") {
            walk.other(Canon::of_json(key, held));
        }
    }
    match object.get("input").map(|input| (input, raw::elements(input))) {
        Some((_, Some(elements))) => {
            let elements = elements.into_iter().enumerate();
            elements.for_each(|(index, element)| read_element(&mut walk, index, element, has_mcp));
        }
        Some((text, None)) => walk.message("user", said("user", text)),
        None => {}
    }
    let history = walk.finish();
    let end_user = object.string("safety_identifier").or_else(|| object.string("user"));
    History { tools, end_user: end_user.map(Into::into), ..history }
}

fn read_element(walk: &mut Walk, index: usize, text: &str, has_mcp: bool) {
    let element = Element::read(text, has_mcp);
    if element.kind.is_assistants() {
        return read_turn(walk.assistant(index), &element);
    }
    if element.kind == Kind::Output {
        return walk.result(element.string("call_id").into_owned(), output(&element));
    }
    match (element.fields.string("role"), element.fields.get("content")) {
        (Some(role), Some(content)) => walk.message(&role, said(&role, content)),
        _ => walk.other(Canon::of_json("brought", &without_marks(&element))),
    }
}

/// Reads an element of a turn of the assistant's.
fn read_turn(turn: &mut OpenTurn, element: &Element<'_>) {
    let fields = &element.fields;
    let field = |key| element.string(key);
    match element.kind {
        Kind::Message => turn.text(&item::said(fields)),
        Kind::Call => {
            let name = format!("{}{}", field("namespace"), field("name"));
            let arguments = if fields.get("arguments").is_some() { "arguments" } else { "input" };
            turn.call(&field("call_id"), &name, &field(arguments));
        }
        Kind::Reasoning | Kind::Listing => turn.thinking(),
        Kind::Seal => turn.echo(Echo::Seal(element::seal(fields).unwrap_or_default())),
        Kind::Claim => {
            let Claim { id, arguments, result, is_error, .. } = Claim::read(fields);
            let seal = id.strip_prefix(OWN_CALL).unwrap_or(&id).to_owned();
            turn.echo(Echo::Call { seal, arguments, result, is_error });
        }
        Kind::Reference => {
            let id = field("id");
            if element::is_own(&id) {
                // The provider does not know it, so it cannot stay even where the turn is unknown.
                turn.thinking();
            } else {
                turn.reference(&id);
            }
        }
        Kind::Hosted | Kind::Brought | Kind::Output => turn.other(&without_marks(element)),
    }
}

/// What a message that is not the assistant's says: a text alone is the same as a part of it.
fn said(role: &str, content: &str) -> Digest {
    let mut canon = Canon::of(role);
    take_content(&mut canon, content);
    canon.digest()
}

/// The digest of an output, which may be a text or parts.
fn output(element: &Element<'_>) -> Digest {
    let mut canon = Canon::of(&element.string("type"));
    match element.fields.get("output") {
        Some(output) => take_content(&mut canon, output),
        None => canon.json(&without_marks(element)),
    }
    canon.digest()
}

/// Takes a text or parts.
fn take_content(canon: &mut Canon, content: &str) {
    let parts = raw::elements(content).unwrap_or_else(|| vec![content]);
    canon.content(parts.into_iter().map(|part| text_of(part).map_or(Said::Other(part), Said::Text)));
}

fn text_of(part: &str) -> Option<Cow<'_, str>> {
    if part.starts_with('"') {
        return raw::string(part);
    }
    let part = Object::within(part)?;
    matches!(&*part.string("type")?, "input_text" | "output_text" | "text").then(|| part.string("text"))?
}

/// An item without what some clients leave out of it.
fn without_marks(element: &Element<'_>) -> String {
    let mut patch = Patch::default();
    patch.remove(element.text, &element.fields, &["id", "status"]);
    patch.apply(element.text)
}
