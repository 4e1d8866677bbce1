//! The messages of a request, and their blocks.

use std::borrow::Cow;

use crate::dialect::raw::{self, Object, Patch, quote};

/// What the ids of the calls that the gateway shows begin with; the seal follows.
pub const SHOWN_ID: &str = "mcptoolu_tg";

/// An element of `messages`.
#[derive(Debug)]
pub struct Message<'a> {
    /// As it stands in the request.
    pub json: &'a str,
    /// Its fields; none where it is no object.
    pub fields: Object<'a>,
    /// Who speaks.
    pub role: Cow<'a, str>,
}

/// A content block of a message, which a request brings.
#[derive(Debug)]
pub struct Part<'a> {
    /// As it stands in the request.
    pub json: &'a str,
    /// Its fields; none where it is no object.
    pub fields: Object<'a>,
    /// Its type.
    pub kind: Cow<'a, str>,
}

/// The messages of a request.
pub fn messages<'a>(request: &Object<'a>) -> Vec<Message<'a>> {
    request.array("messages").into_iter().map(Message::read).collect()
}

impl<'a> Message<'a> {
    /// Reads a message of checked JSON.
    pub fn read(json: &'a str) -> Self {
        let fields = Object::within(json).unwrap_or_default();
        let role = fields.string("role").unwrap_or_default();
        Self { json, fields, role }
    }

    /// Whether the assistant speaks.
    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// Its content as it stands in the request: a string or an array of blocks.
    pub fn content(&self) -> &'a str {
        self.fields.get("content").unwrap_or("[]")
    }

    /// Its content blocks; none where its content is a string.
    pub fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        raw::elements(self.content()).unwrap_or_default().into_iter().map(Part::read)
    }

    /// The cache marker on its last block.
    pub fn marker(&self) -> Option<&'a str> {
        let marker = self.parts().last()?.fields.get("cache_control");
        marker.filter(|marker| *marker != "null")
    }

    /// The text of each of its blocks; a string is the one text block that it stands for.
    pub fn part_texts(&self) -> Vec<Cow<'a, str>> {
        match raw::elements(self.content()) {
            Some(blocks) => blocks.into_iter().map(Cow::Borrowed).collect(),
            None if self.content() == "\"\"" => Vec::new(),
            None => vec![format!(r#"{{"type":"text","text":{}}}"#, self.content()).into()],
        }
    }
}

impl<'a> Part<'a> {
    /// Reads a block of checked JSON.
    pub fn read(json: &'a str) -> Self {
        let fields = Object::within(json).unwrap_or_default();
        let kind = fields.string("type").unwrap_or_default();
        Self { json, fields, kind }
    }

    /// The string in this field; empty where there is none.
    pub fn string(&self, key: &str) -> Cow<'a, str> {
        self.fields.string(key).unwrap_or_default()
    }

    /// Whether it is thinking, for which its provider vouches in its place alone.
    pub fn is_thinking(&self) -> bool {
        matches!(&*self.kind, "thinking" | "redacted_thinking")
    }

    /// The block without a cache marker.
    pub fn unmarked(&self) -> String {
        let mut patch = Patch::default();
        patch.remove(self.json, &self.fields, &["cache_control"]);
        patch.apply(self.json)
    }

    /// The id of the call that it is or answers, where it has the API's form for tools that the provider's
    /// side runs and is no affair of servers which the client brought.
    pub fn shown_id(&self, brings_servers: bool) -> Option<Cow<'a, str>> {
        let id = match &*self.kind {
            "mcp_tool_use" => self.string("id"),
            "mcp_tool_result" => self.string("tool_use_id"),
            _ => return None,
        };
        (!brings_servers || id.starts_with(SHOWN_ID)).then_some(id)
    }

    /// The text of a result's content: a string, or the texts of its blocks, each on lines of its own.
    pub fn result_text(&self) -> String {
        let Some(content) = self.fields.get("content") else { return String::new() };
        if let Some(text) = raw::inner(content) {
            return raw::unescape(text);
        }
        let blocks = raw::elements(content).unwrap_or_default().into_iter().map(Part::read);
        let texts: Vec<_> = blocks.filter_map(|block| block.fields.string("text")).collect();
        texts.join("\n")
    }
}

/// A text as a block.
pub fn text_block(text: &str) -> String {
    format!(r#"{{"type":"text","text":{}}}"#, quote(text))
}

/// Whether a request brings MCP servers of its own, which the provider calls.
pub fn brings_servers(request: &Object<'_>) -> bool {
    !request.array("mcp_servers").is_empty()
}
