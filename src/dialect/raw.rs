//! JSON seen shallowly: the fields of an object and the elements of an array as slices of the original text,
//! and patches that change a few of them while every other byte stays.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One field of an object.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// The key, unescaped.
    pub key: Cow<'a, str>,
    /// The key as it stands in the text, quotes included.
    pub raw_key: &'a str,
    /// The value as it stands in the text.
    pub value: &'a str,
}

/// The fields of a JSON object, in their order.
#[derive(Debug, Clone, Default)]
pub struct Object<'a> {
    /// In the text's order.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Field<'a> {
    fn within(checked: &'a str) -> Option<Self> {
        let key_end = 1 + rest_of_string(checked.strip_prefix('"')?.as_bytes());
        let (raw_key, rest) = checked.split_at_checked(key_end)?;
        let value = rest.trim_ascii_start().strip_prefix(':')?.trim_ascii_start();
        Some(Self { key: string(raw_key)?, raw_key, value })
    }
}

impl<'a> Object<'a> {
    /// Reads an object; everything below the top level is checked to be JSON, but not kept.
    pub fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The fields of an object in text that has been checked, such as a value of another object.
    pub fn within(checked: &'a str) -> Option<Self> {
        let inner = checked.strip_prefix('{')?.strip_suffix('}')?;
        parts(inner)?.into_iter().map(Field::within).collect::<Option<_>>().map(|fields| Self { fields })
    }

    /// The value of the first field with this key, as it stands in the text.
    pub fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.value)
    }

    /// The value of this key, if it is a string.
    pub fn string(&self, key: &str) -> Option<Cow<'a, str>> {
        self.get(key).and_then(string)
    }

    /// The value of this key, if it is an object.
    pub fn object(&self, key: &str) -> Option<Object<'a>> {
        self.get(key).and_then(Object::within)
    }

    /// The elements of this key's value; none where it is absent or no array.
    pub fn array(&self, key: &str) -> Vec<&'a str> {
        self.get(key).and_then(elements).unwrap_or_default()
    }

    /// The value of this key, if it is a whole number that is not negative.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|value| serde_json::from_str(value).ok())
    }

    /// Whether the value of this key is `true`.
    pub fn is_true(&self, key: &str) -> bool {
        self.get(key) == Some("true")
    }

    /// A key that stands twice, letter case aside: readers would differ on which one counts.
    pub fn ambiguous_key(&self) -> Option<&str> {
        let mut seen = HashSet::with_capacity(self.fields.len());
        let twice = self.fields.iter().find(|field| !seen.insert(field.key.to_ascii_lowercase()));
        twice.map(|field| &*field.key)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<Field<'de>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(8);
                while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
                    let raw_key = key.get();
                    let key = string(raw_key).unwrap_or(Cow::Borrowed(raw_key));
                    fields.push(Field { key, raw_key, value: value.get() });
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Fields).map(|fields| Object { fields })
    }
}

/// What is wrong with a text and where, without any of its words, which `serde_json` quotes where it expected another
/// type.
pub fn describe(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("another type of value than expected at line {} column {}", error.line(), error.column())
    } else {
        error.to_string()
    }
}

/// The elements of an array as they stand in the text, which has been checked; `None` if it is none.
pub fn elements(checked: &str) -> Option<Vec<&str>> {
    parts(checked.strip_prefix('[')?.strip_suffix(']')?)
}

/// What stands between the commas of an object or array.
///
/// Only for text that [`Object::parse`] has checked: a history is long, and reading it as JSON again would
/// cost as much as all else that is done with it.
fn parts(inner: &str) -> Option<Vec<&str>> {
    let mut found = Vec::new();
    let (mut start, mut at, mut depth) = (0, 0, 0_usize);
    while let Some(byte) = inner.as_bytes().get(at) {
        at += 1;
        match byte {
            b'"' => at += rest_of_string(&inner.as_bytes()[at..]),
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                found.push(inner[start..at - 1].trim_ascii());
                start = at;
            }
            _ => {}
        }
    }
    let last = inner[start..].trim_ascii();
    if !last.is_empty() {
        found.push(last);
    }
    Some(found)
}

