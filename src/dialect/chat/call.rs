//! Tool calls, whole and in pieces.

use std::borrow::Cow;

use crate::dialect::raw::{self, Object, Patch};
use crate::domain::ToolCall;

/// Reads a whole element of a message's `tool_calls`, which has been checked to be JSON.
pub fn read(text: &str) -> Option<ToolCall> {
    let call = Object::within(text)?;
    let id = call.string("id").unwrap_or_default().into_owned();
    let (body, key) = match call.object("custom") {
        Some(custom) => (custom, "input"),
        None => (call.object("function")?, "arguments"),
    };
    let field = |key| body.string(key).unwrap_or_default().into_owned();
    Some(ToolCall { id, name: field("name"), arguments: field(key) })
}

/// The name of the tool that a call or a piece of one names.
pub fn read_name<'a>(call: &Object<'a>) -> Option<Cow<'a, str>> {
    let inner = call.object("function").or_else(|| call.object("custom"))?;
    inner.string("name").filter(|name| !name.is_empty())
}

/// A piece of a tool call, as a delta has it.
pub struct Piece<'a> {
    text: &'a str,
    fields: Object<'a>,
    id: Option<Cow<'a, str>>,
}

impl<'a> Piece<'a> {
    /// Reads an element of `tool_calls`.
    pub fn read(text: &'a str) -> Self {
        let fields = Object::within(text).unwrap_or_default();
        let id = fields.string("id");
        Self { text, fields, id }
    }

    /// The piece under the client's index of its call.
    pub fn at_index(&self, index: u32) -> String {
        let mut patch = Patch::default();
        patch.set(self.text, &self.fields, "index", &index.to_string());
        patch.apply(self.text)
    }

    /// Whether the piece has the client's index as it stands.
    pub fn is_at(&self, index: u32) -> bool {
        self.fields.number("index") == Some(u64::from(index))
    }

    fn name(&self) -> Option<Cow<'a, str>> {
        read_name(&self.fields)
    }
}

/// A tool call of a streamed answer, gathered from its pieces, in the form in which it goes back up.
#[derive(Debug)]
pub struct CallPieces {
    /// Whose it is, once its name is known.
    pub owner: Owner,
    /// The provider's index of the call.
    index: Option<u64>,
    id: String,
    /// The first piece, which carries whatever else the provider attaches.
    first: String,
    /// `function` or `custom`.
    kind: &'static str,
    name: String,
    /// Still escaped.
    arguments: String,
    /// Pieces that wait for the owner to be known.
    waiting: Vec<String>,
}

/// Whose a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Its name is not complete yet.
    Unknown,
    /// The gateway's: the client does not see it.
    Gateway,
    /// The client's, at this index of its own.
    Client(u32),
}

impl CallPieces {
    /// Takes a piece into the call that it belongs to, which is added where the piece is its first; gives the
    /// position of the call.
    pub fn gather(calls: &mut Vec<Self>, piece: &Piece<'_>) -> usize {
        let position = position(calls, piece).unwrap_or_else(|| {
            calls.push(Self::new(piece));
            calls.len() - 1
        });
        calls[position].grow(piece);
        position
    }

    fn new(piece: &Piece<'_>) -> Self {
        Self {
            owner: Owner::Unknown,
            index: piece.fields.number("index"),
            id: piece.id.clone().unwrap_or_default().into_owned(),
            first: piece.text.to_owned(),
            kind: if piece.fields.get("custom").is_some() { "custom" } else { "function" },
            name: String::new(),
            arguments: String::new(),
            waiting: Vec::new(),
        }
    }

    fn grow(&mut self, piece: &Piece<'_>) {
        let Some(inner) = piece.fields.object(self.kind) else { return };
        // Some providers repeat the name beside each piece of the arguments.
        if self.arguments.is_empty() {
            self.name.push_str(&inner.string("name").unwrap_or_default());
        }
        self.arguments.push_str(inner.get(self.arguments_key()).and_then(raw::inner).unwrap_or_default());
    }

    /// The name as far as it is known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether more of the name may come.
    pub fn is_naming(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Whether a call of this kind can be one of a function tool.
    pub fn is_function(&self) -> bool {
        self.kind == "function"
    }

    /// The pieces that the client gets now that this one has come; those that have to wait are kept.
    pub fn release(&mut self, piece: Option<&Piece<'_>>, visible: &mut Vec<String>) {
        match (self.owner, piece) {
            (Owner::Unknown, Some(piece)) => self.waiting.push(piece.text.to_owned()),
            (Owner::Unknown, None) | (Owner::Gateway, _) => {}
            (Owner::Client(index), piece) => {
                visible.extend(self.waiting.drain(..).map(|text| Piece::read(&text).at_index(index)));
                visible.extend(piece.map(|piece| piece.at_index(index)));
            }
        }
    }

    /// The call.
    pub fn call(&self) -> ToolCall {
        ToolCall { id: self.id.clone(), name: self.name.clone(), arguments: raw::unescape(&self.arguments) }
    }

    /// The call as an element of a message's `tool_calls`.
    pub fn render(&self) -> Option<String> {
        let first = Object::parse(&self.first).ok()?;
        let key = self.arguments_key();
        let inner = format!(r#"{{"name":{},"{key}":"{}"}}"#, raw::quote(&self.name), self.arguments);
        let mut patch = Patch::default();
        patch.set(&self.first, &first, self.kind, &inner);
        patch.remove(&self.first, &first, &["index"]);
        let element = patch.apply(&self.first);
        let object = Object::parse(&element).ok()?;
        if object.get("type").is_some_and(|kind| kind != "null") {
            return Some(element.clone());
        }
        let mut patch = Patch::default();
        patch.set(&element, &object, "type", &raw::quote(self.kind));
        Some(patch.apply(&element))
    }

    fn arguments_key(&self) -> &'static str {
        if self.kind == "custom" { "input" } else { "arguments" }
    }
}

/// Where the call of a piece stands; `None` where the piece begins another.
///
/// Providers differ: some leave out the index, and then an id begins a call; some give all calls the index 0,
/// and then another id does, or a name where the call has its arguments already.
fn position(calls: &[CallPieces], piece: &Piece<'_>) -> Option<usize> {
    let id = piece.id.as_deref();
    if let Some(id) = id.filter(|id| !id.is_empty())
        && let Some(at) = calls.iter().position(|call| call.id == id)
    {
        return Some(at);
    }
    let at = match piece.fields.number("index") {
        Some(index) => calls.iter().rposition(|call| call.index == Some(index))?,
        None => calls.len().checked_sub(1)?,
    };
    let begins_another = match id {
        None => false,
        Some("") => piece.name().is_some() && !calls[at].arguments.is_empty(),
        Some(_) => !calls[at].id.is_empty(),
    };
    (!begins_another).then_some(at)
}
