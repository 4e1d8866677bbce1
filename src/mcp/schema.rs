//! Input schemas as every provider accepts them.
//!
//! One schema that a provider rejects makes it reject the whole request, so a schema is changed where
//! providers are known to object, and nowhere else; a tool whose schema cannot be made acceptable is left out
//! alone. Calls are checked against the original schema (see [`super::arguments`]).

use serde_json::{Map, Value, json};

use super::root;

/// The longest schema that is shown to a model, in bytes of compact JSON.
const MAX_BYTES: usize = 128 * 1024;

/// How deep a schema may nest.
const MAX_DEPTH: usize = 48;

/// Keywords that hold one schema.
const ONE: [&str; 12] = [
    "items",
    "additionalItems",
    "additionalProperties",
    "unevaluatedItems",
    "unevaluatedProperties",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "propertyNames",
    "contentSchema",
];

/// Keywords that hold a list of schemas; `items` did until 2019-09.
const LIST: [&str; 5] = ["allOf", "anyOf", "oneOf", "prefixItems", "items"];

/// Keywords that hold schemas by name.
const NAMED: [&str; 6] =
    ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"];

/// Keywords whose boolean form every provider takes.
const BOOLEAN_IS_FINE: [&str; 4] =
    ["additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties"];

/// A schema that providers accept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cleaned {
    /// Compact JSON, in the server's order.
    pub(super) json: String,
    /// What had to be taken out and the model should know, for the tool's description.
    pub(super) note: Option<String>,
}

/// Cleans a tool's `inputSchema`; the error says why the tool must be left out.
pub(super) fn clean(schema: Option<&Value>) -> Result<Cleaned, String> {
    let mut schema = match schema {
        None | Some(Value::Null | Value::Bool(true)) => Map::new(),
        Some(Value::Object(schema)) => schema.clone(),
        Some(_) => return Err("its input schema is not an object".into()),
    };
    check_references(&schema, 0)?;
    let note = root::flatten(&mut schema)?;
    clean_object(&mut schema);
    check_property_names(&schema)?;
    let schema = Value::Object(schema);
    if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
        return Err(format!(
            "its input schema is not valid JSON Schema 2020-12 at {}: {}",
            pointer(error.instance_path().as_str()),
            super::result::bounded(&error.to_string(), 200)
        ));
    }
    let json = schema.to_string();
    if json.len() > MAX_BYTES {
        return Err(format!("its input schema has {} bytes, more than {MAX_BYTES}", json.len()));
    }
    Ok(Cleaned { json, note })
}

/// A JSON pointer as people read it.
pub(super) fn pointer(path: &str) -> &str {
    if path.is_empty() { "the top" } else { path }
}

/// Refuses references that leave the schema (nothing is ever fetched) and nesting without end.
fn check_references(schema: &Map<String, Value>, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("its input schema nests deeper than {MAX_DEPTH} levels"));
    }
    for keyword in ["$ref", "$dynamicRef", "$recursiveRef"] {
        match schema.get(keyword) {
            None => {}
            Some(Value::String(target)) if target.starts_with('#') => {}
            Some(target) => {
                return Err(format!(
                    "its input schema refers to {}, outside of itself, and nothing is fetched",
                    super::result::bounded(&target.to_string(), 120)
                ));
            }
        }
    }
    subschemas(schema).try_for_each(|schema| check_references(schema, depth + 1))
}

/// The object schemas directly inside this one.
fn subschemas(schema: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    let one = ONE.iter().filter_map(|keyword| schema.get(*keyword));
    let list = LIST.iter().filter_map(|keyword| schema.get(*keyword)?.as_array()).flatten();
    let named = NAMED.iter().filter_map(|keyword| schema.get(*keyword)?.as_object()).flat_map(Map::values);
    one.chain(list).chain(named).filter_map(Value::as_object)
}

fn clean_object(schema: &mut Map<String, Value>) {
    for keyword in ["$schema", "$id", "x-mcp-header", "_meta"] {
        schema.remove(keyword);
    }
    tuple_to_prefix_items(schema);
    for keyword in ONE {
        match schema.get_mut(keyword) {
            Some(Value::Object(inner)) => clean_object(inner),
            Some(Value::Bool(_)) if !BOOLEAN_IS_FINE.contains(&keyword) => {
                schema.remove(keyword);
            }
            _ => {}
        }
    }
    for keyword in LIST {
        if let Some(Value::Array(list)) = schema.get_mut(keyword) {
            clean_list(list);
            if list.is_empty() {
                schema.remove(keyword);
            }
        }
    }
    for keyword in NAMED {
        if let Some(Value::Object(named)) = schema.get_mut(keyword) {
            named.retain(|_, schema| *schema != Value::Bool(false));
            named.values_mut().for_each(clean_value);
        }
    }
    if holds_arrays(schema) && !schema.contains_key("items") {
        schema.insert("items".into(), json!({}));
    }
}

