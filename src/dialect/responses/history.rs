use std::borrow::Cow;

use crate::dialect::canon::Canon;
use crate::dialect::raw::{self, Object, Patch};
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{Echo, History, Request};
use crate::domain::Digest;

use super::element::{self, Claim, Kind, OWN_CALL};
use super::item;

/// Fields that say nothing of what is asked: how the answer is delivered, how long it may be, and notes.
const ASIDE: &[&str] = &[
    "stream",
    "stream_options",
    "metadata",
    "client_metadata",
    "max_output_tokens",
    "max_tokens",
    "max_completion_tokens",
];

/// The conversation as the client tells it, behind what it names as stored by the provider.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let tools = digest("tools", object.get("tools").unwrap_or("null"));
    let mut beginning = Canon::of("beginning");
    beginning.json(object.get("instructions").unwrap_or("null"));
    beginning.part(tools);
    let mut reading = Reading {
        walk: Walk::new(),
        outputs: Vec::new(),
        beginning,
        has_begun: false,
        has_mcp: !request.tools.mcp_servers.is_empty(),
    };
    for key in ["previous_response_id", "conversation"] {
        if let Some(held) = object.get(key).filter(|held| *held != "null") {
            reading.walk.other(digest(key, held));
        }
    }
    match object.get("input").map(|input| (input, raw::elements(input))) {
        Some((_, Some(elements))) => {
            elements.into_iter().enumerate().for_each(|(place, element)| reading.element(place, element));
        }
        Some((text, None)) => reading.brought("user", text),
        None => {}
    }
    reading.flush();
    let (whole, turns) = reading.walk.finish();
    History {
        whole,
        turns,
        beginning: reading.beginning.digest(),
        tools,
        request: request_digest(&object, whole, tools),
        end_user: object.string("safety_identifier").or_else(|| object.string("user")).map(Into::into),
    }
}

fn request_digest(object: &Object<'_>, whole: Digest, tools: Digest) -> Digest {
    let mut fields: Vec<_> = object.fields.iter().filter(|field| !ASIDE.contains(&&*field.key)).collect();
    fields.sort_by(|a, b| a.key.cmp(&b.key));
    let mut canon = Canon::of("request");
    for field in fields {
        canon.word(&field.key);
        match &*field.key {
            "input" => canon.part(whole),
            "tools" => canon.part(tools),
            _ => canon.json(field.value),
        }
    }
    canon.digest()
}

/// A history under way.
struct Reading {
    walk: Walk,
    /// Outputs that stand together, each with the id of its call: their order does not count.
    outputs: Vec<(String, Digest)>,
    beginning: Canon,
    /// The user's first message has been read.
    has_begun: bool,
    has_mcp: bool,
}

impl Reading {
    fn element(&mut self, place: usize, text: &str) {
        let Some(element) = Object::within(text) else {
            self.flush();
            return self.walk.other(digest("unknown", text));
        };
        let kind = Kind::of(&element, self.has_mcp);
        if kind == Kind::Output {
            let call = element.string("call_id").unwrap_or_default().into_owned();
            return self.outputs.push((call, output(&element, text)));
        }
        self.flush();
        if kind.is_assistants() {
            return part(self.walk.assistant(place), kind, &element, text);
        }
        match (element.string("role"), element.get("content")) {
            (Some(role), Some(content)) => self.brought(&role, content),
            _ => self.walk.other(digest("brought", &without_marks(&element, text))),
        }
    }

    /// Reads a message that is not the assistant's.
    fn brought(&mut self, role: &str, said: &str) {
        let mut canon = Canon::of("message");
        canon.word(role);
        content(&mut canon, said);
        let digest = canon.digest();
        if !self.has_begun {
            self.beginning.part(digest);
            self.has_begun = role == "user";
        }
        self.walk.other(digest);
    }

    /// Takes the outputs that stand together as one element.
    fn flush(&mut self) {
        if self.outputs.is_empty() {
            return;
        }
        self.outputs.sort();
        let mut canon = Canon::of("outputs");
        for (call, output) in self.outputs.drain(..) {
            canon.word(&call);
            canon.part(output);
        }
        self.walk.other(canon.digest());
    }
}

/// Reads an element of a turn of the assistant's.
fn part(turn: &mut OpenTurn, kind: Kind, element: &Object<'_>, text: &str) {
    let field = |key| element.string(key).unwrap_or_default();
    match kind {
        Kind::Message => turn.text(&item::said(element)),
        Kind::Call => {
            let name = format!("{}{}", field("namespace"), field("name"));
            let arguments = if element.get("arguments").is_some() { "arguments" } else { "input" };
            turn.call(&field("call_id"), &name, &field(arguments));
        }
        Kind::Reasoning | Kind::Listing => turn.thinking(),
        Kind::Seal => turn.echo(Echo::Seal(element::seal(element).unwrap_or_default())),
        Kind::Claim => {
            let Claim { id, arguments, result, is_error, .. } = Claim::read(element);
            let id = id.strip_prefix(OWN_CALL).map(str::to_owned).unwrap_or(id);
            turn.echo(Echo::Call { id, arguments, result, is_error });
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
        Kind::Hosted | Kind::Brought | Kind::Output => turn.other(&without_marks(element, text)),
    }
}

/// The digest of an output, which may be a text or parts.
fn output(element: &Object<'_>, text: &str) -> Digest {
    let mut canon = Canon::of(&element.string("type").unwrap_or_default());
    match element.get("output") {
        Some(output) => content(&mut canon, output),
        None => canon.json(&without_marks(element, text)),
    }
    canon.digest()
}

/// Takes a content, in which adjacent texts are one, and a text alone is the same as a part of it.
fn content(canon: &mut Canon, content: &str) {
    let mut text = String::new();
    let flush = |canon: &mut Canon, text: &mut String| {
        if !text.is_empty() {
            canon.word("text");
            canon.text(text);
            text.clear();
        }
    };
    for part in raw::elements(content).unwrap_or_else(|| vec![content]) {
        if let Some(more) = text_of(part) {
            text.push_str(&more);
        } else {
            flush(canon, &mut text);
            canon.json(part);
        }
    }
    flush(canon, &mut text);
}

fn text_of(part: &str) -> Option<Cow<'_, str>> {
    if part.starts_with('"') {
        return raw::string(part);
    }
    let part = Object::within(part)?;
    matches!(&*part.string("type")?, "input_text" | "output_text" | "text").then(|| part.string("text"))?
}

/// An item without what some clients leave out of it.
fn without_marks(element: &Object<'_>, text: &str) -> String {
    let mut patch = Patch::default();
    patch.remove(text, element, &["id", "status"]);
    patch.apply(text)
}

fn digest(kind: &str, json: &str) -> Digest {
    let mut canon = Canon::of(kind);
    canon.json(json);
    canon.digest()
}
