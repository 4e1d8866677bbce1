use crate::dialect::raw::{self, Object, Patch};
use crate::domain::ToolCall;

/// A tool call of a streamed answer, gathered from its pieces, in the form in which it goes back up.
#[derive(Debug)]
pub struct CallPieces {
    /// The provider's index of the call.
    pub index: u64,
    /// Whose it is, once its name is known.
    pub owner: Owner,
    /// The first piece, which carries the id and whatever else the provider attaches.
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
    /// A call from its first piece.
    pub fn new(index: u64, first: &str) -> Self {
        let kind = match Object::parse(first) {
            Ok(piece) if piece.get("custom").is_some() => "custom",
            _ => "function",
        };
        Self {
            index,
            owner: Owner::Unknown,
            first: first.to_owned(),
            kind,
            name: String::new(),
            arguments: String::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes a piece; tells whether it went on with the name.
    pub fn grow(&mut self, piece: &str) -> bool {
        let Some(inner) = Object::parse(piece).ok().and_then(|piece| piece.object(self.kind)) else {
            return false;
        };
        let name = inner.string("name").unwrap_or_default();
        self.name.push_str(&name);
        let key = if self.kind == "custom" { "input" } else { "arguments" };
        self.arguments.push_str(inner.get(key).and_then(raw::inner).unwrap_or_default());
        !name.is_empty()
    }

    /// The name as far as it is known.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a call of this kind can be one of a function tool.
    pub fn is_function(&self) -> bool {
        self.kind == "function"
    }

    /// Keeps a piece until the owner is known.
    pub fn wait(&mut self, piece: &str) {
        self.waiting.push(piece.to_owned());
    }

    /// The pieces that waited.
    pub fn take_waiting(&mut self) -> Vec<String> {
        std::mem::take(&mut self.waiting)
    }

    /// The call.
    pub fn call(&self) -> ToolCall {
        let id = Object::parse(&self.first).ok().and_then(|first| first.string("id").map(Into::into));
        let arguments = raw::unescape(&self.arguments);
        ToolCall { id: id.unwrap_or_default(), name: self.name.clone(), arguments }
    }

    /// The call as an element of a message's `tool_calls`.
    pub fn render(&self) -> Option<String> {
        let first = Object::parse(&self.first).ok()?;
        let key = if self.kind == "custom" { "input" } else { "arguments" };
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
}
