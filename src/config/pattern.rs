//! Patterns over tool names, users and groups: globs, and regular expressions between slashes.

use regex::{Regex, RegexBuilder};

/// The largest compiled pattern, bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A glob, or a regular expression between slashes, over a whole tool name.
#[derive(Debug, Clone)]
pub struct Pattern {
    /// As written.
    pub text: String,
    regex: Regex,
}

impl Pattern {
    /// Compiles `get_*`, `{get,list}_?`, `[a-f]*` or `/regex/`; the error says what is wrong with it.
    ///
    /// In a glob `*` is any run of characters, `?` one character, `[a-z]` and `[!a-z]` a class, `{a,b}` a
    /// choice, and `\` takes the next character literally. Matching takes time linear in the name.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        let regex = match inner {
            Some("") => return Err("an empty regular expression matches nothing useful".into()),
            // It is compiled alone first: `a)|(b` must not escape the group that anchors it.
            Some(inner) => compile(inner).and_then(|_| compile(&anchored(inner)))?,
            None => compile(&anchored(&glob_to_regex(text, "(?s:.)")?))?,
        };
        Ok(Self { text: text.to_owned(), regex })
    }

    /// Does the whole name match?
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

fn compile(regex: &str) -> Result<Regex, String> {
    RegexBuilder::new(regex)
        .size_limit(MAX_COMPILED_BYTES)
        .build()
        .map_err(|error| format!("not a regular expression: {}", last_line(&error.to_string())))
}

/// A regular expression that has to match a whole text.
pub(crate) fn anchored(regex: &str) -> String {
    format!(r"\A(?:{regex})\z")
}

/// Translates a glob; `any` is the class of characters that `*` and `?` stand for.
pub(crate) fn glob_to_regex(glob: &str, any: &str) -> Result<String, String> {
    if glob.is_empty() {
        return Err("an empty pattern matches nothing".into());
    }
    let mut regex = String::new();
    let mut depth = 0_u32;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => {
                regex += any;
                regex.push('*');
            }
            '?' => regex += any,
            '[' => regex += &class(&mut chars)?,
            '{' => {
                depth += 1;
                regex += "(?:";
            }
            '}' if depth > 0 => {
                depth -= 1;
                regex.push(')');
            }
            ',' if depth > 0 => regex.push('|'),
            '}' => return Err("`}` without `{`; a literal brace is written `\\}`".into()),
            '\\' => match chars.next() {
                Some(literal) => push_literal(&mut regex, literal),
                None => return Err("`\\` at the end of a pattern escapes nothing".into()),
            },
            literal => push_literal(&mut regex, literal),
        }
    }
    if depth > 0 {
        return Err("`{` is never closed by `}`".into());
    }
    Ok(regex)
}

/// The rest of `[...]`: characters and ranges, negated by a leading `!` or `^`.
fn class(chars: &mut std::str::Chars<'_>) -> Result<String, String> {
    let mut out = String::from("[");
    let mut members = 0_u32;
    while let Some(c) = chars.next() {
        match c {
            '!' | '^' if members == 0 && out.len() == 1 => out.push('^'),
            ']' if members > 0 => {
                out.push(']');
                return Ok(out);
            }
            '-' => out.push('-'),
            '\\' => match chars.next() {
                Some(literal) => push_literal(&mut out, literal),
                None => break,
            },
            literal => push_literal(&mut out, literal),
        }
        members += u32::from(out.len() > 1 && !out.ends_with("[^"));
    }
    Err("`[` is never closed by `]`".into())
}

fn push_literal(regex: &mut String, literal: char) {
    regex.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
}

/// The regex crate draws its own caret over several lines; the last one says what is wrong.
fn last_line(message: &str) -> &str {
    message.lines().last().unwrap_or_default().trim_start_matches("error: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(name)
    }

    #[test]
    fn globs_match_whole_names() {
        assert!(matches("get_*", "get_issue") && matches("get_*", "get_") && !matches("get_*", "forget_it"));
        assert!(matches("*", "größe\n") && matches("a?c", "aßc") && !matches("a?c", "ac"));
        assert!(matches("{get,list}_*", "list_all") && !matches("{get,list}_*", "put_all"));
        assert!(matches("v[0-9]", "v7") && !matches("v[0-9]", "vx"));
        assert!(matches("v[!0-9]", "vx") && !matches("v[!0-9]", "v7") && matches("v[^a]", "vb"));
        assert!(matches("a.b+c$", "a.b+c$") && !matches("a.b", "axb"));
        assert!(matches(r"\*", "*") && !matches(r"\*", "a") && matches("[]]", "]") && matches("[a-]", "-"));
    }

    #[test]
    fn regular_expressions_are_anchored_by_the_house() {
        assert!(matches("/.*_secret.*/", "get_secret_x"));
        assert!(
            matches("/get|set/", "get") && !matches("/get|set/", "getter") && !matches("/get|set/", "reset")
        );
        assert!(matches("/^get$/", "get"));
    }

    #[test]
    fn bad_patterns_say_why() {
        for (pattern, why) in [
            ("", "an empty pattern"),
            ("//", "an empty regular expression"),
            ("{a", "never closed by `}`"),
            ("a}", "`}` without `{`"),
            ("[a", "never closed by `]`"),
            ("[]", "never closed by `]`"),
            ("a\\", "escapes nothing"),
            ("[z-a]", "not a regular expression"),
            ("/(/", "not a regular expression: unclosed group"),
            ("/a)|(b/", "not a regular expression"),
            ("/(a{1000}){1000}/", "not a regular expression"),
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert!(error.contains(why), "{pattern}: {error}");
        }
    }
}
