//! The top of an input schema: providers want a plain object there, without combinators or references.

use serde_json::{Map, Value, json};

use super::result::bounded;

/// What providers reject at the top.
const COMBINATORS: [&str; 5] = ["oneOf", "anyOf", "allOf", "enum", "not"];

/// The longest note about one combinator, in bytes.
const MAX_NOTE: usize = 1024;

/// Makes the top a plain object, whose properties are those of all its branches; returns what the model
/// should know of the combinators that are gone, or why that cannot be done.
pub(super) fn flatten(schema: &mut Map<String, Value>) -> Result<Option<String>, String> {
    let whole = Value::Object(schema.clone());
    if let Some(Value::String(target)) = schema.remove("$ref") {
        merge(schema, &resolve(&whole, &target)?, true);
    }
    let mut notes = Vec::new();
    for keyword in COMBINATORS {
        let Some(combinator) = schema.remove(keyword) else { continue };
        for branch in combinator.as_array().into_iter().flatten() {
            let branch = match branch.get("$ref").and_then(Value::as_str) {
                Some(target) => resolve(&whole, target)?,
                None => branch.clone(),
            };
            if matches!(keyword, "oneOf" | "anyOf" | "allOf") {
                merge(schema, &branch, keyword == "allOf");
            }
        }
        if keyword != "allOf" {
            notes.push(note(keyword, &combinator));
        }
    }
    make_object(schema)?;
    Ok((!notes.is_empty()).then(|| notes.join("\n")))
}

/// Adds the branch's properties where the schema has none of that name, and, where it always applies, what
/// it requires.
fn merge(schema: &mut Map<String, Value>, branch: &Value, always_applies: bool) {
    if let Some(Value::Object(more)) = branch.get("properties")
        && let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({}))
    {
        for (name, property) in more {
            properties.entry(name.clone()).or_insert_with(|| property.clone());
        }
    }
    if !always_applies {
        return;
    }
    if let Some(Value::Array(more)) = branch.get("required")
        && let Value::Array(required) = schema.entry("required").or_insert_with(|| json!([]))
    {
        for name in more {
            if !required.contains(name) {
                required.push(name.clone());
            }
        }
    }
    for keyword in ["additionalProperties", "description"] {
        if let Some(value) = branch.get(keyword)
            && !schema.contains_key(keyword)
            && schema.get("properties") == branch.get("properties")
        {
            schema.insert(keyword.into(), value.clone());
        }
    }
}

fn resolve(whole: &Value, target: &str) -> Result<Value, String> {
    match whole.pointer(target.trim_start_matches('#')) {
        // Not the schema itself: that would add nothing.
        Some(found) if target.starts_with("#/") => Ok(found.clone()),
        _ => Err(format!(
            "the reference {:?} at the top of its input schema leads nowhere",
            bounded(target, 120)
        )),
    }
}

fn make_object(schema: &mut Map<String, Value>) -> Result<(), String> {
    let is_object = match schema.get("type") {
        None => true,
        Some(Value::String(name)) => name == "object",
        Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
        Some(_) => false,
    };
    if !is_object {
        return Err("its input schema is not of type object".into());
    }
    schema.insert("type".into(), json!("object"));
    schema.entry("properties").or_insert_with(|| json!({}));
    Ok(())
}

fn note(keyword: &str, combinator: &Value) -> String {
    let rule = match keyword {
        "oneOf" => "exactly one of these JSON Schemas",
        "anyOf" => "at least one of these JSON Schemas",
        "enum" => "one of these values",
        _ => "nothing that this JSON Schema describes",
    };
    format!("The arguments must be {rule}: {}", bounded(&combinator.to_string(), MAX_NOTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(schema: Value) -> (Value, Option<String>) {
        let Value::Object(mut schema) = schema else { panic!("not an object") };
        let note = flatten(&mut schema).unwrap();
        (Value::Object(schema), note)
    }

    #[test]
    fn branches_at_the_top_become_properties_and_a_note() {
        let (schema, note) = flat(json!({
            "type": "object",
            "properties": {"id": {"type": "string"}},
            "oneOf": [
                {"properties": {"id": {"const": 1}, "path": {"type": "string"}}, "required": ["path"]},
                {"properties": {"url": {"type": "string"}}, "required": ["url"]},
            ]
        }));
        assert_eq!(
            schema,
            json!({
                "type": "object",
                "properties": {"id": {"type": "string"}, "path": {"type": "string"}, "url": {"type": "string"}},
            })
        );
        let note = note.unwrap();
        assert!(note.contains("exactly one") && note.contains(r#""required":["path"]"#), "{note}");
    }

    #[test]
    fn what_always_applies_is_merged_without_a_note() {
        let (schema, note) = flat(json!({
            "allOf": [
                {"$ref": "#/$defs/base"},
                {"properties": {"b": {}}, "required": ["b", "a"]},
            ],
            "$defs": {"base": {"type": "object", "properties": {"a": {}}, "required": ["a"]}},
        }));
        assert_eq!(schema["properties"], json!({"a": {}, "b": {}}));
        assert_eq!(schema["required"], json!(["a", "b"]));
        assert_eq!(schema["type"], "object");
        assert_eq!(note, None);
    }

    #[test]
    fn a_reference_at_the_top_is_followed() {
        let (schema, note) = flat(json!({
            "$ref": "#/definitions/Input",
            "definitions": {"Input": {"type": "object", "properties": {"a": {}}, "required": ["a"], "additionalProperties": false}},
        }));
        assert_eq!(schema["properties"], json!({"a": {}}));
        assert_eq!(schema["required"], json!(["a"]));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(note, None);
        for target in ["#", "#/nowhere", "#anchor"] {
            let mut schema = Map::from_iter([("$ref".to_owned(), json!(target))]);
            assert!(flatten(&mut schema).unwrap_err().contains(target));
        }
    }

    #[test]
    fn the_top_is_an_object_or_nothing() {
        assert_eq!(flat(json!({"type": ["object", "null"]})).0, json!({"type": "object", "properties": {}}));
        let mut schema = Map::from_iter([("type".to_owned(), json!("array"))]);
        assert!(flatten(&mut schema).is_err());
    }
}
