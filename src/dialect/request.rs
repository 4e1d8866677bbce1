//! What the requests of all APIs have in common.

use std::sync::Arc;

use bytes::Bytes;

use super::draft::Draft;
use super::raw::{self, Object};
use super::{Brought, ClientTools, Delivery, Request};
use crate::domain::{Digest, Failure, FailureKind, ToolDefinition};

/// What the APIs call the most tokens that an answer may have.
const LIMITS: [&str; 3] = ["max_tokens", "max_output_tokens", "max_completion_tokens"];

/// Fields that may differ between two tries of one request: agents fall back to another delivery.
const DELIVERY: [&str; 7] = [
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "metadata",
    "client_metadata",
];

impl Request {
    /// Reads the body, the model and the delivery; `known` are the top-level keys that decisions are made on.
    pub(super) fn open(body: Bytes, known: &[&str]) -> Result<Self, Failure> {
        let draft = Draft::read(body, known)?;
        let object = draft.object();
        let model = match object.string("model") {
            Some(model) if !model.is_empty() => model.into_owned(),
            _ => return Err(bad("`model` is missing: name the model as a string")),
        };
        if let Some(choice) = object.object("tool_choice") {
            unambiguous(&choice, "`tool_choice`")?;
        }
        let delivery = if object.is_true("stream") { Delivery::Streamed } else { Delivery::Whole };
        Ok(Self {
            model,
            delivery,
            tools: ClientTools::default(),
            obstacle: None,
            references: Vec::new(),
            previous: None,
            brought: Brought::default(),
            is_probe: LIMITS.iter().any(|limit| object.get(limit) == Some("1")),
            injected: Arc::default(),
            draft,
        })
    }

    /// The body to send upstream: the client's very bytes, where nothing had to change.
    pub fn body(&self) -> Bytes {
        self.draft.render()
    }

    /// What is asked, to the byte, apart from how the answer is to be delivered and told of.
    pub fn fingerprint(&self) -> Digest {
        let object = self.draft.object();
        let mut fields: Vec<_> =
            object.fields.iter().filter(|field| !DELIVERY.contains(&&*field.key)).collect();
        fields.sort_by(|a, b| a.key.cmp(&b.key));
        let parts: Vec<&[u8]> =
            fields.iter().flat_map(|field| [field.key.as_bytes(), field.value.as_bytes()]).collect();
        Digest::of_parts(&parts)
    }

    /// Whether any tool has been injected.
    pub fn has_injected(&self) -> bool {
        !self.injected.is_empty()
    }

    /// Adds tools after the client's own, each as `definition` writes it.
    pub(super) fn add_tools(
        &mut self,
        tools: &[Arc<ToolDefinition>],
        definition: fn(&ToolDefinition) -> String,
    ) {
        if tools.is_empty() {
            return;
        }
        let definitions: Vec<String> = tools.iter().map(|tool| definition(tool)).collect();
        self.draft.extend("tools", &definitions.join(","));
        self.injected = Arc::new(tools.iter().map(|tool| tool.name.clone()).collect());
    }
}

/// A failure that is the caller's.
pub fn bad(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::BadRequest, message)
}

/// The client's tools, each an object whose keys are one thing to every reader.
pub fn tools<'a>(object: &Object<'a>) -> Result<Vec<Object<'a>>, Failure> {
    let Some(value) = object.get("tools").filter(|value| *value != "null") else { return Ok(Vec::new()) };
    let elements = raw::elements(value).ok_or_else(|| bad("`tools` must be an array"))?;
    elements.into_iter().map(tool).collect()
}

fn tool(text: &str) -> Result<Object<'_>, Failure> {
    let tool = Object::within(text).ok_or_else(|| bad("each of `tools` must be an object"))?;
    unambiguous(&tool, "one of `tools`")?;
    for kind in ["function", "custom"] {
        if let Some(inner) = tool.object(kind) {
            unambiguous(&inner, "one of `tools`")?;
        }
    }
    Ok(tool)
}

/// Refuses an object in which a key stands twice: what is decided on must be what the provider reads.
pub fn unambiguous(object: &Object<'_>, place: &str) -> Result<(), Failure> {
    match object.ambiguous_key() {
        Some(key) => Err(bad(format!("the key {key:?} stands twice in {place}: send it once")).quoting(key)),
        None => Ok(()),
    }
}

/// The texts of a content, which is a string or has parts of these types, each on lines of its own.
pub fn texts(content: &str, types: &[&str]) -> String {
    if let Some(text) = raw::text(content) {
        return text.into_owned();
    }
    let elements = raw::elements(content).unwrap_or_default().into_iter().filter_map(Object::within);
    let parts = elements.filter(|part| part.string("type").is_some_and(|kind| types.contains(&&*kind)));
    let texts: Vec<_> = parts.filter_map(|part| raw::text(part.get("text")?)).collect();
    texts.join("\n")
}
