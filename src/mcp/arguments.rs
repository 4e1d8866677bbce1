//! The model's arguments against a tool's original input schema.

use jsonschema::{PatternOptions, Validator};
use serde_json::{Map, Value};

use super::result::bounded;
use super::schema;

/// How many violations the model is told of; more do not help it.
const MAX_VIOLATIONS: usize = 5;

/// The longest description of one violation, in bytes.
const MAX_VIOLATION: usize = 300;

/// How much of unreadable arguments the model is shown again, in bytes.
const MAX_QUOTE: usize = 500;

/// Checks arguments against one schema.
#[derive(Debug)]
pub(super) struct Check(Option<Validator>);

impl Check {
    /// Compiles the original schema. Where it cannot be compiled, only the arguments' being an object is
    /// checked, and the text says why.
    pub(super) fn compile(original: Option<&Value>) -> (Self, Option<String>) {
        let Some(original @ Value::Object(_)) = original else { return (Self(None), None) };
        // Patterns come from the server and texts from the model: neither may cost more than linear time.
        let compiled =
            jsonschema::options().with_pattern_options(PatternOptions::regex()).offline().build(original);
        match compiled {
            Ok(validator) => (Self(Some(validator)), None),
            Err(error) => (Self(None), Some(bounded(&error.to_string(), MAX_VIOLATION))),
        }
    }

    /// Reads what the model wrote; empty text counts as no arguments. The error is written for the model.
    pub(super) fn check(&self, arguments: &str) -> Result<Map<String, Value>, String> {
        let arguments = match arguments.trim() {
            "" => Value::Object(Map::new()),
            text => serde_json::from_str(text).map_err(|error| {
                let written = bounded(text, MAX_QUOTE);
                format!("The arguments are not valid JSON: {error}. Nothing was run. You wrote: {written}")
            })?,
        };
        let violations: Vec<String> = self
            .0
            .iter()
            .flat_map(|check| check.iter_errors(&arguments))
            .take(MAX_VIOLATIONS)
            .map(|error| describe(&error))
            .collect();
        if !violations.is_empty() {
            return Err(format!(
                "The arguments do not fit the tool's input schema. Nothing was run.\n{}",
                violations.join("\n")
            ));
        }
        match arguments {
            Value::Object(arguments) => Ok(arguments),
            other => {
                Err(format!("The arguments must be a JSON object, not {}. Nothing was run.", kind(&other)))
            }
        }
    }
}

fn describe(error: &jsonschema::ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    format!("- at {}: {}", schema::pointer(place), bounded(&error.to_string(), MAX_VIOLATION))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: &Value, arguments: &str) -> Result<Map<String, Value>, String> {
        let (check, note) = Check::compile(Some(schema));
        assert_eq!(note, None);
        check.check(arguments)
    }

    #[test]
    fn f24_no_text_is_no_arguments() {
        for text in ["", " \n", "{}"] {
            assert_eq!(check(&json!({"type": "object"}), text), Ok(Map::new()));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let schema = json!({
            "type": "object",
            "properties": {"unit": {"enum": ["m", "km"]}, "list": {"items": {"type": "integer"}}},
            "required": ["unit"],
            "additionalProperties": false
        });
        assert!(check(&schema, r#"{"unit":"km","list":[1]}"#).is_ok());
        let error = check(&schema, r#"{"unit":"mile","list":[1,"two"],"more":1}"#).unwrap_err();
        assert!(error.contains("at /unit: \"mile\" is not one of"), "{error}");
        assert!(error.contains("at /list/1: "), "{error}");
        assert!(error.contains("'more' was unexpected"), "{error}");
        assert!(check(&schema, "{}").unwrap_err().contains("\"unit\" is a required property"));
        assert!(check(&schema, r#"{"unit":"#).unwrap_err().contains("not valid JSON"));
        assert!(check(&json!({}), "[1]").unwrap_err().contains("must be a JSON object, not an array"));
    }

    #[test]
    fn the_model_is_not_told_more_than_it_can_use() {
        let schema = json!({"additionalProperties": {"type": "integer"}});
        let long = "x".repeat(10_000);
        let arguments: Value = (0..20).map(|i| (i.to_string(), json!(long))).collect::<Map<_, _>>().into();
        let error = check(&schema, &arguments.to_string()).unwrap_err();
        assert!(error.len() < 2_000, "{} bytes", error.len());
    }

    #[test]
    fn a_schema_that_cannot_be_compiled_only_asks_for_an_object() {
        for schema in [
            json!({"properties": {"a": {"pattern": "(?=look)ahead"}}}),
            json!({"properties": {"a": {"type": "any"}}}),
        ] {
            let (check, note) = Check::compile(Some(&schema));
            assert!(note.is_some(), "{schema}");
            assert!(check.check(r#"{"a":1}"#).is_ok());
            assert!(check.check("1").is_err());
        }
    }

    #[test]
    fn recursion_is_fine_and_ends() {
        let tree =
            json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}});
        assert!(check(&tree, r#"{"children":[{"children":[]}]}"#).is_ok());
        assert!(check(&tree, r#"{"children":[{"children":1}]}"#).is_err());
        assert!(check(&json!({"$ref": "#"}), r#"{"a":1}"#).is_ok());
        let round = json!({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"anyOf": [{"$ref": "#/$defs/x"}]}}});
        assert!(check(&round, r#"{"a":1}"#).is_ok());
    }
}
