//! What in a definition an administrator should look at: text that he cannot see, text that is written for the
//! model and against him, and ways out of the tool's own business.
//!
//! These are signs, no proof: a finding is shown, and a serious one has to be accepted by name. That there is none
//! says little about a tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::Definition;
use super::diff::escape;
use super::names::Names;
use crate::domain::{first_hidden, hidden, on_one_line};

/// How many findings of a tool are reported.
const MAX_FINDINGS: usize = 20;

/// How much of a text is shown around what was found, in characters on each side.
const AROUND: usize = 40;

/// What is found in a text is shown up to this length, in characters.
const EXCERPT: usize = 160;

/// A description that is longer reaches the model cut; other texts of this length are as odd.
const MAX_TEXT: usize = 4 * 1024;

/// Something that an administrator should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// What it looks like.
    pub suspicion: Suspicion,
    /// Where: a JSON pointer into the definition.
    pub place: String,
    /// The text there, with all that is hidden written out.
    pub text: String,
}

/// What a finding looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suspicion {
    /// Characters that a person does not see.
    Hidden(&'static str),
    /// Letters of two alphabets in one word.
    LookAlikes,
    /// An instruction to the model that has nothing to do with what the tool does.
    Instruction,
    /// Files or values that hold secrets.
    Secrets,
    /// Another server's tool.
    OtherTool,
    /// Data that nobody can read.
    Blob,
    /// A URL that carries data or code, or an image from elsewhere.
    ActiveLink,
    /// A link.
    Link,
    /// Another server.
    OtherServer,
    /// A tool that another server has too, by that name.
    SharedName,
    /// A model is urged to prefer the tool, or to call it first.
    Pressure,
    /// A very long text.
    Long,
}

impl Suspicion {
    /// Whether it has to be accepted by name before the tool is approved.
    pub fn is_serious(self) -> bool {
        !matches!(self, Self::Link | Self::OtherServer | Self::SharedName | Self::Pressure | Self::Long)
    }
}

impl fmt::Display for Suspicion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hidden(kind) => return write!(f, "hidden text: {kind}"),
            Self::LookAlikes => "look-alike letters of two alphabets in one word",
            Self::Instruction => "an instruction to the model",
            Self::Secrets => "secrets",
            Self::OtherTool => "another server's tool",
            Self::Blob => "data that nobody can read",
            Self::ActiveLink => "a URL that carries data or code, or an image from elsewhere",
            Self::Link => "a link",
            Self::OtherServer => "another server",
            Self::SharedName => "a tool that another server has too",
            Self::Pressure => "the model is urged to use this tool",
            Self::Long => "a very long text",
        })
    }
}

/// The names of all tools by server.
pub type ToolNames = BTreeMap<String, BTreeSet<String>>;

/// What the other servers of the fleet are called, and their tools.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    servers: Option<Regex>,
    tools: Names,
    /// Tools of others that the server lists as well: what is said of them may be said of either.
    shared: Names,
}

impl Neighbours {
    /// All that `server` should not speak of; a name that is an ordinary word is none.
    pub(super) fn new(server: &str, fleet: &ToolNames) -> Self {
        let own = fleet.get(server);
        let is_own = |name: &String| own.is_some_and(|own| own.contains(name));
        let others = || fleet.iter().filter(|(name, _)| *name != server);
        let tools = others().flat_map(|(_, tools)| tools).filter(|name| is_identifier(name));
        let (shared, tools): (Vec<&String>, Vec<&String>) = tools.partition(|name| is_own(name));
        let servers = others().map(|(name, _)| name.clone()).collect();
        Self { servers: any_server(&servers), tools: Names::new(tools), shared: Names::new(shared) }
    }
}

/// `read_file` and `readFile`, but not `read`.
fn is_identifier(name: &str) -> bool {
    let inside = name.get(1..).unwrap_or_default();
    inside.contains(['_', '-', '.', '/']) || inside.contains(|c: char| c.is_ascii_uppercase())
}

/// Any of the servers, which are few: the configuration names them. Most names, such as `time`, are ordinary words
/// without what stands behind them.
fn any_server(names: &BTreeSet<String>) -> Option<Regex> {
    let names: Vec<String> = names.iter().map(|name| regex::escape(name)).collect();
    let pattern = format!(r"(?i)(?:^|[^\w-])({})(?:__| (?:mcp )?(?:server|tool)s?\b)", names.join("|"));
    if names.is_empty() { None } else { Regex::new(&pattern).ok() }
}

