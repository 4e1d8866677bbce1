//! What programs ask for on the side of their conversations.

use http::HeaderMap;
use serde::Deserialize;

/// A request that is no turn of a conversation, as its program says itself. Most programs do not say it; what
/// their side requests have in common is that they bring no tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SideRequest {
    /// A title, a classification, a memory, a check of the quota.
    Auxiliary,
    /// A summary that replaces the conversation so far.
    Compaction,
}

/// Claude Code, where it is told to give hints.
const CLASS: &str = "x-claude-code-request-class";
/// Codex.
const TURN: &str = "x-codex-turn-metadata";

#[derive(Deserialize)]
struct Turn {
    request_kind: String,
}

impl SideRequest {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let class = headers.get(CLASS).and_then(|class| class.to_str().ok());
        let turn = headers.get(TURN).and_then(|turn| serde_json::from_slice::<Turn>(turn.as_bytes()).ok());
        match class.or(turn.as_ref().map(|turn| turn.request_kind.as_str()))? {
            "auxiliary" | "memory" => Some(Self::Auxiliary),
            "compaction" => Some(Self::Compaction),
            _ => None,
        }
    }
}
