//! What a client is shown of the calls that the gateway ran.

use serde_json::Value;

use super::raw::Object;
use super::{Echo, result};
use crate::domain::{Digest, ToolCall, ToolResult};

/// A round's calls that are to be shown, all of them with their results.
#[derive(Debug, Clone, Default)]
pub struct Showing<'a> {
    /// The calls, in the model's order.
    pub calls: Vec<ShownCall<'a>>,
    /// The sealed round, for [`Form::Sealed`](crate::domain::Form::Sealed).
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

impl ShownCall<'_> {
    /// The arguments as they are shown.
    pub(super) fn arguments(&self) -> &str {
        arguments_of(self.call)
    }
}

impl Echo {
    /// The digest of the call as its client tells it; `None` of a sealed round. It is [`digest_of_shown`]'s where
    /// nothing has been changed.
    pub fn digest(&self) -> Option<Digest> {
        match self {
            Self::Call { arguments, result, is_error, .. } => Some(digest(arguments, result, *is_error)),
            Self::Seal(_) => None,
        }
    }
}

/// The digest of what a client is shown of a call and its result.
pub fn digest_of_shown(call: &ToolCall, result: &ToolResult) -> Digest {
    digest(arguments_of(call), &text_of(result), result.is_error)
}

/// A result in words alone: what a client is shown of it in every API.
pub fn text_of(result: &ToolResult) -> String {
    let texts: Vec<String> = result::parts(result).iter().map(result::in_words).collect();
    texts.join("\n")
}

/// Clients read arguments as an object: any others are shown as none.
fn arguments_of(call: &ToolCall) -> &str {
    if Object::parse(&call.arguments).is_ok() { &call.arguments } else { "{}" }
}

/// Not [`Canon`](super::canon::Canon), which leaves out white space and markers: what is proven must not be
/// changed in these either. Only the order of keys does not count, for clients put them into their own.
fn digest(arguments: &str, result: &str, is_error: bool) -> Digest {
    let sorted = serde_json::from_str(arguments).map(|value| sorted(value).to_string());
    let arguments = sorted.unwrap_or_else(|_| arguments.to_owned());
    Digest::of_parts(&[arguments.as_bytes(), result.as_bytes(), &[u8::from(is_error)]])
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        Value::Array(elements) => Value::Array(elements.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(arguments: &str) -> Digest {
        let call = ToolCall { id: "c".into(), name: "t".into(), arguments: arguments.into() };
        digest_of_shown(&call, &ToolResult::text("r"))
    }

    fn echoed(arguments: &str) -> Option<Digest> {
        let (seal, arguments, result) = (String::new(), arguments.to_owned(), "r".to_owned());
        Echo::Call { seal, arguments, result, is_error: false }.digest()
    }

    #[test]
    fn an_echo_has_the_digest_of_what_was_shown() {
        assert_eq!(Some(shown(r#"{"a":"x y","b":[1]}"#)), echoed(r#"{ "b": [1], "a": "x y" }"#));
        assert_ne!(Some(shown(r#"{"a":"x y"}"#)), echoed(r#"{"a":"xy"}"#));
        assert_ne!(Some(shown(r#"{"a":1}"#)), echoed(r#"{"a":1,"cache_control":{"type":"ephemeral"}}"#));
        assert_eq!(Echo::Seal("s".into()).digest(), None);
    }

    #[test]
    fn arguments_that_are_no_object_are_shown_as_none() {
        for arguments in ["", "no json", "[1]", "\"x\""] {
            assert_eq!(Some(shown(arguments)), echoed("{}"), "{arguments}");
            assert_ne!(Some(shown(arguments)), echoed(arguments), "{arguments}");
        }
        assert_eq!(Some(shown("{}")), echoed(" {} "));
    }
}
