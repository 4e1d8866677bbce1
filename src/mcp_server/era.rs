//! Which protocol a request speaks: 2026-07-28, which is stateless and says so in each request, or an older one.

use http::HeaderMap;
use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::{Value, json};

use super::message::Request;

/// The one stateless protocol.
pub(super) const MODERN: &str = "2026-07-28";

/// Those with `initialize` and a session, the newest first.
pub(super) const LEGACY: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

pub(super) const VERSION_HEADER: &str = "mcp-protocol-version";

pub(super) const VERSION: &str = "io.modelcontextprotocol/protocolVersion";
pub(super) const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
pub(super) const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
pub(super) const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
pub(super) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
pub(super) const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";

/// Methods that no older protocol has.
const MODERN_ONLY: [&str; 2] = ["server/discover", "subscriptions/listen"];

/// Whether a request means the stateless protocol, well-formed or not.
pub(super) fn is_modern(request: &Request, headers: &HeaderMap) -> bool {
    request.meta.contains_key(VERSION)
        || header(headers).is_some_and(|version| version >= MODERN)
        || MODERN_ONLY.contains(&request.method.as_str())
}

/// Whether an HTTP request without a JSON-RPC one means the stateless protocol.
pub(super) fn is_modern_header(headers: &HeaderMap) -> bool {
    header(headers).is_some_and(|version| version >= MODERN)
}

/// Whether the header names an older protocol that exists, or none.
pub(super) fn is_known_legacy_header(headers: &HeaderMap) -> bool {
    match headers.get(VERSION_HEADER) {
        None => true,
        Some(version) => LEGACY.iter().any(|known| version == known),
    }
}

fn header(headers: &HeaderMap) -> Option<&str> {
    headers.get(VERSION_HEADER).and_then(|version| version.to_str().ok())
}

/// What each stateless request must say of itself.
pub(super) fn check(request: &Request, headers: &HeaderMap) -> Result<(), ErrorData> {
    let missing = |key: &str| ErrorData::invalid_params(format!("Invalid params: _meta lacks {key}"), None);
    let Some(version) = request.meta.get(VERSION).and_then(Value::as_str) else {
        return Err(missing(VERSION));
    };
    match header(headers) {
        Some(named) if named == version => {}
        Some(named) => {
            let message = format!("the {VERSION_HEADER} header ({named}) does not match _meta ({version})");
            return Err(ErrorData::header_mismatch(message, None));
        }
        None => return Err(ErrorData::header_mismatch(format!("missing {VERSION_HEADER} header"), None)),
    }
    if version != MODERN {
        let data = json!({ "supported": [MODERN], "requested": version });
        let message = "Unsupported protocol version";
        return Err(ErrorData::new(ErrorCode::UNSUPPORTED_PROTOCOL_VERSION, message, Some(data)));
    }
    match request.meta.get(CLIENT_CAPABILITIES) {
        Some(Value::Object(_)) => Ok(()),
        _ => Err(missing(CLIENT_CAPABILITIES)),
    }
}
