//! Content blocks of a streamed answer, gathered from its events.

use crate::dialect::raw::{self, Object, Patch};
use crate::domain::ToolCall;

/// A content block of a streamed answer, gathered from its events, in the form in which it goes back up.
#[derive(Debug)]
pub struct Block {
    /// Where the client sees it; `None` for a call of an injected tool, which it does not see.
    pub client_index: Option<u32>,
    /// Its `content_block_stop` has not come yet.
    pub open: bool,
    kind: String,
    /// The block as `content_block_start` had it.
    start: String,
    /// Text gathered from deltas: key and content, still escaped.
    strings: Vec<(String, String)>,
    /// Citations gathered from deltas.
    citations: Vec<String>,
    /// Other values that deltas set.
    values: Vec<(String, String)>,
    /// The arguments gathered from `input_json_delta`, still escaped.
    input: String,
}

impl Block {
    /// A block from the `content_block` of its start.
    pub fn new(start: &str, client_index: Option<u32>) -> Self {
        let kind = Object::parse(start).ok().and_then(|block| block.string("type").map(Into::into));
        Self {
            client_index,
            open: true,
            kind: kind.unwrap_or_default(),
            start: start.to_owned(),
            strings: Vec::new(),
            citations: Vec::new(),
            values: Vec::new(),
            input: String::new(),
        }
    }

    /// Whether this is a call of a tool that is not run by the provider.
    pub fn is_tool_use(&self) -> bool {
        self.kind == "tool_use"
    }

    /// Takes the `delta` of a `content_block_delta`: strings grow, other values are set. That holds for every
    /// delta type of the API, and for those to come.
    pub fn grow(&mut self, delta: &str) {
        let Some(delta) = Object::within(delta) else { return };
        for field in delta.fields.iter().filter(|field| field.key != "type") {
            match (&*field.key, raw::inner(field.value)) {
                ("partial_json", Some(piece)) => self.input.push_str(piece),
                ("citation", _) => self.citations.push(field.value.to_owned()),
                (key, Some(piece)) => entry(&mut self.strings, key).push_str(piece),
                (key, None) => field.value.clone_into(entry(&mut self.values, key)),
            }
        }
    }

    /// The tool call of a `tool_use` block.
    pub fn call(&self) -> Option<ToolCall> {
        let block = Object::parse(&self.start).ok().filter(|_| self.is_tool_use())?;
        let arguments = if self.input.is_empty() {
            block.get("input").unwrap_or("{}").to_owned()
        } else {
            raw::unescape(&self.input)
        };
        Some(ToolCall {
            id: block.string("id")?.into_owned(),
            name: block.string("name")?.into_owned(),
            arguments,
        })
    }

    /// What a `thinking` block says.
    pub fn thought(&self) -> Option<String> {
        let thinking = self.strings.iter().find(|(key, _)| key == "thinking")?;
        Some(raw::unescape(&thinking.1))
    }

    /// What a `text` block says.
    pub fn text(&self) -> Option<String> {
        let start = Object::parse(&self.start).ok().filter(|_| self.kind == "text")?;
        let mut text = start.get("text").and_then(raw::inner).unwrap_or_default().to_owned();
        for (_, more) in self.strings.iter().filter(|(key, _)| key == "text") {
            text.push_str(more);
        }
        Some(raw::unescape(&text))
    }

    /// The whole block; `None` for an empty text, which the API gives but does not take.
    pub fn render(&self) -> Option<String> {
        let start = Object::parse(&self.start).ok()?;
        let mut patch = Patch::default();
        for (key, more) in &self.strings {
            let before = start.get(key).and_then(raw::inner).unwrap_or_default();
            patch.set(&self.start, &start, key, &format!("\"{before}{more}\""));
        }
        for (key, value) in &self.values {
            patch.set(&self.start, &start, key, value);
        }
        if !self.citations.is_empty() {
            patch.set(&self.start, &start, "citations", &format!("[{}]", self.citations.join(",")));
        }
        if !self.input.is_empty() {
            let input = raw::unescape(&self.input);
            // Arguments that are no object cannot go back up; the error result quotes them.
            let input = if Object::parse(&input).is_ok() { input } else { "{}".to_owned() };
            patch.set(&self.start, &start, "input", &input);
        }
        let block = patch.apply(&self.start);
        (!is_empty_text(&block)).then_some(block)
    }
}

/// Whether a block is a text without any text.
pub fn is_empty_text(block: &str) -> bool {
    Object::parse(block)
        .is_ok_and(|block| block.get("type") == Some("\"text\"") && block.get("text") == Some("\"\""))
}

fn entry<'a>(entries: &'a mut Vec<(String, String)>, key: &str) -> &'a mut String {
    let at = entries.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
        entries.push((key.to_owned(), String::new()));
        entries.len() - 1
    });
    &mut entries[at].1
}
