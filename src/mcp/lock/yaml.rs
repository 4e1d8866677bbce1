//! JSON as YAML that people read and that diffs well: one field a line, long texts as blocks, and nothing that
//! cannot be seen: hidden characters stand as escapes.

use serde_json::{Map, Value};

use crate::domain::hidden;

/// How long a list may be that stands on one line, in characters.
const LINE: usize = 100;

/// The longest key of the usual form; YAML allows 1024 characters.
const MAX_KEY: usize = 500;

/// Writes a mapping as a document.
pub fn document(fields: &Map<String, Value>) -> String {
    let mut out = String::new();
    mapping(fields, 0, &mut out);
    out
}

fn mapping(fields: &Map<String, Value>, indent: usize, out: &mut String) {
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            out.extend(std::iter::repeat_n(' ', indent));
        }
        let name = key(name);
        if name.chars().count() > MAX_KEY {
            out.push_str(&format!("? {name}\n{:indent$}", ""));
        } else {
            out.push_str(&name);
        }
        out.push(':');
        under(value, indent + 2, out);
    }
}

/// What stands behind a colon or a dash: on its line, or indented below it.
fn under(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            out.push_str(&format!("\n{:indent$}", ""));
            mapping(fields, indent, out);
        }
        Value::Array(values) if !values.is_empty() => {
            if let Some(line) = on_one_line(values) {
                out.push_str(&format!(" {line}\n"));
            } else {
                out.push('\n');
                sequence(values, indent, out);
            }
        }
        Value::String(text) => match block(text, indent) {
            Some(block) => out.push_str(&format!(" {block}\n")),
            None => out.push_str(&format!(" {}\n", quoted(text))),
        },
        scalar => out.push_str(&format!(" {scalar}\n")),
    }
}

fn sequence(values: &[Value], indent: usize, out: &mut String) {
    for value in values {
        out.push_str(&format!("{:indent$}-", ""));
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                out.push(' ');
                mapping(fields, indent + 2, out);
            }
            value => under(value, indent + 2, out),
        }
    }
}

/// A short list of scalars, as JSON.
fn on_one_line(values: &[Value]) -> Option<String> {
    let scalar = |value: &Value| match value {
        Value::String(text) => Some(quoted(text)),
        Value::Object(_) | Value::Array(_) => None,
        other => Some(other.to_string()),
    };
    let words: Vec<String> = values.iter().map(scalar).collect::<Option<_>>()?;
    let line = format!("[{}]", words.join(", "));
    (line.chars().count() <= LINE).then_some(line)
}

/// Several lines as a literal block, if nothing in them would be lost or go unseen in one.
fn block(text: &str, indent: usize) -> Option<String> {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let is_plain = |line: &str| {
        !line.ends_with([' ', '\t']) && line.chars().all(|c| c != '\r' && c != '\t' && hidden(c).is_none())
    };
    let begins_well = body.starts_with(|c: char| !c.is_whitespace());
    if !body.contains('\n') || body.ends_with('\n') || !begins_well || !body.split('\n').all(is_plain) {
        return None;
    }
    let mut block = String::from(if text.ends_with('\n') { "|" } else { "|-" });
    for line in body.split('\n') {
        block.push('\n');
        if !line.is_empty() {
            block.push_str(&format!("{:indent$}{line}", ""));
        }
    }
    Some(block)
}

fn key(name: &str) -> String {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !matches!(
            name.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A text in double quotes, with escapes that both JSON and YAML know.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if hidden(c).is_some() && u32::from(c) <= 0xffff => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c if hidden(c).is_some() => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn back(text: &str) -> Value {
        crate::config::yaml::Source::new(std::path::Path::new("x.yaml"), text)
            .parse_large()
            .unwrap_or_else(|problem| panic!("{problem}\n{text}"))
    }

    fn written(value: &Value) -> String {
        document(value.as_object().unwrap())
    }

    #[test]
    fn it_reads_well() {
        let value = json!({
            "description": "First line.\n\n  - a: \"b\" # c\nLast line.",
            "inputSchema": {
                "type": "object",
                "properties": {"a b": {"enum": ["x", null, 1.5, "no"]}, "no": {}, "$ref": {"anyOf": [{"type": "string"}, {"items": [[1], []]}]}},
                "required": [],
            },
            "hidden": "two\u{200b}\nlines\u{e0041}",
        });
        let text = written(&value);
        insta::assert_snapshot!(text);
        assert_eq!(back(&text), value);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            "[ a-c#:\\-?\n'\"{}\\[\\],&*!|>%@`\\\\\t\r~.0-9]{0,12}",
            "(?s:.){0,8}",
            "[\u{fffd}-\u{10000}\u{85}\u{2028}\u{d7ff}\u{e000}\u{10ffff}a\n ]{0,6}",
            "[a-z]{1,5}(\n[ ]{0,3}[a-z#:-]{0,5}){1,4}\n{0,2}",
            Just("1e3".to_owned()),
            Just("0x1f".to_owned()),
            Just(".inf".to_owned()),
            Just("<<".to_owned()),
            Just("x".repeat(1100)),
        ];
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost(value in json_value()) {
            let value = json!({"definition": value});
            let text = written(&value);
            let seen: Vec<char> = text.chars().filter(|c| hidden(*c).is_some()).collect();
            prop_assert_eq!(seen, Vec::<char>::new());
            prop_assert_eq!(back(&text), value);
        }
    }
}
