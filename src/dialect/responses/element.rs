//! The elements of `input`, and which of them the gateway made.

use std::borrow::Cow;

use crate::dialect::raw::Object;

/// What begins the ids of the items that the gateway makes.
pub const OWN_CALL: &str = "mcp_tg";
/// See [`OWN_CALL`].
pub const OWN_LISTING: &str = "mcpl_tg";
/// See [`OWN_CALL`].
pub const OWN_REASONING: &str = "rs_tg";
/// See [`OWN_CALL`].
pub const OWN_LINE: &str = "msg_tg";
/// What begins the sealed content of the gateway's own reasoning items.
pub const SEAL: &str = "tg1.";

/// An element of `input`.
pub struct Element<'a> {
    /// As it stands in the request.
    pub text: &'a str,
    /// Its fields; none where it is no object.
    pub fields: Object<'a>,
    /// What it is.
    pub kind: Kind,
}

/// What an element of `input` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Said by the user, the developer or the system, or brought by the client.
    Brought,
    /// The client's output of a call.
    Output,
    /// A message of the assistant's.
    Message,
    /// A call of a tool of the client's.
    Call,
    /// Reasoning of the provider's.
    Reasoning,
    /// A sealed round of the gateway's, in the form of reasoning.
    Seal,
    /// A call that is said to have been run on the server's side: the gateway's, or one that nobody can vouch for.
    Claim,
    /// A list of tools that goes with such calls.
    Listing,
    /// A reference to a stored item.
    Reference,
    /// Any other item that a provider makes.
    Hosted,
}

impl<'a> Element<'a> {
    /// Reads it; `has_mcp` where the client brings MCP servers, whose items only the provider knows.
    pub fn read(text: &'a str, has_mcp: bool) -> Self {
        let fields = Object::within(text).unwrap_or_default();
        Self { text, kind: Kind::of(&fields, has_mcp), fields }
    }

    /// Its id; empty where it has none.
    pub fn id(&self) -> Cow<'a, str> {
        self.string("id")
    }

    /// The string in this field; empty where there is none.
    pub fn string(&self, key: &str) -> Cow<'a, str> {
        self.fields.string(key).unwrap_or_default()
    }

    /// Whether it is a line of the gateway's about a call.
    pub fn is_line(&self) -> bool {
        self.id().starts_with(OWN_LINE)
    }
}

impl Kind {
    fn of(element: &Object<'_>, has_mcp: bool) -> Self {
        let id = element.string("id").unwrap_or_default();
        let Some(kind) = element.string("type") else {
            let role = element.string("role");
            return match role.as_deref() {
                Some("assistant") => Self::Message,
                None if !id.is_empty() => Self::Reference,
                _ => Self::Brought,
            };
        };
        match &*kind {
            "message" if element.string("role").is_some_and(|role| role == "assistant") => Self::Message,
            "function_call" | "custom_tool_call" => Self::Call,
            "reasoning" if seal(element).is_some() => Self::Seal,
            "reasoning" => Self::Reasoning,
            "mcp_call" if !has_mcp || id.starts_with(OWN_CALL) => Self::Claim,
            "mcp_list_tools" if !has_mcp || id.starts_with(OWN_LISTING) => Self::Listing,
            "item_reference" => Self::Reference,
            "message" | "additional_tools" | "mcp_approval_response" => Self::Brought,
            // What the provider's own tools bring stands in its turn.
            "program_output" => Self::Hosted,
            output if !output.ends_with("_output") => Self::Hosted,
            _ if element.get("execution") == Some("\"server\"") => Self::Hosted,
            _ => Self::Output,
        }
    }

    /// Whether it belongs to a turn of the assistant's.
    pub fn is_assistants(self) -> bool {
        !matches!(self, Self::Brought | Self::Output)
    }
}

/// The seal of a reasoning item of the gateway's own.
pub fn seal(element: &Object<'_>) -> Option<String> {
    element.string("encrypted_content")?.strip_prefix(SEAL).map(str::to_owned)
}

/// Whether the gateway made what has this id.
pub fn is_own(id: &str) -> bool {
    [OWN_CALL, OWN_LISTING, OWN_REASONING, OWN_LINE].iter().any(|own| id.starts_with(own))
}

/// What a [`Kind::Claim`] says.
pub struct Claim {
    /// Its id.
    pub id: String,
    /// The server's name.
    pub server: String,
    /// The tool's name.
    pub tool: String,
    /// As JSON.
    pub arguments: String,
    /// The text of the result.
    pub result: String,
    /// The result says that it is an error.
    pub is_error: bool,
}

impl Claim {
    /// Reads it.
    pub fn read(element: &Object<'_>) -> Self {
        let field = |key| element.string(key).unwrap_or_default().into_owned();
        let error = element.get("error").filter(|error| *error != "null");
        Self {
            id: field("id"),
            server: field("server_label"),
            tool: field("name"),
            arguments: field("arguments"),
            result: error.map_or_else(|| field("output"), error_text),
            is_error: error.is_some() || element.get("status") == Some("\"failed\""),
        }
    }
}

/// What an error says, in whatever form the item's version of the API gives it.
fn error_text(error: &str) -> String {
    let Some(object) = Object::within(error) else {
        return crate::dialect::raw::string(error).unwrap_or_default().into_owned();
    };
    if let Some(message) = object.string("message") {
        return message.into_owned();
    }
    let text = |part: &str| Some(Object::within(part)?.string("text")?.into_owned());
    let texts: Vec<String> = object.array("content").into_iter().filter_map(text).collect();
    texts.join("\n")
}