/// Patterns over a text without its hidden characters, with single spaces.
static PATTERNS: LazyLock<Vec<(Suspicion, Regex)>> = LazyLock::new(|| {
    let patterns = [
        (
            Suspicion::Instruction,
            concat!(
                r"\b(?:ignore|disregard|forget|override|bypass)\b(?: [\w'’`-]+){0,3} ",
                r"(?:previous|prior|above|earlier|preceding|other|system|safety|existing|all|your)\b(?: [\w'’`-]+){0,2} ",
                r"(?:instructions?|prompts?|rules?|messages?|context|guidelines?|polic(?:y|ies)|tools?|directives?)\b"
            ),
        ),
        (
            Suspicion::Instruction,
            concat!(
                r"\b(?:do not|don't|don’t|never|must not|should not|without|avoid|not to)\b(?: [\w'’`-]+){0,4} ",
                r"(?:tell|telling|mention|mentioning|inform|informing|reveal|revealing|show|showing|notify|notifying|",
                r"alert|alerting|disclose|disclosing|warn|warning|ask|asking|let|letting)\b(?: [\w'’`-]+){0,5} ",
                r"(?:the |your |any )?(?:users?|humans?|person|operator|developer)\b"
            ),
        ),
        (
            Suspicion::Instruction,
            r"\b(?:keep|stay|remain)s?\b(?: [\w'’`-]+){0,4} (?:secret|hidden|confidential|invisible)\b|\b(?:hide|conceal)s?\b(?: [\w'’`-]+){0,4} from (?:the |your )?(?:user|human|operator)",
        ),
        (
            Suspicion::Instruction,
            r"</? ?(?:important|system|secret|instructions?|admin|critical|hidden|assistant|s|inst)\b[^>]{0,40}>|\[/?(?:system|inst|important|admin)\]|<<sys>>|<\|[a-z_]+\|>|\bsystem (?:prompt|override|message) ?:",
        ),
        (
            Suspicion::Instruction,
            r"\b(?:before|prior to|after|whenever|when|each time|every time) (?:you )?(?:us(?:e|ing)|call(?:ing)?|invok(?:e|ing)|execut(?:e|ing)|run(?:ning)?) (?:this|any|another|other|all|the) (?:other )?(?:tools?|functions?)\b",
        ),
        (
            Suspicion::Instruction,
            r"\b(?:instead of|rather than|in place of) (?:the |any |using |calling )*(?:other|existing|original|real|built-in) (?:tools?|functions?|servers?)\b|\b(?:never|do not|don't) (?:use|call|invoke) (?:the |any )*(?:other|existing|original) (?:tools?|functions?)\b",
        ),
        (
            Suspicion::Instruction,
            r"\b(?:pass|send|include|put|provide|append|forward|attach|copy|write|insert|report)\b(?: [\w'’`-]+){0,6} (?:conversation|chat history|system prompt|previous messages|contents? of (?:the |this )?(?:files?|environment)|full prompt|entire context)\b",
        ),
        (
            Suspicion::Secrets,
            r"(?:^|[^\w])(?:~?/?\.ssh\b|id_(?:rsa|ed25519|ecdsa|dsa)\b|\.aws/|\.netrc\b|\.npmrc\b|\.pypirc\b|\.kube/config|\.gnupg\b|\.git-credentials|\.docker/config|authorized_keys|/etc/(?:passwd|shadow)\b|\.cursor/|mcp\.json\b|claude_desktop_config|\.bash_history|/proc/self/environ|\.env\b(?: files?)?)",
        ),
        (
            Suspicion::Secrets,
            r"\b(?:read|reads|reading|send|sends|sending|collect|exfiltrate|extract|steal|copy|upload|pass)\b(?: [\w'’`-]+){0,5} (?:private keys?|ssh keys?|api keys?|access keys?|credentials|passwords?|secrets|environment variables|cookies)\b",
        ),
        (
            Suspicion::ActiveLink,
            r"\b(?:data:[a-z]+/[a-z0-9.+-]+[;,]|javascript:|vbscript:)|!\[[^\]]*\]\(\s*https?:",
        ),
        (Suspicion::Blob, r"(?:^|[^A-Za-z0-9+/_-])(?:[A-Za-z0-9+/_-]{100,}={0,2})(?:$|[^A-Za-z0-9+/_=-])"),
        (Suspicion::Link, r"\b(?:https?|ftp|file|wss?|ssh)://[^\s)>\x22']+"),
        (
            Suspicion::Pressure,
            r"\b(?:always|must|have to|required to)\b(?: [\w'’`-]+){0,3} (?:use|call|invoke|run|prefer)\b(?: [\w'’`-]+){0,2} (?:this|me|it)\b|\b(?:call|use|invoke|run) this (?:tool|function)?(?: [\w'’`-]+){0,3} (?:first|before)\b|\bthis tool (?:replaces|supersedes|overrides)\b",
        ),
    ];
    let compiled = patterns
        .into_iter()
        .filter_map(|(suspicion, pattern)| Some((suspicion, Regex::new(&format!("(?i){pattern}")).ok()?)));
    compiled.collect()
});

