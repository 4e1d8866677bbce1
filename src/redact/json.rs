//! JSON, token by token: each string is redacted as the text that it stands for, and put back as a string; a number
//! that is taken out becomes one.

use std::borrow::Cow;
use std::iter::{Peekable, from_fn};
use std::str::CharIndices;

use super::{names, redact_to, rules};

/// A piece of JSON, with its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open(&'a str),
    Close(&'a str),
    Comma(&'a str),
    Colon(&'a str),
    /// With its quotes.
    String(&'a str),
    /// A number, or `true`, `false`, `null`.
    Scalar(&'a str),
    Space(&'a str),
    /// Nothing that JSON has.
    Other(&'a str),
}

/// Whether a text is a JSON object, array or string, as far as its tokens and brackets tell: enough to know that it
/// stays what it is when a string takes the place of a string or number.
pub(super) fn is_json(text: &str) -> bool {
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return false;
    }
    let (mut open, mut has_value) = (Vec::new(), false);
    for token in tokens(text) {
        has_value = match token {
            Token::Space(_) => continue,
            Token::Open(bracket) if !has_value => {
                open.push(bracket);
                false
            }
            Token::Close(bracket) if open.pop().is_some_and(|open| closes(open, bracket)) => true,
            Token::Comma(_) | Token::Colon(_) if has_value && !open.is_empty() => false,
            Token::String(_) | Token::Scalar(_) if !has_value => true,
            _ => return false,
        };
    }
    open.is_empty() && has_value
}

fn closes(open: &str, close: &str) -> bool {
    matches!((open, close), ("{", "}") | ("[", "]"))
}

/// Under which name the next value stands: its field's own; in an array, or in a field called `value`, that of the
/// field around it.
#[derive(Default)]
struct Naming<'a> {
    /// The objects and arrays around it: whether each is an array, and its own name.
    around: Vec<(bool, Option<&'a str>)>,
    /// The last string, which a colon makes a name.
    last: &'a str,
    next: Option<&'a str>,
}

impl<'a> Naming<'a> {
    /// Goes on behind a token; gives the name under which that stood.
    fn pass(&mut self, token: Token<'a>) -> Option<&'a str> {
        let name = self.next;
        match token {
            Token::Space(_) => return None,
            Token::String(string) => (self.last, self.next) = (string, None),
            Token::Scalar(_) | Token::Other(_) => self.next = None,
            Token::Colon(_) => {
                let outer = self.around.last().and_then(|(_, name)| *name);
                self.next = outer.filter(|_| self.last == "\"value\"").or(Some(self.last));
            }
            Token::Open(bracket) => {
                let is_array = bracket == "[";
                self.around.push((is_array, name));
                self.next = name.filter(|_| is_array);
            }
            Token::Close(_) => {
                self.around.pop();
                self.next = None;
            }
            Token::Comma(_) => {
                self.next = self.around.last().and_then(|(is_array, name)| name.filter(|_| *is_array));
            }
        }
        name
    }
}

/// Redacts the strings and numbers of a JSON text.
pub(super) fn redact(text: &str, depth: u8) -> Cow<'_, str> {
    let mut written: Option<String> = None;
    let (mut done, mut naming) = (0, Naming::default());
    for token in tokens(text) {
        let name = naming.pass(token);
        let (piece, redacted) = match token {
            Token::String(piece) => (piece, redact_string(piece, name, depth)),
            Token::Scalar(piece) => (piece, redact_scalar(piece, name)),
            Token::Open(piece)
            | Token::Close(piece)
            | Token::Comma(piece)
            | Token::Colon(piece)
            | Token::Space(piece)
            | Token::Other(piece) => (piece, None),
        };
        if let Some(redacted) = redacted {
            written.get_or_insert_with(|| text[..done].to_owned()).push_str(&redacted);
        } else if let Some(written) = &mut written {
            written.push_str(piece);
        }
        done += piece.len();
    }
    written.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// A string with its quotes, if it must change; `name` is that of the field that it is the value of.
fn redact_string(string: &str, name: Option<&str>, depth: u8) -> Option<String> {
    let content = unescape(inner(string));
    let name = name.map(|name| unescape(inner(name)));
    let hides = |text: &str| name.as_ref().is_some_and(|name| names::hides(name, text));
    if hides(&content) {
        return Some(quote(rules::SECRET));
    }
    match redact_to(&content, depth - 1) {
        Cow::Borrowed(_) => None,
        // What is left may look like a secret only without what was taken out.
        Cow::Owned(redacted) if hides(&redacted) => Some(quote(rules::SECRET)),
        Cow::Owned(redacted) => Some(quote(&redacted)),
    }
}

fn redact_scalar(scalar: &str, name: Option<&str>) -> Option<String> {
    if !scalar.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return None;
    }
    if name.is_some_and(|name| names::hides(&unescape(inner(name)), scalar)) {
        return Some(quote(rules::SECRET));
    }
    match rules::redact(scalar) {
        Cow::Borrowed(_) => None,
        Cow::Owned(redacted) => Some(quote(&redacted)),
    }
}

fn inner(string: &str) -> &str {
    string.strip_prefix('"').and_then(|string| string.strip_suffix('"')).unwrap_or(string)
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn tokens(text: &str) -> impl Iterator<Item = Token<'_>> {
    let mut rest = text;
    from_fn(move || {
        let length = length_of_first(rest)?;
        let (piece, behind) = rest.split_at(length);
        rest = behind;
        Some(kind(piece))
    })
}

/// How long the first token is, bytes.
fn length_of_first(text: &str) -> Option<usize> {
    let run = |belongs: fn(char) -> bool| text.find(|c| !belongs(c)).unwrap_or(text.len());
    let first = text.chars().next()?;
    Some(match first {
        '"' => string_length(text),
        '-' | '0'..='9' => run(|c| matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')),
        'a'..='z' => run(|c| c.is_ascii_lowercase()),
        ' ' | '\t' | '\r' | '\n' => run(|c| matches!(c, ' ' | '\t' | '\r' | '\n')),
        _ => first.len_utf8(),
    })
}

/// How long the string is that a text begins with; all of it, where the string has no end.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !is_escaped => return at + 1,
            b'\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

fn kind(piece: &str) -> Token<'_> {
    match piece.as_bytes() {
        [b'"', .., b'"'] if string_length(piece) == piece.len() => Token::String(piece),
        [b'{' | b'['] => Token::Open(piece),
        [b'}' | b']'] => Token::Close(piece),
        [b','] => Token::Comma(piece),
        [b':'] => Token::Colon(piece),
        [b'-' | b'0'..=b'9', ..] | b"true" | b"false" | b"null" => Token::Scalar(piece),
        [b' ' | b'\t' | b'\r' | b'\n', ..] => Token::Space(piece),
        _ => Token::Other(piece),
    }
}

/// What the content of a JSON string stands for. Half a surrogate pair becomes U+FFFD; what is no escape stays.
fn unescape(content: &str) -> Cow<'_, str> {
    if !content.contains('\\') {
        return Cow::Borrowed(content);
    }
    let mut text = String::with_capacity(content.len());
    let mut chars = content.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        let escape = if c == '\\' { chars.next() } else { None };
        match escape.map(|(_, escape)| escape) {
            None => text.push(c),
            Some(plain @ ('"' | '\\' | '/')) => text.push(plain),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('u') => unicode(content, &mut chars, &mut text),
            Some(other) => text.extend(['\\', other]),
        }
    }
    Cow::Owned(text)
}

/// Reads what follows `\u`, with the second half of a surrogate pair.
fn unicode(content: &str, chars: &mut Peekable<CharIndices<'_>>, text: &mut String) {
    let Some((at, _)) = chars.peek().copied() else { return text.push_str("\\u") };
    let Some(unit) = unit(content, at) else { return text.push_str("\\u") };
    let pair = || (content.get(at + 4..at + 6) == Some("\\u")).then(|| self::unit(content, at + 6))?;
    let (length, units) = match pair().filter(|_| (0xd800..0xdc00).contains(&unit)) {
        Some(low) if (0xdc00..0xe000).contains(&low) => (10, vec![unit, low]),
        _ => (4, vec![unit]),
    };
    text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
    for _ in 0..length {
        chars.next();
    }
}

fn unit(content: &str, at: usize) -> Option<u16> {
    let digits = content.get(at..at + 4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}
