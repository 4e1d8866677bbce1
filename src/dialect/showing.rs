//! What a client is shown of the calls that the gateway ran.

use crate::domain::{ToolCall, ToolResult};

/// How a client is shown the calls that the gateway ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// Not at all.
    #[default]
    Hidden,
    /// In the API's own form for tools that run on the server's side.
    Native,
    /// As a sealed item, for clients that send back nothing else.
    Sealed,
}

/// A round's calls that are to be shown, all of them with their results.
#[derive(Debug, Clone, Default)]
pub struct Showing<'a> {
    /// The calls, in the model's order.
    pub calls: Vec<ShownCall<'a>>,
    /// The sealed round, for [`Form::Sealed`].
    pub seal: Option<String>,
    /// What servers offer, for APIs that list that before the first call; once a conversation and server.
    pub listings: Vec<Listing<'a>>,
}

/// One call.
#[derive(Debug, Clone)]
pub struct ShownCall<'a> {
    /// Proves later that it was the gateway's; letters, digits, `-` and `_`.
    pub seal: String,
    /// As the model made it.
    pub call: &'a ToolCall,
    /// The server's name.
    pub server: &'a str,
    /// The tool's name on its server.
    pub tool: &'a str,
    /// As the model gets it.
    pub result: &'a ToolResult,
    /// A short line about it, where the client's terminal shows nothing else.
    pub line: Option<String>,
}

/// What a server offers.
#[derive(Debug, Clone)]
pub struct Listing<'a> {
    /// The server's name.
    pub server: &'a str,
    /// Its injected tools: name, description, input schema as JSON.
    pub tools: Vec<(&'a str, &'a str, &'a str)>,
}
