//! The body of an upstream request: the client's bytes, and the few edits that are made to them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::raw::{self, Field, Object, Patch};
use crate::domain::{Failure, FailureKind};

/// A request body under edit.
#[derive(Debug)]
pub struct Draft {
    /// Checked to be UTF-8 when it was read.
    base: Bytes,
    fields: Vec<FieldSpan>,
    edits: BTreeMap<&'static str, Edit>,
    /// Other texts for spans of the base.
    replaced: Vec<(Range<usize>, String)>,
}

/// Where a top-level field lies in the base, so that a large body is scanned once.
#[derive(Debug)]
struct FieldSpan {
    key: String,
    raw_key: Range<usize>,
    value: Range<usize>,
}

#[derive(Debug)]
enum Edit {
    /// Another value in the field's place, or a new last field.
    Set(String),
    /// More elements at the end of an array, each with its comma before it.
    Extend(String),
}

impl Draft {
    /// Checks that a body is a JSON object whose top-level keys are each one thing to every reader: none
    /// stands twice, and none of `known` in another letter case.
    pub fn read(body: Bytes, known: &[&str]) -> Result<Self, Failure> {
        let bad = |message: String| Failure::new(FailureKind::BadRequest, message);
        let text = std::str::from_utf8(&body)
            .map_err(|error| bad(format!("the request body is not UTF-8: {error}")))?;
        let object = Object::parse(text).map_err(|error| {
            bad(format!("the request body is not a JSON object: {}", raw::describe(&error)))
        })?;
        if let Some(key) = object.ambiguous_key() {
            let twice = bad(format!("the key {key:?} stands twice in the request body: send it once"));
            return Err(twice.quoting(key));
        }
        for field in &object.fields {
            if let Some(known) =
                known.iter().find(|known| **known != field.key && known.eq_ignore_ascii_case(&field.key))
            {
                return Err(
                    bad(format!("the key {:?} must be written {known:?}", field.key)).quoting(&field.key)
                );
            }
        }
        let span = |field: &Field<'_>| FieldSpan {
            key: field.key.clone().into_owned(),
            raw_key: raw::span_in(text, field.raw_key),
            value: raw::span_in(text, field.value),
        };
        let fields = object.fields.iter().map(span).collect();
        Ok(Self { base: body, fields, edits: BTreeMap::new(), replaced: Vec::new() })
    }

    /// The client's body.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.base).unwrap_or_default()
    }

    /// The top-level fields of the client's body.
    pub fn object(&self) -> Object<'_> {
        let text = self.text();
        let fields = self.fields.iter().map(|span| Field {
            key: Cow::Borrowed(span.key.as_str()),
            raw_key: &text[span.raw_key.clone()],
            value: &text[span.value.clone()],
        });
        Object { fields: fields.collect() }
    }

    /// Sets a top-level field.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.edits.insert(key, Edit::Set(value.into()));
    }

    /// Sets a top-level field that has not been edited yet.
    pub fn set_once(&mut self, key: &'static str, value: impl Into<String>) {
        self.edits.entry(key).or_insert_with(|| Edit::Set(value.into()));
    }

    /// Adds elements to the array in a top-level field, which is made where it is absent; `elements` are
    /// JSON texts joined by commas.
    pub fn extend(&mut self, key: &'static str, elements: &str) {
        if elements.is_empty() {
            return;
        }
        match self.edits.get_mut(key) {
            Some(Edit::Extend(more)) => {
                more.push(',');
                more.push_str(elements);
            }
            Some(Edit::Set(value)) => extend_array(value, elements),
            None => {
                self.edits.insert(key, Edit::Extend(elements.to_owned()));
            }
        }
    }

    /// Puts others in the place of ranges of the client's elements of an array; an empty range inserts before
    /// the element there.
    ///
    /// The array may only be extended otherwise, or set anew, which undoes this. It does not become empty, for
    /// no API takes an empty history. Between ranges that vanish something stays.
    pub fn replace_elements(&mut self, key: &str, changes: Vec<(Range<usize>, Vec<String>)>) {
        let text = self.text();
        let spans: Vec<Range<usize>> =
            self.object().array(key).into_iter().map(|element| raw::span_in(text, element)).collect();
        let replaced = changes.into_iter().filter_map(|(range, new)| {
            let (first, after) = (spans.get(range.start)?, spans.get(range.end));
            let Some(last) = range.end.checked_sub(1).filter(|_| !range.is_empty()) else {
                return (!new.is_empty()).then(|| (first.start..first.start, new.join(",") + ","));
            };
            let mut span = first.start..spans.get(last)?.end;
            if new.is_empty() {
                match (after, range.start.checked_sub(1)) {
                    (Some(after), _) => span.end = after.start,
                    (None, Some(before)) => span.start = spans[before].end,
                    (None, None) => return None,
                }
            }
            Some((span, new.join(",")))
        });
        let replaced: Vec<_> = replaced.collect();
        self.replaced.extend(replaced);
    }

    /// The body with all edits; the client's very bytes where there are none.
    pub fn render(&self) -> Bytes {
        if self.edits.is_empty() && self.replaced.is_empty() {
            return self.base.clone();
        }
        let text = self.text();
        let object = self.object();
        let mut patch = Patch::default();
        // A field that is set anew takes with it what was replaced within it.
        let set: Vec<Range<usize>> = self
            .edits
            .iter()
            .filter(|(_, edit)| matches!(edit, Edit::Set(_)))
            .filter_map(|(key, _)| Some(raw::span_in(text, object.get(key)?)))
            .collect();
        for (span, new) in &self.replaced {
            if !set.iter().any(|set| set.start <= span.start && span.end <= set.end) {
                patch.replace_span(span.clone(), new.as_str());
            }
        }
        let mut new_fields = String::new();
        for (key, edit) in &self.edits {
            match (edit, object.get(key)) {
                (Edit::Set(value), Some(old)) => patch.replace(text, old, value.as_str()),
                (Edit::Extend(more), Some(old)) if old.starts_with('[') => {
                    let (at, more) = end_of_array(old, more);
                    patch.insert(raw::span_in(text, old).start + at, more);
                }
                (Edit::Extend(more), Some(old)) => patch.replace(text, old, format!("[{more}]")),
                (Edit::Set(value), None) => push_field(&mut new_fields, key, value),
                (Edit::Extend(more), None) => push_field(&mut new_fields, key, &format!("[{more}]")),
            }
        }
        if !new_fields.is_empty() {
            match object.fields.last() {
                Some(last) => patch.insert(raw::span_in(text, last.value).end, format!(",{new_fields}")),
                None => patch.insert(text.find('{').map_or(0, |open| open + 1), new_fields),
            }
        }
        Bytes::from(patch.apply(text))
    }
}

