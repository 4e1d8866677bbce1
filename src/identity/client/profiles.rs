//! The table of known programs: one row each, as tried with the versions of November 2026; rows that nobody has
//! tried say so.

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::domain::Form;

/// What is known of a program.
#[derive(Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name in the records.
    pub name: &'static str,
    /// Headers that it alone sends, with the beginning of their values: they tell more than any user agent.
    pub headers: &'static [(&'static str, &'static str)],
    /// How its user agent begins.
    pub agents: &'static [&'static str],
    /// The headers with its id of the conversation, the narrowest first.
    pub sessions: &'static [&'static str],
    /// It compacts its context by the usage that it is told.
    pub sizes_context_by_usage: bool,
    /// The form that suits it, by dialect; hidden in any other.
    pub forms: &'static [(&'static str, Form)],
    /// A person reads what it prints: a line of text tells of a call that would else be invisible.
    pub has_reader: bool,
    /// It shows that person what suits it, so that no line is needed.
    pub shows_it: bool,
    /// Why it is shown calls in this way.
    pub why: &'static str,
}

/// A program of which nothing is known but that hiding works.
const PLAIN: Profile = Profile {
    name: "",
    headers: &[],
    agents: &[],
    sessions: &[],
    sizes_context_by_usage: false,
    forms: &[],
    has_reader: false,
    shows_it: false,
    why: "",
};

const AGENT_IS_UNTRIED: &str =
    "nobody has tried native blocks with it, and a session that its parser breaks is lost";
const PROGRAM_READS_TEXT: &str = "the types are there, but a program that did not ask for tools on the server's side need not \
     expect their blocks, nor lines of text in what it parses";

/// The first row that fits counts: rows with headers stand before rows with the same user agent.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "claude-code",
        headers: &[("x-claude-code-session-id", "")],
        agents: &["claude-code/"],
        sessions: &["x-claude-code-session-id"],
        forms: &[("messages", Form::Native)],
        has_reader: true,
        why: "it sends both blocks back verbatim, with thinking between them, which works without a store too; its \
              terminal shows nothing of them",
        ..PLAIN
    },
    Profile {
        name: "codex",
        headers: &[("originator", "codex_"), ("x-codex-window-id", "")],
        agents: &["codex_"],
        sessions: &["thread-id", "session-id"],
        sizes_context_by_usage: true,
        forms: &[("responses", Form::Sealed)],
        has_reader: true,
        shows_it: true,
        why: "it drops `mcp_call` items, neither shown nor sent back; a reasoning item is shown by its summary and sent \
              back verbatim",
    },
    Profile {
        name: "copilot",
        headers: &[("x-interaction-type", "")],
        has_reader: true,
        why: AGENT_IS_UNTRIED,
        ..PLAIN
    },
    Profile {
        name: "opencode",
        agents: &["opencode/"],
        sessions: &["x-session-id", "x-session-affinity"],
        forms: &[("messages", Form::Native), ("responses", Form::Native)],
        has_reader: true,
        shows_it: true,
        why: "it shows both forms in its terminal; what it leaves out when it sends them back comes from the store",
        ..PLAIN
    },
    Profile {
        // Qwen Code's Messages requests say so too, so this is no proof of Claude Code.
        name: "claude-cli",
        agents: &["claude-cli/"],
        has_reader: true,
        why: AGENT_IS_UNTRIED,
        ..PLAIN
    },
    Profile { name: "qwen-code", agents: &["QwenCode/"], has_reader: true, why: AGENT_IS_UNTRIED, ..PLAIN },
    Profile { name: "continue", agents: &["ls/JS"], has_reader: true, why: AGENT_IS_UNTRIED, ..PLAIN },
    Profile { name: "openai-agents-python", agents: &["Agents/Python"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile { name: "openai-agents-js", agents: &["Agents/JavaScript"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile { name: "langchain", agents: &["langchain-anthropic/"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile { name: "pydantic-ai", agents: &["pydantic-ai/"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile { name: "litellm", agents: &["litellm/"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile { name: "ai-sdk", agents: &["ai-sdk/", "ai/"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile {
        name: "openai-python",
        agents: &["OpenAI/Python", "AsyncOpenAI/Python"],
        why: PROGRAM_READS_TEXT,
        ..PLAIN
    },
    // Pi is one of its users, and sends `session_id`.
    Profile { name: "openai-js", agents: &["OpenAI/JS"], why: PROGRAM_READS_TEXT, ..PLAIN },
    Profile {
        name: "anthropic-python",
        agents: &["Anthropic/Python", "AsyncAnthropic/Python"],
        why: PROGRAM_READS_TEXT,
        ..PLAIN
    },
    Profile { name: "anthropic-js", agents: &["Anthropic/JS"], why: PROGRAM_READS_TEXT, ..PLAIN },
];

impl Profile {
    /// The row that these headers fit: by those that one program alone sends, else by the user agent.
    pub(super) fn recognise(headers: &HeaderMap) -> Option<&'static Self> {
        let begins = |header: &str, start: &str| {
            headers.get(header).is_some_and(|value| value.as_bytes().starts_with(start.as_bytes()))
        };
        let by_header = |row: &&Self| row.headers.iter().any(|(header, start)| begins(header, start));
        let by_agent = |row: &&Self| row.agents.iter().any(|start| begins(USER_AGENT.as_str(), start));
        PROFILES.iter().find(by_header).or_else(|| PROFILES.iter().find(by_agent))
    }

    /// The form that suits it in this dialect.
    pub fn form(&self, dialect: &str) -> Form {
        let of_dialect = self.forms.iter().find(|(name, _)| *name == dialect);
        of_dialect.map(|(_, form)| *form).unwrap_or_default()
    }
}