/// Looks through all texts of a definition: descriptions, names, defaults, examples, wherever they stand.
pub(super) fn scan(definition: &Definition, neighbours: &Neighbours) -> Vec<Finding> {
    let mut findings = BTreeSet::new();
    walk(definition.as_tool(), &mut String::new(), &mut |place, text, may_link| {
        look(text, neighbours, &mut |suspicion, text| {
            if suspicion != Suspicion::Link || !may_link {
                findings.insert(Finding { suspicion, place: place.to_owned(), text });
            }
            if findings.len() > MAX_FINDINGS {
                findings.pop_last();
            }
        });
    });
    findings.into_iter().collect()
}

/// All texts, also those that are keys, and whether a link is what they ought to be: which dialect a schema is in,
/// and its own names.
fn walk(value: &Value, place: &mut String, visit: &mut impl FnMut(&str, &str, bool)) {
    match value {
        Value::String(text) => visit(place, text, false),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                within(place, &index.to_string(), |place| walk(value, place, visit));
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                within(place, &on_one_line(&escape(name)), |place| {
                    visit(place, name, false);
                    match value {
                        Value::String(text) if matches!(name.as_str(), "$schema" | "$id" | "$ref") => {
                            visit(place, text, true);
                        }
                        value => walk(value, place, visit),
                    }
                });
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn within(place: &mut String, step: &str, inside: impl FnOnce(&mut String)) {
    let length = place.len();
    place.push('/');
    place.push_str(step);
    inside(place);
    place.truncate(length);
}

fn look(text: &str, neighbours: &Neighbours, find: &mut impl FnMut(Suspicion, String)) {
    if let Some((at, kind)) = first_hidden(text) {
        find(Suspicion::Hidden(kind), excerpt(text, at, at));
    }
    let plain = plain(text);
    for (suspicion, pattern) in &*PATTERNS {
        if let Some(found) = pattern.find(&plain) {
            let real = *suspicion != Suspicion::Blob || is_blob(found.as_str());
            if real {
                find(*suspicion, excerpt(&plain, found.start(), found.end()));
            }
        }
    }
    if let Some(word) = plain.split(|c: char| !c.is_alphanumeric()).find(|word| mixes_alphabets(word)) {
        find(Suspicion::LookAlikes, spelled_out(word));
    }
    let server = neighbours.servers.as_ref().and_then(|names| Some(names.captures(&plain)?.get(1)?.range()));
    for (suspicion, name) in [
        (Suspicion::OtherTool, neighbours.tools.first_in(&plain)),
        (Suspicion::OtherServer, server),
        (Suspicion::SharedName, neighbours.shared.first_in(&plain)),
    ] {
        if let Some(name) = name {
            find(suspicion, excerpt(&plain, name.start, name.end));
        }
    }
    if text.len() > MAX_TEXT {
        find(Suspicion::Long, format!("{} bytes: {}", text.len(), excerpt(&plain, 0, 0)));
    }
}

/// The text as a model may take it: without hidden characters, tags read as the letters that they stand for, and
/// with single spaces.
fn plain(text: &str) -> String {
    let letter = |c: char| match c {
        '\u{e0020}'..='\u{e007e}' => char::from_u32(u32::from(c) - 0xe0000),
        c if hidden(c).is_some() => None,
        c => Some(c),
    };
    let letters: String = text.chars().filter_map(letter).collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Encoded data has letters of both cases and digits, all mixed; a path or a long identifier has not.
fn is_blob(text: &str) -> bool {
    let has =
        |class: fn(&u8) -> bool| text.as_bytes().iter().filter(|byte| class(byte)).count() > text.len() / 40;
    let is_hex = text.bytes().filter(u8::is_ascii_alphanumeric).all(|byte| byte.is_ascii_hexdigit());
    has(u8::is_ascii_digit) && (is_hex || has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase))
}

fn mixes_alphabets(word: &str) -> bool {
    let is_cyrillic = |c: char| ('\u{400}'..='\u{52f}').contains(&c);
    let is_twin = |c: char| "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧνορ".contains(c);
    word.chars().any(|c| c.is_ascii_alphabetic()) && word.chars().any(|c| is_cyrillic(c) || is_twin(c))
}

/// The word with an escape for every letter that only looks like one of ours.
fn spelled_out(word: &str) -> String {
    let mut out = String::new();
    for c in word.chars().take(EXCERPT) {
        if c.is_ascii() { out.push(c) } else { out.extend(c.escape_unicode()) }
    }
    out
}

/// What stands from `start` to `end`, with a little of what is around it, on one line.
fn excerpt(text: &str, start: usize, end: usize) -> String {
    let before: Vec<char> = text[..start].chars().rev().take(AROUND).collect();
    let cut_before = text[..start].chars().count() > AROUND;
    let rest: String =
        text[start..].chars().take(text[start..end].chars().count().min(EXCERPT) + AROUND).collect();
    let cut_after = rest.len() < text.len() - start;
    let shown: String = before.into_iter().rev().chain(rest.chars()).collect();
    format!(
        "{}{}{}",
        if cut_before { "…" } else { "" },
        on_one_line(&shown),
        if cut_after { "…" } else { "" }
    )
}

#[cfg(test)]
mod tests;
