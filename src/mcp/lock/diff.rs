//! Which words changed between two definitions, place by place.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::{Approval, Definition, FIELDS};

/// How long comparing two texts may take; what is left then counts as changed altogether.
const PATIENCE: Duration = Duration::from_millis(200);

/// One place that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// `identity`, or a JSON pointer into the definition.
    pub place: String,
    /// The text there, old and new in one.
    pub words: Vec<Words>,
}

/// Some words of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    /// In both.
    Same(String),
    /// In the approved one alone.
    Removed(String),
    /// In the new one alone.
    Added(String),
}

/// What is otherwise in `now`, listed by the server with this identity, than in what was approved.
pub(super) fn compare(approved: &Approval, identity: &str, now: &Definition) -> Vec<Difference> {
    let mut differences = Vec::new();
    if approved.identity != identity {
        differences.push(Difference { place: "identity".into(), words: words(&approved.identity, identity) });
    }
    for field in FIELDS {
        let [old, new] = [&approved.definition, now].map(|definition| leaves(field, definition));
        let mut places: Vec<&String> =
            old.keys().chain(new.keys().filter(|place| !old.contains_key(*place))).collect();
        places.sort();
        for place in places {
            let [old, new] = [&old, &new].map(|leaves| leaves.get(place).map_or("", String::as_str));
            if old != new {
                differences.push(Difference { place: place.clone(), words: words(old, new) });
            }
        }
    }
    differences
}

/// Everything that is to be approved but for the name, each with its place.
pub(super) fn parts(definition: &Definition) -> Vec<(String, String)> {
    FIELDS.iter().filter(|field| **field != "name").flat_map(|field| leaves(field, definition)).collect()
}

/// Everything in a field that stands for itself, by its place. An empty text is there too, and is not nothing.
fn leaves(field: &str, definition: &Definition) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    if let Some(value) = definition.field(field) {
        gather(format!("/{field}"), value, &mut leaves);
    }
    leaves
}

fn gather(place: String, value: &Value, leaves: &mut BTreeMap<String, String>) {
    let is_scalar = |value: &Value| !value.is_object() && !value.is_array();
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                gather(format!("{place}/{}", escape(name)), value, leaves);
            }
        }
        // A list of words, such as `required`, is one text: an insertion would move all places behind it.
        Value::Array(values) if !values.is_empty() && !values.iter().all(is_scalar) => {
            for (index, value) in values.iter().enumerate() {
                gather(format!("{place}/{index}"), value, leaves);
            }
        }
        Value::Array(values) => {
            let words: Vec<String> = values.iter().map(Value::to_string).collect();
            leaves.insert(place, format!("[{}]", words.join(", ")));
        }
        Value::String(text) if !text.is_empty() => {
            leaves.insert(place, text.clone());
        }
        other => {
            leaves.insert(place, other.to_string());
        }
    }
}

/// A key as a JSON pointer has it.
pub(super) fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

fn words(old: &str, new: &str) -> Vec<Words> {
    let diff = TextDiff::configure().timeout(PATIENCE).diff_unicode_words(old, new);
    let mut words: Vec<Words> = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value();
        match (change.tag(), words.last_mut()) {
            (ChangeTag::Equal, Some(Words::Same(before)))
            | (ChangeTag::Delete, Some(Words::Removed(before)))
            | (ChangeTag::Insert, Some(Words::Added(before))) => before.push_str(text),
            (ChangeTag::Equal, _) => words.push(Words::Same(text.to_owned())),
            (ChangeTag::Delete, _) => words.push(Words::Removed(text.to_owned())),
            (ChangeTag::Insert, _) => words.push(Words::Added(text.to_owned())),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Signature;
    use super::*;

    fn diff(old: &Value, new: &Value) -> Vec<String> {
        let approval = Approval::new("stdio a", Definition::of(old), Signature::now(None));
        compare(&approval, "stdio a", &Definition::of(new)).iter().map(written).collect()
    }

    fn written(difference: &Difference) -> String {
        let words = difference.words.iter().map(|words| match words {
            Words::Same(text) => text.clone(),
            Words::Removed(text) => format!("[-{text}-]"),
            Words::Added(text) => format!("{{+{text}+}}"),
        });
        format!("{}: {}", difference.place, words.collect::<String>())
    }

    #[test]
    fn only_the_words_that_changed_are_marked() {
        let old = json!({"name": "t", "description": "Reads a file. Nothing else."});
        let new = json!({"name": "t", "description": "Reads a file. Sends it home.", "title": "T"});
        assert_eq!(
            diff(&old, &new),
            ["/title: {+T+}", "/description: Reads a file. [-Nothing-]{+Sends it+} [-else-]{+home+}."]
        );
    }

    #[test]
    fn schemas_are_compared_place_by_place() {
        let schema = |required: &[&str], extra: Value| json!({"name": "t", "inputSchema": {"type": "object", "properties": {"a/b": extra}, "required": required}});
        let old = schema(&["a"], json!({"type": "string", "default": ""}));
        let new = schema(&["x", "a"], json!({"type": "string", "enum": [1, 2]}));
        assert_eq!(
            diff(&old, &new),
            [
                "/inputSchema/properties/a~1b/default: [-\"\"-]",
                "/inputSchema/properties/a~1b/enum: {+[1, 2]+}",
                "/inputSchema/required: [\"{+x\", \"+}a\"]"
            ]
        );
        assert_eq!(diff(&old, &old), Vec::<String>::new());
    }

    #[test]
    fn another_server_is_a_difference_of_its_own() {
        let definition = Definition::of(&json!({"name": "t"}));
        let approval = Approval::new("stdio a", definition.clone(), Signature::now(None));
        let differences = compare(&approval, "stdio b", &definition);
        assert_eq!(differences.iter().map(written).collect::<Vec<_>>(), ["identity: stdio [-a-]{+b+}"]);
    }
}
