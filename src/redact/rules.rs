//! What is taken out of a text, one rule after the other.

use std::borrow::Cow;
use std::iter;
use std::ops::Range;
use std::sync::LazyLock;

use regex::{Regex, RegexSet};

use super::{checks, names};

/// Stands for the value of a field whose name says that it is secret.
pub(super) const SECRET: &str = "[secret]";

/// What to look for, and what stands in its place.
struct Rule {
    pattern: Cow<'static, str>,
    /// In the place of the pattern's first group, or of all of it where it has none.
    mark: &'static str,
    /// What of it is taken out, if it is what it looks like.
    check: fn(&str, Range<usize>) -> Option<Range<usize>>,
    /// Where it is not, another may begin inside of it; only where the pattern is short.
    overlaps: bool,
}

/// Keys that services give out, by how they begin.
const KEYS: &str = r"(?-u:\b)(?:sk-[A-Za-z0-9_-]{20,}|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{24,}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}|gl(?:pat|ptt|dt|rt|rtr|cbt|imt|oas|agent|soat|ffct)-[A-Za-z0-9_.-]{20,}|(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?-u:\b)|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}|AIza[A-Za-z0-9_-]{35,}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{36,}|pypi-[A-Za-z0-9_-]{50,}|hf_[A-Za-z0-9]{30,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|SK[0-9a-f]{32}(?-u:\b)|shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32,}|do[opr]_v1_[a-f0-9]{64}|hv[sbr]\.[A-Za-z0-9_-]{24,}|gsk_[A-Za-z0-9]{40,}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,}|r8_[A-Za-z0-9]{30,}|dapi[a-f0-9]{32}|lin_api_[A-Za-z0-9]{30,}|ntn_[A-Za-z0-9]{40,}|dckr_pat_[A-Za-z0-9_-]{20,}|ATATT3[A-Za-z0-9_=-]{50,}|figd_[A-Za-z0-9_-]{30,}|sntry[su]_[A-Za-z0-9+/=_-]{40,}|NRAK-[A-Z0-9]{20,}|tvly-[A-Za-z0-9-]{20,}|tg_[A-Za-z0-9_-]{40,}|AGE-SECRET-KEY-1[A-Z0-9]{40,})";

/// Between a name and its value.
const EQUALS: &str = r"(?:\\*[\x22'])?[ \t]*(?::=|=>|[:=])[ \t]*";

/// A value that is written without quotes.
const BARE: &str = r"([^\s\x22'\\,;&<>(){}\[\]$`|#]{4,})";

