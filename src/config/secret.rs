//! What must not stand in a file: names that promise a secret, and texts that look like one.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// The last parts of names whose values are secret, as in `X-Api-Key`, `GITHUB_TOKEN` and `apiKey`.
const ENDINGS: [&str; 12] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "credentials",
    "cookie",
    "authorization",
    "pat",
    "pwd",
];

/// Names that end like a secret's and are none.
const HARMLESS: [&str; 2] = ["key", "pwd"];

/// Keys that services give out: recognised wherever they stand.
#[expect(clippy::expect_used, reason = "a constant, which the tests of this file compile")]
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:sk-|sk_live_|rk_live_|ghp_|gho_|ghu_|ghs_|ghr_|github_pat_|glpat-|xox[abpors]-|xapp-|ya29\.",
        r"|hf_|npm_|pypi-|dop_v1_|gsk_|xai-|tg_|lin_api_|ntn_|tvly-)[A-Za-z0-9_-]{12,}",
        r"|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[A-Za-z0-9_-]{30,}",
        r"|\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    ))
    .expect("a constant pattern")
});

/// `name: value` in block or flow style, where the value is what may be secret.
#[expect(clippy::expect_used, reason = "a constant, which the tests of this file compile")]
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"["']?([A-Za-z0-9_-]+)["']?\s*:\s+("[^"]*"?|'[^']*'?|[^\s"'{}\[\]|>&*][^,}\]#]*)"#)
        .expect("a constant pattern")
});

/// `name=value` in an argument or a URL's query.
#[expect(clippy::expect_used, reason = "a constant, which the tests of this file compile")]
static ASSIGNMENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([A-Za-z0-9_-]+)=([^\s"'&,\]}]+)"#).expect("a constant pattern"));

/// `user:password` in a URL, where it is no reference.
#[expect(clippy::expect_used, reason = "a constant, which the tests of this file compile")]
static USERINFO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b[^/@\s:$]+:[^/@\s$]+@").expect("a constant pattern"));

/// Does this name of a header, a variable, an option or a query parameter promise a secret?
pub(crate) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if HARMLESS.contains(&name.as_str()) {
        return false;
    }
    name.contains("secret")
        || name.contains("password")
        || name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| ENDINGS.iter().any(|ending| word == *ending || is_compound(word, ending)))
}

/// `apikey` and `authtoken` are compounds; `pat` and `pwd` are too short to be looked for inside a word.
fn is_compound(word: &str, ending: &str) -> bool {
    ending.len() > 3 && word.ends_with(ending) || matches!(word, "apikey" | "accesskey" | "secretkey")
}

/// Does this text hold something that looks like a key that a service gave out?
pub(crate) fn holds_key(text: &str) -> bool {
    KEY.is_match(text)
}

/// Stars in place of everything that looks like a key.
pub(crate) fn mask_keys(text: &str) -> String {
    KEY.replace_all(text, |found: &Captures<'_>| stars(&found[0])).into_owned()
}

/// A line of YAML with stars in place of literal secrets, as long as it was, so that a caret still fits.
pub(crate) fn mask(line: &str) -> String {
    let fields = mask_values(&FIELD, line);
    let assignments = mask_values(&ASSIGNMENT, &fields);
    let userinfo = USERINFO.replace_all(&assignments, |found: &Captures<'_>| stars(&found[0]));
    mask_keys(&userinfo)
}

/// Masks group 2 wherever group 1 is the name of a secret, unless it is a reference.
fn mask_values(pattern: &Regex, line: &str) -> String {
    let mut masked = String::with_capacity(line.len());
    let mut end = 0;
    for field in pattern.captures_iter(line) {
        let (Some(name), Some(value)) = (field.get(1), field.get(2)) else { continue };
        if is_secret_name(name.as_str()) && !value.as_str().contains("${") {
            masked.push_str(&line[end..value.start()]);
            masked.push_str(&stars(value.as_str()));
            end = value.end();
        }
    }
    masked.push_str(&line[end..]);
    masked
}

fn stars(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { c } else { '*' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_promise_a_secret() {
        for name in [
            "authorization",
            "X-Api-Key",
            "x-goog-apikey",
            "GITHUB_TOKEN",
            "apiKey",
            "MY_SECRET_VALUE",
            "DB_PASSWORD",
            "Cookie",
            "GITLAB_PAT",
            "authToken",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["key", "PATH", "MAX_TOKENS", "TOKENIZERS_PARALLELISM", "KEYBOARD", "X-Team", "PWD"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn texts_that_look_like_keys() {
        assert!(holds_key("Bearer sk-ant-REDACTED"));
        assert!(holds_key("AKIAIOSFODNN7EXAMPLE"));
        assert!(!holds_key("sk-short and a task-force-of-seventeen-people"));
    }

    #[test]
    fn a_masked_line_keeps_its_length_and_its_references() {
        let line = r#"headers: { Authorization: "Bearer hush", X-Team: blue, token: ${T} } # api_key: hush"#;
        let masked = mask(line);
        assert_eq!(
            masked,
            "headers: { Authorization: ******* *****, X-Team: blue, token: ${T} } # api_key: ****"
        );
        assert_eq!(masked.chars().count(), line.chars().count());
    }

    #[test]
    fn arguments_and_urls_are_masked_too() {
        assert_eq!(mask("args: [--api-key=hush, --key-file=x]"), "args: [--api-key=****, --key-file=*]");
        assert_eq!(
            mask("url: https://a:hush@x.test/?token=hush&b=c"),
            "url: https://*******x.test/?token=****&b=c"
        );
    }

    #[test]
    fn a_list_of_keys_is_no_secret() {
        assert_eq!(mask("caller: { user: a, key: laptop }"), "caller: { user: a, key: laptop }");
    }
}
