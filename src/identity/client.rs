//! Which program is asking, and in which of its sessions. Nothing that matters for safety depends on this:
//! Qwen Code poses as Claude Code, and anyone can send any header.

use http::HeaderMap;
use http::header::USER_AGENT;

const MAX_NAME_CHARS: usize = 64;
const MAX_SESSION_CHARS: usize = 128;

/// The program that sent a request, as far as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// A known program's name, or the first word of the user agent; at most 64 characters, `unknown` where
    /// nothing is sent.
    pub name: String,
    /// The program's own id of the conversation, where it sends one; at most 128 characters.
    pub session: Option<String>,
    /// The program compacts its context by the usage that it is told, so a sum over rounds would mislead it.
    pub sizes_context_by_usage: bool,
}

/// Headers that only one program sends, whatever its user agent says.
const BY_HEADER: [(&str, &str); 3] = [
    ("x-claude-code-session-id", "claude-code"),
    ("x-codex-window-id", "codex"),
    ("x-interaction-type", "copilot"),
];

/// The start of the user agent. Without its session header, what calls itself `claude-cli` may be another.
const BY_USER_AGENT: [(&str, &str); 17] = [
    ("claude-cli/", "claude-cli"),
    ("claude-code/", "claude-code"),
    ("codex_", "codex"),
    ("opencode/", "opencode"),
    ("QwenCode/", "qwen-code"),
    ("ls/JS", "continue"),
    ("OpenAI/Python", "openai-python"),
    ("OpenAI/JS", "openai-js"),
    ("Anthropic/Python", "anthropic-python"),
    ("Anthropic/JS", "anthropic-js"),
    ("Agents/Python", "openai-agents-python"),
    ("Agents/JavaScript", "openai-agents-js"),
    ("langchain-anthropic/", "langchain"),
    ("litellm/", "litellm"),
    ("pydantic-ai/", "pydantic-ai"),
    ("ai-sdk/", "ai-sdk"),
    ("ai/", "ai-sdk"),
];

/// Session headers, the narrowest first: a thread of Codex is a conversation, its session may hold several.
const SESSIONS: [&str; 6] = [
    "x-claude-code-session-id",
    "thread-id",
    "session-id",
    "x-session-id",
    "x-session-affinity",
    "session_id",
];

/// Programs that size their context by the usage in the answer.
const SIZE_BY_USAGE: [&str; 1] = ["codex"];

impl Client {
    /// Reads what the headers tell: first those that one program alone sends, then the user agent.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let name = known_by_header(headers).map_or_else(|| by_user_agent(headers), str::to_owned);
        Self {
            session: SESSIONS.iter().find_map(|header| text(headers, header, MAX_SESSION_CHARS)),
            sizes_context_by_usage: SIZE_BY_USAGE.contains(&name.as_str()),
            name,
        }
    }
}

fn known_by_header(headers: &HeaderMap) -> Option<&'static str> {
    let originator = text(headers, "originator", MAX_NAME_CHARS);
    if originator.is_some_and(|originator| originator.starts_with("codex_")) {
        return Some("codex");
    }
    BY_HEADER.iter().find(|(header, _)| headers.contains_key(*header)).map(|(_, name)| *name)
}

fn by_user_agent(headers: &HeaderMap) -> String {
    let Some(agent) = text(headers, USER_AGENT.as_str(), MAX_NAME_CHARS) else { return "unknown".into() };
    if let Some((_, name)) = BY_USER_AGENT.iter().find(|(start, _)| agent.starts_with(start)) {
        return (*name).to_owned();
    }
    agent.split(['/', ' ']).next().filter(|word| !word.is_empty()).unwrap_or("unknown").to_owned()
}

/// A header's printable ASCII, cut to a length; what else is in it becomes `?`.
fn text(headers: &HeaderMap, name: &str, longest: usize) -> Option<String> {
    let value = headers.get(name)?;
    let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
    let text: String = value.as_bytes().iter().take(longest).map(printable).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(lines: &[(&'static str, &str)]) -> Client {
        Client::from_headers(&lines.iter().map(|(n, v)| (n.parse().unwrap(), v.parse().unwrap())).collect())
    }

    #[test]
    fn session_headers_tell_more_than_user_agents() {
        let claude = client(&[
            ("user-agent", "claude-cli/2.1.329 (external, sdk-cli)"),
            ("x-claude-code-session-id", "5b7e"),
        ]);
        assert_eq!((claude.name.as_str(), claude.session.as_deref()), ("claude-code", Some("5b7e")));
        let qwen = client(&[("user-agent", "claude-cli/0.24.4 (external, cli)"), ("x-app", "cli")]);
        assert_eq!((qwen.name.as_str(), qwen.session), ("claude-cli", None));
        let copilot =
            client(&[("user-agent", "OpenAI/JS 5.20.1"), ("x-interaction-type", "conversation-user")]);
        assert_eq!(copilot.name, "copilot");
    }

    #[test]
    fn codex_sizes_its_context_by_usage() {
        for lines in [
            &[("originator", "codex_exec"), ("session-id", "s"), ("thread-id", "t")][..],
            &[("user-agent", "codex_cli_rs/0.169.0 (Debian)"), ("thread-id", "t")],
        ] {
            let codex = client(lines);
            assert_eq!((codex.name.as_str(), codex.session.as_deref()), ("codex", Some("t")));
            assert!(codex.sizes_context_by_usage);
        }
        assert!(!client(&[("user-agent", "OpenAI/Python 3.52.0")]).sizes_context_by_usage);
    }

    #[test]
    fn user_agents_of_known_and_unknown_programs() {
        for (agent, name) in [
            ("opencode/1.18.33 ai-sdk/provider-utils/1", "opencode"),
            ("ai/7.0.173 ai-sdk-provider-utils/1", "ai-sdk"),
            ("Anthropic/JS 0.94.0", "anthropic-js"),
            ("curl/8.5.0", "curl"),
            ("My Program", "My"),
            ("/", "unknown"),
        ] {
            assert_eq!(client(&[("user-agent", agent)]).name, name);
        }
        assert_eq!(
            client(&[]),
            Client { name: "unknown".into(), session: None, sizes_context_by_usage: false }
        );
    }

    #[test]
    fn what_is_kept_is_short_and_printable() {
        let long = "x".repeat(5000);
        let client = client(&[("user-agent", &long), ("session_id", &long)]);
        assert_eq!((client.name.len(), client.session.unwrap().len()), (64, 128));
        let mut odd = HeaderMap::new();
        odd.insert("session-id", http::HeaderValue::from_bytes(b"a\tb\xff").unwrap());
        assert_eq!(Client::from_headers(&odd).session.as_deref(), Some("a?b?"));
    }
}