fn push_field(fields: &mut String, key: &str, value: &str) {
    if !fields.is_empty() {
        fields.push(',');
    }
    fields.push_str(&raw::quote(key));
    fields.push(':');
    fields.push_str(value);
}

/// Adds elements before the closing bracket of an array's text.
fn extend_array(array: &mut String, elements: &str) {
    let (at, more) = end_of_array(array, elements);
    array.insert_str(at, &more);
}

/// Where more elements go into an array's text, and what goes there: they, and the comma that they need.
fn end_of_array(array: &str, elements: &str) -> (usize, String) {
    let at = array.rfind(']').unwrap_or(array.len());
    let is_empty = array[..at].trim_end().ends_with('[');
    (at, if is_empty { elements.to_owned() } else { format!(",{elements}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(elements: &[&str]) -> Vec<String> {
        elements.iter().map(|&element| element.to_owned()).collect()
    }

    fn draft(text: &'static str) -> Draft {
        Draft::read(Bytes::from_static(text.as_bytes()), &["model", "tools"]).unwrap()
    }

    #[test]
    fn an_unedited_body_keeps_its_very_bytes() {
        let body = Bytes::from_static(b"{ \"model\" :\"m\",  \"x\":1.0e2 }\n");
        let draft = Draft::read(body.clone(), &["model"]).unwrap();
        assert_eq!(draft.render().as_ptr(), body.as_ptr());
    }

    #[test]
    fn edits_touch_their_field_alone() {
        let mut draft = draft("{\"tools\": [ {\"a\":1} ] , \"x\" : 1.50}");
        draft.extend("tools", "{\"b\":2}");
        draft.extend("tools", "{\"c\":3}");
        draft.set("y", "true");
        assert_eq!(
            draft.render(),
            "{\"tools\": [ {\"a\":1} ,{\"b\":2},{\"c\":3}] , \"x\" : 1.50,\"y\":true}"
        );
    }

    #[test]
    fn elements_can_be_replaced_in_an_array_that_grows() {
        let mut draft = draft(r#"{"tools":[1,2 ,3],"x":1}"#);
        draft.replace_elements("tools", vec![(1..2, new(&["20", "21"])), (0..0, new(&["0"]))]);
        draft.extend("tools", "4");
        assert_eq!(draft.render(), r#"{"tools":[0,1,20,21 ,3,4],"x":1}"#);
        draft.set("tools", "[5]");
        assert_eq!(draft.render(), r#"{"tools":[5],"x":1}"#);
    }

    #[test]
    fn elements_go_with_a_comma_and_the_last_one_stays() {
        for (gone, left) in [
            (&[(0, 1)][..], "[ 2 , 3 ]"),
            (&[(1, 2)][..], "[ 1,3 ]"),
            (&[(1, 3)][..], "[ 1 ]"),
            (&[(0, 1), (2, 3)][..], "[ 2 ]"),
            (&[(0, 3)][..], "[ 1,2 , 3 ]"),
            (&[(2, 4)][..], "[ 1,2 , 3 ]"),
        ] {
            let mut draft = draft(r#"{"tools":[ 1,2 , 3 ]}"#);
            let changes = gone.iter().map(|(start, end)| (*start..*end, Vec::new())).collect();
            draft.replace_elements("tools", changes);
            assert_eq!(draft.render(), format!(r#"{{"tools":{left}}}"#), "{gone:?}");
        }
    }

    #[test]
    fn an_empty_array_and_a_missing_one_can_grow() {
        for (before, after) in [
            ("{\"tools\":[]}", "{\"tools\":[1]}"),
            ("{}", "{\"tools\":[1]}"),
            ("{\"tools\":null}", "{\"tools\":[1]}"),
        ] {
            let mut draft = draft(before);
            draft.extend("tools", "1");
            assert_eq!(draft.render(), after);
        }
    }

    #[test]
    fn f54_a_key_that_stands_twice_or_in_another_case_is_refused() {
        for (body, told) in [
            ("{\"model\":\"a\",\"model\":\"b\"}", "stands twice"),
            ("{\"model\":\"a\",\"mod\\u0065l\":\"b\"}", "stands twice"),
            ("{\"Tools\":[]}", "must be written \"tools\""),
        ] {
            let failure = Draft::read(Bytes::from_static(body.as_bytes()), &["model", "tools"]).unwrap_err();
            assert!(failure.message.contains(told), "{body}: {}", failure.message);
        }
    }
}
