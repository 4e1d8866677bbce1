use serde_json::Value;

/// A tool call as the model made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The provider's id of the call, which its result must carry.
    pub id: String,
    /// The tool's name as the model sees it.
    pub name: String,
    /// The arguments exactly as the model wrote them: JSON if all went well, else whatever it was.
    pub arguments: String,
}

/// What a tool call brought back, for the model: also every failure of a call is one of these.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ToolResult {
    /// The parts of the result, in the server's order.
    pub content: Vec<Content>,
    /// The server's machine-readable result, where it gave one.
    pub structured: Option<Value>,
    /// The call failed, and the content says why.
    pub is_error: bool,
}

/// One part of a tool's result (MCP 2025-11-25 and 2026-07-28, "Tool Result").
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// An image: media type and base64 data.
    Image {
        /// Such as `image/png`.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// Audio: media type and base64 data.
    Audio {
        /// Such as `audio/wav`.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// An embedded resource with its text.
    TextResource {
        /// Where it lives.
        uri: String,
        /// Its media type, where known.
        media_type: Option<String>,
        /// The whole text.
        text: String,
    },
    /// An embedded resource with its bytes.
    BlobResource {
        /// Where it lives.
        uri: String,
        /// Its media type, where known.
        media_type: Option<String>,
        /// Base64.
        data: String,
    },
    /// A pointer to a resource that the server could serve.
    ResourceLink {
        /// Where it lives.
        uri: String,
        /// Its name.
        name: String,
        /// What it is.
        description: Option<String>,
        /// Its media type, where known.
        media_type: Option<String>,
    },
}

impl ToolResult {
    /// A result that tells the model what went wrong.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(message.into())], structured: None, is_error: true }
    }

    /// A result of one text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::Text(text.into())], structured: None, is_error: false }
    }
}