static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let secret = format!("(?i-u:{})", names::SECRET);
    let maybe = format!("(?i-u:{})", names::MAYBE);
    let rule =
        |pattern: &'static str, mark, check| Rule { pattern: pattern.into(), mark, check, overlaps: false };
    let made = |pattern: String, mark, check| Rule { pattern: pattern.into(), mark, check, overlaps: false };
    vec![
        rule(
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:(?:[A-Za-z0-9+/=\s\\:,.]|-[A-Za-z0-9])*?-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{32,})+)",
            "[private key]",
            whole,
        ),
        rule(
            r"(?i-u:\b[a-z][a-z0-9+.-]{1,20}://)[^\s/?#:@\x22'\\]*:([^\s/?#@\x22'\\]+)@",
            "[password]",
            value,
        ),
        rule(r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}", "[token]", whole),
        rule(KEYS, "[key]", key),
        rule(r"(?i-u:\bbearer)[ \t]+([A-Za-z0-9._~+/-]{16,}=*)", "[token]", made_up),
        rule(r"(?i-u:\bbasic)[ \t]+([A-Za-z0-9+/]{14,}=*)", "[token]", made_up),
        made(format!(r"{secret}{EQUALS}\\*\x22([^\x22\\\r\n]{{4,}})"), SECRET, value),
        made(format!(r"{secret}{EQUALS}\\*'([^'\x22\\\r\n]{{4,}})"), SECRET, value),
        made(format!("{secret}{EQUALS}{BARE}"), SECRET, bare_value),
        made(format!(r"{maybe}{EQUALS}(?:\\*[\x22'])?([A-Za-z0-9._~+/%-]{{16,}}=*)"), SECRET, maybe_value),
        rule(
            r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9][A-Za-z0-9.-]*\.[A-Za-z]{2,24}(?-u:\b)",
            "[email]",
            email,
        ),
        Rule {
            pattern: r"(?-u:\b)(?:[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?)(?-u:\b)".into(),
            mark: "[iban]",
            check: iban,
            overlaps: true,
        },
        Rule {
            pattern: r"(?-u:\b)(?:[0-9]{4}(?: [0-9]{4}){3}(?: [0-9]{3})?|[0-9]{4}(?:-[0-9]{4}){3}|[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{13,19})(?-u:\b)".into(),
            mark: "[card]",
            check: card,
            overlaps: true,
        },
        Rule {
            pattern: r"\+[1-9](?:[ .-]?\(?[0-9]\)?){7,14}(?-u:\b)|\([2-9][0-9]{2}\) ?[2-9][0-9]{2}-[0-9]{4}(?-u:\b)".into(),
            mark: "[phone]",
            check: phone,
            overlaps: true,
        },
        rule(r"[A-Za-z0-9+/_-]{40,}={0,2}", "[token]", random),
    ]
});

#[expect(clippy::expect_used, reason = "constants, which the tests of this room compile")]
static SET: LazyLock<RegexSet> =
    LazyLock::new(|| RegexSet::new(RULES.iter().map(|rule| &rule.pattern)).expect("constant patterns"));

#[expect(clippy::expect_used, reason = "constants, which the tests of this room compile")]
static PATTERNS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let pattern = |rule: &Rule| Regex::new(&rule.pattern).expect("a constant pattern");
    RULES.iter().map(pattern).collect()
});

/// How often a text is gone over at the most, so that time grows with the text alone. What is taken out can make
/// something else of what is left around it: without a slash that was in a key, what stands in front of `@` is a
/// password. What is made to need more keeps what is left.
const PASSES: usize = 4;

/// The text without what the rules find in it.
pub(super) fn redact(text: &str) -> Cow<'_, str> {
    let passes = iter::successors(pass(text), |redacted| pass(redacted));
    passes.take(PASSES).last().map_or(Cow::Borrowed(text), Cow::Owned)
}

/// One time over a text, rule by rule; `None` where nothing is found.
fn pass(text: &str) -> Option<String> {
    let mut redacted: Option<String> = None;
    for index in SET.matches(text) {
        let text = redacted.as_deref().unwrap_or(text);
        redacted = apply(&RULES[index], &PATTERNS[index], text).or(redacted);
    }
    redacted
}

/// Whether a text is what stands in the place of something.
pub(super) fn is_mark(text: &str) -> bool {
    RULES.iter().any(|rule| rule.mark == text)
}

fn apply(rule: &Rule, pattern: &Regex, text: &str) -> Option<String> {
    let (mut redacted, mut copied, mut at) = (String::new(), 0, 0);
    // Behind what was taken out a text begins anew: keys may stand there without a gap.
    while let Some(found) = pattern.captures_at(&text[copied..], at - copied) {
        let Some(all) = found.get(0).map(|all| copied + all.start()..copied + all.end()) else { break };
        let part = found.get(1).map_or(all.clone(), |part| copied + part.start()..copied + part.end());
        match (rule.check)(text, part) {
            Some(part) => {
                redacted.push_str(&text[copied..part.start]);
                redacted.push_str(rule.mark);
                (copied, at) = (part.end, part.end);
            }
            None => at = if rule.overlaps { all.start + 1 } else { all.end },
        }
    }
    (copied > 0).then(|| redacted + &text[copied..])
}