/// How many bytes there are from behind a string's first quote to behind its last.
fn rest_of_string(text: &[u8]) -> usize {
    let mut at = 0;
    while let Some(found) = memchr::memchr2(b'"', b'\\', &text[at..]) {
        at += found + 1;
        if text[at - 1] == b'"' {
            return at;
        }
        at = text.len().min(at + 1);
    }
    text.len()
}

/// The text of a JSON string; `None` if it is none.
pub fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = inner(text)?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The text of a JSON string, also of one with half surrogate pairs in it; `None` if it is none.
pub fn text(value: &str) -> Option<Cow<'_, str>> {
    string(value).or_else(|| inner(value).map(unescape).map(Cow::Owned))
}

/// What stands between the quotes of a JSON string, still escaped; `None` if it is none.
///
/// Pieces of a streamed string are joined in this form: a piece may end in half of a surrogate pair, which
/// is legal in JSON text but cannot be decoded alone.
pub fn inner(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

/// Decodes escaped string content; half surrogate pairs become U+FFFD.
pub fn unescape(inner: &str) -> String {
    if !inner.contains('\\') {
        return inner.to_owned();
    }
    let text = format!("\"{inner}\"");
    serde_json::from_str(&text).unwrap_or_else(|_| {
        let bytes: serde_json::Result<Bytes> = serde_json::from_str(&text);
        bytes.map_or_else(|_| inner.to_owned(), |Bytes(bytes)| String::from_utf8_lossy(&bytes).into_owned())
    })
}

/// A JSON string read as bytes, for which `serde_json` allows half surrogate pairs (as WTF-8).
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl Visitor<'_> for Collect {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Collect)
    }
}

/// A text as a JSON string, quotes included.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Where a slice lies in the text that it was cut from.
pub fn span_in(text: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    start..start + part.len()
}

/// Changes to be made to a text; what is not named stays byte for byte.
#[derive(Debug, Default)]
pub struct Patch {
    edits: Vec<(Range<usize>, String)>,
}

impl Patch {
    /// Puts `new` in the place of `part`, a slice of `text`; nothing changes where they are the same.
    pub fn replace(&mut self, text: &str, part: &str, new: impl Into<String>) {
        let new = new.into();
        if part != new {
            self.edits.push((span_in(text, part), new));
        }
    }

    /// Puts `new` in the place of a span.
    pub fn replace_span(&mut self, span: Range<usize>, new: impl Into<String>) {
        self.edits.push((span, new.into()));
    }

    /// Inserts at a byte position.
    pub fn insert(&mut self, at: usize, new: impl Into<String>) {
        self.edits.push((at..at, new.into()));
    }

    /// Takes fields out of an object, each with one comma; `object` holds slices of `text`.
    pub fn remove(&mut self, text: &str, object: &Object<'_>, keys: &[&str]) {
        let gone = |field: &Field<'_>| keys.contains(&&*field.key);
        let fields = &object.fields;
        let mut at = 0;
        while at < fields.len() {
            let run = fields[at..].iter().take_while(|field| gone(field)).count();
            if run == 0 {
                at += 1;
                continue;
            }
            let (first, last) = (&fields[at], &fields[at + run - 1]);
            let mut span = span_in(text, first.raw_key).start..span_in(text, last.value).end;
            if let Some(next) = fields.get(at + run) {
                span.end = span_in(text, next.raw_key).start;
            } else if let Some(before) = at.checked_sub(1) {
                span.start = span_in(text, fields[before].value).end;
            }
            self.edits.push((span, String::new()));
            at += run;
        }
    }

    /// Sets a field of an object: in its place, or as a new last field.
    pub fn set(&mut self, text: &str, object: &Object<'_>, key: &str, value: &str) {
        if let Some(old) = object.get(key) {
            self.replace(text, old, value);
        } else if let Some(last) = object.fields.last() {
            self.insert(span_in(text, last.value).end, format!(",{}:{value}", quote(key)));
        } else if let Some(open) = text.find('{') {
            self.insert(open + 1, format!("{}:{value}", quote(key)));
        }
    }

