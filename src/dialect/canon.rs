//! The canonical form of what a conversation shows: equal for all the ways in which clients tell the same
//! history, and digested as it is read.
//!
//! White space does not count, nor do cache markers, the order of keys, or the way in which a string is
//! escaped.

use std::borrow::Cow;

use crate::dialect::raw::{self, Object};
use crate::domain::Digest;

/// Below this depth a value counts as it stands: reading it further would need the stack.
const MAX_DEPTH: usize = 64;

/// Keys that say nothing of a conversation's content, wherever they stand.
const MARKERS: [&str; 1] = ["cache_control"];

/// A digest under way.
#[derive(Debug)]
pub struct Canon(blake3::Hasher);

/// A part of what somebody says.
pub enum Said<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Anything else, as checked JSON.
    Other(&'a str),
}

impl Canon {
    /// A digest of something of this kind: a role, or the type of an element.
    pub fn of(kind: &str) -> Self {
        let mut canon = Self(blake3::Hasher::new());
        canon.word(kind);
        canon
    }

    /// The digest of a JSON value of this kind.
    pub fn of_json(kind: &str, value: &str) -> Digest {
        let mut canon = Self::of(kind);
        canon.json(value);
        canon.digest()
    }

    /// The digest of the tools that a request brings.
    pub fn of_tools(request: &Object<'_>) -> Digest {
        Self::of_json("tools", request.get("tools").filter(|tools| *tools != "null").unwrap_or("[]"))
    }

    /// Takes a word that counts as it stands.
    pub fn word(&mut self, word: &str) {
        self.0.update(&(word.len() as u64).to_le_bytes());
        self.0.update(word.as_bytes());
    }

    /// Takes a text without its white space.
    pub fn text(&mut self, text: &str) {
        let dense: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        self.0.update(&(dense.len() as u64).to_le_bytes());
        self.0.update(&dense);
    }

    /// Takes what somebody says: texts that stand together are one, and white space alone is nothing.
    pub fn content<'a>(&mut self, parts: impl IntoIterator<Item = Said<'a>>) {
        let mut text = String::new();
        for part in parts {
            match part {
                Said::Text(more) => text.push_str(&more),
                Said::Other(json) => {
                    self.joined(&mut text);
                    self.json(json);
                }
            }
        }
        self.joined(&mut text);
    }

    fn joined(&mut self, text: &mut String) {
        if !text.trim_ascii().is_empty() {
            self.word("text");
            self.text(text);
        }
        text.clear();
    }

    /// Takes a JSON value, which has been checked to be one.
    pub fn json(&mut self, value: &str) {
        self.value(value.trim(), 0);
    }

    /// Takes a JSON text that a model wrote, such as a call's arguments; what is no JSON counts as a text.
    pub fn written_json(&mut self, text: &str) {
        match serde_json::from_str::<&serde_json::value::RawValue>(text) {
            Ok(value) => self.json(value.get()),
            Err(_) => self.text(text),
        }
    }

    /// Takes the digest of a part.
    pub fn part(&mut self, digest: Digest) {
        self.0.update(&digest.0);
    }

    /// The digest.
    pub fn digest(&self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }

    fn value(&mut self, value: &str, depth: usize) {
        if depth >= MAX_DEPTH {
            return self.word(value);
        }
        if let Some(text) = raw::inner(value) {
            self.word("\"");
            return self.text(&raw::unescape(text));
        }
        if let Some(elements) = raw::elements(value) {
            self.word("[");
            for element in elements {
                self.value(element, depth + 1);
            }
            return self.word("]");
        }
        let Some(object) = Object::within(value) else { return self.word(value) };
        let mut fields: Vec<_> =
            object.fields.iter().filter(|field| !MARKERS.contains(&&*field.key)).collect();
        fields.sort_by(|a, b| a.key.cmp(&b.key));
        self.word("{");
        for field in fields {
            self.word(&field.key);
            self.value(field.value, depth + 1);
        }
        self.word("}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Digest {
        let mut canon = Canon::of("test");
        canon.json(value);
        canon.digest()
    }

    #[test]
    fn the_same_content_has_one_digest() {
        let plain = of(r#"{"a":"x y","b":[1,{"c":null}]}"#);
        for same in [
            r#"{ "b" : [ 1 , { "c" : null } ], "a" : "\u0078 y" }"#,
            r#"{"a":" x\n y ","cache_control":{"type":"ephemeral"},"b":[1,{"c":null}]}"#,
        ] {
            assert_eq!(of(same), plain, "{same}");
        }
    }

    #[test]
    fn other_content_has_another_digest() {
        let values =
            [r#"{"a":"1"}"#, r#"{"a":1}"#, r#"{"a":["1"]}"#, r#"["a","1"]"#, r#"["a1"]"#, r#"{"a":{}}"#];
        let digests: std::collections::HashSet<_> = values.iter().map(|value| of(value)).collect();
        assert_eq!(digests.len(), values.len());
    }

    #[test]
    fn texts_that_stand_together_are_one() {
        let of = |parts: &[Result<&'static str, &'static str>]| {
            let mut canon = Canon::of("test");
            canon.content(parts.iter().map(|part| match *part {
                Ok(text) => Said::Text(text.into()),
                Err(json) => Said::Other(json),
            }));
            canon.digest()
        };
        assert_eq!(of(&[Ok("a b"), Err("1"), Ok("\n")]), of(&[Ok("a"), Ok(" "), Ok("b"), Err("1")]));
        assert_ne!(of(&[Ok("a"), Err("1"), Ok("b")]), of(&[Ok("ab"), Err("1")]));
        assert_eq!(of(&[]), of(&[Ok(" \n")]));
    }

    #[test]
    fn deep_nesting_counts_as_it_stands() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(of(&deep), of(&deep));
    }

    #[test]
    fn arguments_count_by_their_meaning() {
        let of = |text: &str| {
            let mut canon = Canon::of("test");
            canon.written_json(text);
            canon.digest()
        };
        assert_eq!(of(r#"{"a":1,"b":2}"#), of(r#"{ "b": 2, "a": 1 }"#));
        assert_ne!(of("not json"), of("no json"));
    }
}
