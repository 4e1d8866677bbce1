//! Names of fields, variables and parameters whose values must not be kept.

use std::sync::LazyLock;

use regex::Regex;

use super::{checks, rules};

/// How names end whose values are secret whatever they look like.
pub(super) const SECRET: &str = r"(?:passw(?:or)?ds?|passwd|passphrase|pwd|secret|credentials?|(?:api|secret|access|private|account|auth|encryption|signing)[_.-]?key|proxy-authorization|authorization)";

/// How names end whose values are secret if they look as if nobody had thought of them.
pub(super) const MAYBE: &str = r"(?:token|auth|session|sessionid|cookie|jwt|sig|signature)";

/// What stands before `token` where it only says how far a list has been read.
const HARMLESS: [&str; 6] = ["page", "next", "continuation", "cursor", "sync", "resume"];

#[expect(clippy::expect_used, reason = "a constant, which the tests of this room compile")]
static ENDS_SECRET: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("(?i-u:{SECRET}$)")).expect("a constant pattern"));

#[expect(clippy::expect_used, reason = "a constant, which the tests of this room compile")]
static ENDS_MAYBE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("(?i-u:{MAYBE}$)")).expect("a constant pattern"));

/// Whether a field of this name hides this value.
pub(super) fn hides(name: &str, value: &str) -> bool {
    if rules::is_mark(value) {
        return false;
    }
    if ENDS_SECRET.is_match(name) {
        return is_value(value);
    }
    ENDS_MAYBE.find(name).is_some_and(|end| !is_harmless(&name[..end.start()])) && checks::is_made_up(value)
}

/// Whether what stands before a name says that it is none of a secret.
pub(super) fn is_harmless(before: &str) -> bool {
    let before = before.trim_end_matches(['_', '-', '.', ' ']);
    let ends = |word: &&str| {
        before
            .len()
            .checked_sub(word.len())
            .and_then(|at| before.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(word))
    };
    HARMLESS.iter().any(ends)
}

/// Whether a secret's value can be one: not empty, no reference to one, no word for its type, no path.
pub(super) fn is_value(value: &str) -> bool {
    const WORDS: [&str; 14] = [
        "none",
        "null",
        "true",
        "false",
        "string",
        "str",
        "text",
        "password",
        "secret",
        "required",
        "optional",
        "undefined",
        "redacted",
        "hidden",
    ];
    let value = value.trim();
    !value.is_empty()
        && !is_reference(value)
        && !is_path(value)
        && !value.bytes().all(|byte| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'-'))
        && !WORDS.iter().any(|word| value.eq_ignore_ascii_case(word))
}

/// `${NAME}`, `$(command)`, `$NAME`, `{{ name }}`, `<your password>`, `%NAME%`.
fn is_reference(value: &str) -> bool {
    let is_between = |start: &str, end: &str| value.starts_with(start) && value.ends_with(end);
    let is_name = |name: &str| name.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    is_between("${", "}")
        || is_between("$(", ")")
        || is_between("{{", "}}")
        || is_between("<", ">")
        || is_between("%", "%")
        || value.starts_with("env:")
        || value.strip_prefix('$').is_some_and(is_name)
}

/// A path such as `PWD` has: of plain words.
fn is_path(value: &str) -> bool {
    ["/", "~/", "./", "../"].iter().any(|start| value.starts_with(start))
        && value
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'~'))
}
