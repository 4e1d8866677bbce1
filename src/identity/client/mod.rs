//! Which program is asking, in which of its sessions, and what for. Nothing that matters for safety depends on
//! this: Qwen Code poses as Claude Code, and anyone can send any header.

mod profiles;
mod side;

#[cfg(test)]
mod tests;

use http::HeaderMap;
use http::header::USER_AGENT;

pub use profiles::{PROFILES, Profile};
pub use side::SideRequest;

const MAX_NAME_CHARS: usize = 64;
const MAX_SESSION_CHARS: usize = 128;
const MAX_AGENT_CHARS: usize = 256;

/// Session headers of programs that are not known by their own, the narrowest first.
const SESSIONS: [&str; 4] = ["thread-id", "session-id", "x-session-id", "session_id"];

/// Agents that work side by side in one session may all be asked the same.
const AGENT: &str = "x-claude-code-agent-id";

/// For whom such an agent works.
const PARENT_AGENT: &str = "x-claude-code-parent-agent-id";

/// Ids of requests, by which a client's own log can be told from ours.
const REQUEST_IDS: [&str; 2] = ["x-client-request-id", "x-request-id"];

/// How the user agents of libraries begin: their version is not that of the program that uses them.
const LIBRARIES: [&str; 6] = ["OpenAI/", "AsyncOpenAI/", "Anthropic/", "AsyncAnthropic/", "ai-sdk/", "ai/"];

/// The program that sent a request, as far as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// A known program's name, or the first word of the user agent; at most 64 characters, `unknown` where
    /// nothing is sent.
    pub name: String,
    /// Its version, where its user agent tells; at most 64 characters.
    pub version: Option<String>,
    /// The program's own id of the conversation, where it sends one; at most 128 characters.
    pub session: Option<String>,
    /// Which of the agents in that session it is, where it says so; at most 128 characters.
    pub agent: Option<String>,
    /// The agent that it works for, where it says so; at most 128 characters.
    pub parent_agent: Option<String>,
    /// Its own id of the request, where it sends one; at most 128 characters.
    pub request_id: Option<String>,
    /// What is known of the program.
    pub profile: Option<&'static Profile>,
    /// What it says that it asks for, if that is not a turn of a conversation.
    pub side: Option<SideRequest>,
}

impl Client {
    /// Reads what the headers tell.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let profile = Profile::recognise(headers);
        let own = profile.map_or(&[][..], |profile| profile.sessions);
        let mut sessions = own.iter().chain(&SESSIONS);
        Self {
            name: profile.map_or_else(|| first_word(headers), |profile| profile.name.to_owned()),
            session: sessions.find_map(|header| text(headers, header, MAX_SESSION_CHARS)),
            version: version(headers, profile),
            agent: text(headers, AGENT, MAX_SESSION_CHARS),
            parent_agent: text(headers, PARENT_AGENT, MAX_SESSION_CHARS),
            request_id: REQUEST_IDS.iter().find_map(|header| text(headers, header, MAX_SESSION_CHARS)),
            profile,
            side: SideRequest::of(headers),
        }
    }

    /// Whether the program compacts its context by the usage that it is told: a sum over rounds would mislead it.
    pub fn sizes_context_by_usage(&self) -> bool {
        self.profile.is_some_and(|profile| profile.sizes_context_by_usage)
    }
}

/// The program's own name of itself.
fn first_word(headers: &HeaderMap) -> String {
    let agent = text(headers, USER_AGENT.as_str(), MAX_NAME_CHARS).unwrap_or_default();
    let word = agent.split(['/', ' ']).next().filter(|word| !word.is_empty());
    word.unwrap_or("unknown").to_owned()
}

/// The version in a user agent such as `opencode/1.18.33 …`, `OpenAI/Python 3.52.0` or `ai-sdk/openai/3.0.37`.
fn version(headers: &HeaderMap, profile: Option<&Profile>) -> Option<String> {
    let agent = text(headers, USER_AGENT.as_str(), MAX_AGENT_CHARS)?;
    let is_librarys = LIBRARIES.iter().any(|library| agent.starts_with(library));
    // A program that is known by another header may say nothing of itself here.
    let is_its_own = profile.is_none_or(|it| it.agents.iter().any(|start| agent.starts_with(start)));
    if is_librarys && !is_its_own {
        return None;
    }
    let mut words = agent.split(' ');
    let first = words.next().and_then(|word| word.rsplit('/').next());
    let is_version = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let version = first.filter(is_version).or_else(|| words.next().filter(is_version))?;
    Some(version.chars().take(MAX_NAME_CHARS).collect())
}

/// A header's printable ASCII, cut to a length; what else is in it becomes `?`.
fn text(headers: &HeaderMap, name: &str, longest: usize) -> Option<String> {
    let value = headers.get(name)?;
    let printable = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '?' };
    let text: String = value.as_bytes().iter().take(longest).map(printable).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