/// Lists may not hold booleans: `true` says nothing, `false` is a branch that never applies.
fn clean_list(list: &mut Vec<Value>) {
    list.retain(|schema| *schema != Value::Bool(false));
    list.iter_mut().for_each(clean_value);
}

fn clean_value(schema: &mut Value) {
    match schema {
        Value::Object(schema) => clean_object(schema),
        Value::Bool(_) => *schema = json!({}),
        _ => {}
    }
}

/// Before 2020-12 a tuple was a list in `items`, with `additionalItems` for the rest.
fn tuple_to_prefix_items(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(_)) = schema.get("items") {
        let rest = schema.remove("additionalItems").filter(Value::is_object).unwrap_or_else(|| json!({}));
        if let Some(tuple) = schema.insert("items".into(), rest) {
            schema.insert("prefixItems".into(), tuple);
        }
    }
}

fn holds_arrays(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        Some(Value::String(name)) => name == "array",
        Some(Value::Array(names)) => names.iter().any(|name| name == "array"),
        _ => false,
    }
}

/// Anthropic takes only these names for the top properties.
fn check_property_names(schema: &Map<String, Value>) -> Result<(), String> {
    let Some(Value::Object(properties)) = schema.get("properties") else { return Ok(()) };
    let fits = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    match properties.keys().find(|name| !fits(name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "its argument {:?} has a name that providers reject (allowed are 1 to 64 of A-Z a-z 0-9 _ . -)",
            super::result::bounded(name, 80)
        )),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "each test writes its JSON where it is used")]
mod tests {
    use super::*;

    fn cleaned(schema: Value) -> Value {
        serde_json::from_str(&clean(Some(&schema)).unwrap().json).unwrap()
    }

    fn reason(schema: Value) -> String {
        clean(Some(&schema)).unwrap_err()
    }

    #[test]
    fn a_missing_schema_takes_no_arguments() {
        for schema in [None, Some(&Value::Null), Some(&Value::Bool(true))] {
            assert_eq!(clean(schema).unwrap().json, r#"{"type":"object","properties":{}}"#);
        }
        assert_eq!(clean(Some(&json!({}))).unwrap().json, r#"{"type":"object","properties":{}}"#);
        for schema in [json!(false), json!("object"), json!([])] {
            assert!(reason(schema).contains("not an object"));
        }
    }

    #[test]
    fn f29_what_providers_accept_stays_in_the_servers_order() {
        let schema = r##"{"type":"object","properties":{"zeta":{"$ref":"#/$defs/z"},"alpha":{"oneOf":[{"type":"string"},{"type":"null"}],"default":{"$schema":"kept"}}},"required":["zeta"],"additionalProperties":false,"$defs":{"z":{"type":"array","items":{"const":1}}}}"##;
        assert_eq!(clean(Some(&serde_json::from_str(schema).unwrap())).unwrap().json, schema);
    }

    #[test]
    fn what_providers_reject_is_taken_out_at_every_depth() {
        let schema = json!({
            "$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.com/s", "type": "object",
            "properties": {
                "region": {"type": "string", "x-mcp-header": "Region"},
                "any": true,
                "never": false,
                "list": {"type": ["array", "null"]},
                "pair": {"type": "array", "items": [{"type": "string"}, true], "additionalItems": false},
                "either": {"anyOf": [true, false, {"$id": "x", "type": "string"}]},
                "inner": {"properties": {"$schema": {"type": "string"}}},
            }
        });
        assert_eq!(
            cleaned(schema),
            json!({
                "type": "object",
                "properties": {
                    "region": {"type": "string"},
                    "any": {},
                    "list": {"type": ["array", "null"], "items": {}},
                    "pair": {"type": "array", "items": {}, "prefixItems": [{"type": "string"}, {}]},
                    "either": {"anyOf": [{}, {"type": "string"}]},
                    "inner": {"properties": {"$schema": {"type": "string"}}},
                }
            })
        );
    }

    #[test]
    fn f30_what_cannot_be_made_acceptable_is_named() {
        let remote = json!({"type": "object", "properties": {"a": {"$ref": "https://example.com/a.json"}}});
        assert!(reason(remote).contains("https://example.com/a.json"));
        let any = json!({"type": "object", "properties": {"a": {"type": "any"}}});
        assert!(reason(any).contains("/properties/a/type"));
        assert!(reason(json!({"type": "object", "properties": {"a b": {}}})).contains("\"a b\""));
        assert!(reason(json!({"type": "object", "properties": {"x".repeat(65): {}}})).contains("64"));
        assert!(reason(json!({"type": "string"})).contains("object"));
        assert!(reason(json!({"type": "object", "properties": []})).contains("/properties"));
        let deep = (0..60).fold(json!({"type": "string"}), |inner, _| json!({"properties": {"a": inner}}));
        assert!(reason(deep).contains("deeper"));
        let long = json!({"type": "object", "description": "x".repeat(MAX_BYTES)});
        assert!(reason(long).contains("bytes"));
    }
}