    /// Whether nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// The text with all changes made.
    pub fn apply(mut self, text: &str) -> String {
        self.edits.sort_by_key(|(span, _)| (span.start, span.end));
        let grown: usize = self.edits.iter().map(|(_, new)| new.len()).sum();
        let mut out = String::with_capacity(text.len() + grown);
        let mut at = 0;
        for (span, new) in &self.edits {
            out.push_str(&text[at..span.start.max(at)]);
            out.push_str(new);
            at = span.end.max(at);
        }
        out.push_str(&text[at..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_changes_only_what_it_names() {
        let text = "{ \"a\" : 1.00 ,\"b\":[1, 2],\n \"c\": \"x\\u00e9\" }";
        let object = Object::parse(text).unwrap();
        let mut patch = Patch::default();
        patch.set(text, &object, "b", "[3]");
        patch.set(text, &object, "d", "null");
        assert_eq!(patch.apply(text), "{ \"a\" : 1.00 ,\"b\":[3],\n \"c\": \"x\\u00e9\",\"d\":null }");
    }

    #[test]
    fn removed_fields_take_their_commas_with_them() {
        let text = r#"{"a":1,"b":2,"c":3}"#;
        let object = Object::parse(text).unwrap();
        for (keys, left) in [
            (&["a"][..], r#"{"b":2,"c":3}"#),
            (&["b"], r#"{"a":1,"c":3}"#),
            (&["c"], r#"{"a":1,"b":2}"#),
            (&["b", "c"], r#"{"a":1}"#),
            (&["a", "c"], r#"{"b":2}"#),
            (&["a", "b", "c"], "{}"),
        ] {
            let mut patch = Patch::default();
            patch.remove(text, &object, keys);
            assert_eq!(patch.apply(text), left);
        }
    }

    #[test]
    fn elements_are_those_that_a_json_reader_sees() {
        for text in [
            "[]",
            "[ \n ]",
            "[1]",
            " [1]",
            "[1 , 2.50,\t-3e1]",
            r#"["a,b]\"\\","\\",{"x":[1,{"y":"}"}]} , [[],[2]], null]"#,
            "{}",
            "\"[1]\"",
            "[\"é,\",\"\\u00e9\"]",
        ] {
            let read = serde_json::from_str::<Vec<&RawValue>>(text).ok().filter(|_| text.starts_with('['));
            let read = read.map(|read| read.into_iter().map(RawValue::get).collect::<Vec<_>>());
            assert_eq!(elements(text), read, "{text}");
        }
    }

    #[test]
    fn fields_within_checked_text_are_those_that_parsing_sees() {
        for text in
            ["{}", "{ }", r#"{ "a" : 1 ,"\u00e9\",": {"b":[1,"}"]},"c":"x:y" }"#, "[]", "null", r#"{"":""}"#]
        {
            let fields = |object: Object<'_>| format!("{:?}", object.fields);
            assert_eq!(Object::within(text).map(fields), Object::parse(text).ok().map(fields), "{text}");
        }
    }

    #[test]
    fn keys_that_differ_only_in_case_are_ambiguous() {
        assert_eq!(Object::parse(r#"{"model":1,"x":2,"Model":3}"#).unwrap().ambiguous_key(), Some("Model"));
        assert_eq!(Object::parse(r#"{"a":1,"\u0061":2}"#).unwrap().ambiguous_key(), Some("a"));
        assert_eq!(Object::parse(r#"{"a":{"b":1,"b":2}}"#).unwrap().ambiguous_key(), None);
    }

    #[test]
    fn half_surrogate_pairs_join_when_their_pieces_do() {
        assert_eq!(unescape(r"\ud83d\ude00"), "😀");
        assert!(unescape(r"a\ud83d").starts_with('a'));
    }

    #[test]
    fn deep_nesting_is_only_skipped() {
        let text = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Object::parse(&text).is_ok());
    }
}