#[expect(clippy::unnecessary_wraps, reason = "one signature for all rules")]
fn whole(_: &str, found: Range<usize>) -> Option<Range<usize>> {
    Some(found)
}

fn value(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let value = &text[found.clone()];
    (names::is_value(value) && !is_mark(value)).then_some(found)
}

/// A value without quotes may be a variable's name, a call, or a word of a sentence; behind a name in quotes it is a
/// number or word of JSON that was cut.
fn bare_value(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let (value, before, behind) = (&text[found.clone()], &text[..found.start], &text[found.end..]);
    let has_digit = value.bytes().any(|byte| byte.is_ascii_digit());
    let is_assigned = before.ends_with('=') && !before.ends_with(":=");
    let is_json =
        before.trim_end().strip_suffix(':').is_some_and(|name| name.trim_end().ends_with(['"', '\'']));
    let is_code = behind.starts_with(['(', '[', '{']) || value.contains("::");
    let is_code = is_code || (!is_json && behind.starts_with([')', ',', ';']));
    let can_be_one = if is_assigned {
        has_digit || !is_code
    } else {
        has_digit && (is_json || value.len() >= 6) && !is_code
    };
    can_be_one.then(|| self::value(text, found))?
}

/// A token that tells how far a list has been read is no secret.
fn maybe_value(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let before = &text[..found.start];
    let near = &before[before.floor_char_boundary(before.len().saturating_sub(48))..];
    let name = near.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    let stem = name.len().checked_sub("token".len()).and_then(|at| name.split_at_checked(at));
    let is_harmless =
        stem.is_some_and(|(stem, end)| end.eq_ignore_ascii_case("token") && names::is_harmless(stem));
    (!is_harmless).then(|| made_up(text, found))?
}

fn made_up(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    checks::is_made_up(&text[found.clone()]).then_some(found)
}

/// Names of classes and packages begin with `sk-` too, but have no digits.
fn key(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    text[found.clone()].bytes().any(|byte| byte.is_ascii_digit()).then_some(found)
}

/// `git@host:path` names a repository, `logo@2x.png` a file.
fn email(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let (local, domain) = text[found.clone()].split_once('@')?;
    let is_scaled = matches!(domain.as_bytes(), [b'1'..=b'4', b'x', b'.', ..]);
    (local != "git" && !is_scaled).then_some(found)
}

fn iban(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    checks::iban(&text[found.start..]).map(|length| found.start..found.start + length)
}

fn card(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let is_part = text[..found.start].ends_with(['-', '.', '_', '/', '#', '+'])
        || text[found.end..].starts_with('-')
        || text[found.end..]
            .strip_prefix('.')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    (!is_part && checks::is_card(&digits(&text[found.clone()]))).then_some(found)
}

/// A plus sign stands in sums and in front of changed lines, too.
fn phone(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let number = &text[found.clone()];
    let before = text[..found.start].chars().next_back();
    let begins = before
        .is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '(' | ':' | ';' | ',' | '<' | '='));
    let is_date = number.as_bytes().get(5) == Some(&b'-') && number.as_bytes().get(8) == Some(&b'-');
    let is_phone = number.starts_with('(') || checks::is_phone(&digits(number));
    (begins && !is_date && is_phone).then_some(found)
}

/// Digests of packages are said to be digests; what is wrapped at these widths is data.
fn random(text: &str, found: Range<usize>) -> Option<Range<usize>> {
    let (run, before) = (&text[found.clone()], &text[..found.start]);
    let is_digest =
        ["sha1-", "sha256-", "sha384-", "sha512-", "AAAA"].iter().any(|start| run.starts_with(start))
            || before.ends_with("h1:");
    let is_wrapped = matches!(run.len(), 64 | 76) && text[found.end..].starts_with(['\n', '\r', '\\']);
    (!is_digest && !is_wrapped && checks::is_random(run)).then_some(found)
}

fn digits(text: &str) -> Vec<u8> {
    text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
}
