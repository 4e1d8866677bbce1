//! `Mcp-Method`, `Mcp-Name` and `Mcp-Param-*` (SEP-2243): what proxies on the way may decide by must be what the
//! body says.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderMap;
use serde_json::{Map, Value};

use super::message::Request;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// How deep a schema is searched.
const DEPTH: usize = 32;

/// Checks the headers of a stateless request; `schema` is the input schema of the tool that it calls.
pub(super) fn check(headers: &HeaderMap, request: &Request, schema: Option<&Value>) -> Result<(), String> {
    match single(headers, "mcp-method")? {
        Some(method) if method == request.method => {}
        Some(method) => return Err(format!("Mcp-Method is `{method}`, the method is `{}`", request.method)),
        None => return Err("missing Mcp-Method header".into()),
    }
    let named = match request.method.as_str() {
        "tools/call" | "prompts/get" => request.text("name"),
        "resources/read" => request.text("uri"),
        _ => None,
    };
    if let Some(named) = named {
        let header = single(headers, "mcp-name")?.ok_or("missing Mcp-Name header")?;
        if decode(header).as_deref() != Some(named) {
            return Err(format!("Mcp-Name is `{header}`, the request names `{named}`"));
        }
    }
    let Some(schema) = schema else { return Ok(()) };
    let arguments = request.params.get("arguments").unwrap_or(&Value::Null);
    annotated(schema, arguments, DEPTH, &mut |header, argument| check_param(headers, header, argument))
}

fn check_param(headers: &HeaderMap, name: &str, argument: Option<&Value>) -> Result<(), String> {
    let full = format!("mcp-param-{name}");
    let wanted = argument.and_then(|argument| match argument {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(argument.to_string()),
        _ => None,
    });
    match (single(headers, &full)?, wanted) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(format!("unexpected {full} header: the argument is not there")),
        (None, Some(_)) => Err(format!("missing {full} header")),
        (Some(header), Some(wanted)) if decode(header).as_ref() == Some(&wanted) => Ok(()),
        (Some(_), Some(_)) => Err(format!("the {full} header does not match the argument")),
    }
}

/// Visits every property that a schema wants in a header, with its argument.
fn annotated(
    schema: &Value,
    arguments: &Value,
    depth: usize,
    visit: &mut impl FnMut(&str, Option<&Value>) -> Result<(), String>,
) -> Result<(), String> {
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (name, property) in properties {
        let argument = arguments.get(name).filter(|argument| !argument.is_null());
        if let Some(header) = property.get("x-mcp-header").and_then(Value::as_str) {
            visit(header, argument)?;
        } else if depth > 0 {
            annotated(property, argument.unwrap_or(&Value::Null), depth - 1, visit)?;
        }
    }
    Ok(())
}

/// A header that must not stand there twice: another reader could take the other one.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(format!("the {name} header stands there twice"));
    }
    value.to_str().map(|value| Some(value.trim())).map_err(|_| format!("the {name} header is not plain text"))
}

fn decode(value: &str) -> Option<String> {
    match value.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) {
        Some(encoded) => String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "each test writes its JSON where it is used")]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(arguments: Value) -> Request {
        let Value::Object(params) = json!({"name": "get", "arguments": arguments}) else { unreachable!() };
        Request { id: json!(1), method: "tools/call".into(), params, meta: Map::new() }
    }

    fn checked(headers: &[(&'static str, &str)], arguments: Value) -> Result<(), String> {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"},
            "deep": {"type": "object", "properties": {"count": {"type": "integer", "x-mcp-header": "Count"}}}
        }});
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        check(&map, &request(arguments), Some(&schema))
    }

    #[test]
    fn what_the_headers_say_must_be_what_the_body_says() {
        let named = [("mcp-method", "tools/call"), ("mcp-name", "get")];
        assert_eq!(checked(&named, json!({})), Ok(()));
        assert_eq!(checked(&[named[0], ("mcp-name", "=?base64?Z2V0?=")], json!({})), Ok(()));
        for wrong in [
            &[named[0]][..],
            &[named[1]],
            &[named[0], ("mcp-name", "put")],
            &[("mcp-method", "tools/list"), named[1]],
            &[named[0], named[1], named[1]],
            &[named[0], ("mcp-name", "=?base64?Z2V?=")],
        ] {
            assert!(checked(wrong, json!({})).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_argument_that_wants_a_header_has_it_and_no_other_value_stands_there() {
        let with = |more: &[(&'static str, &str)], arguments| {
            let headers = [&[("mcp-method", "tools/call"), ("mcp-name", "get")], more].concat();
            checked(&headers, arguments)
        };
        let both = json!({"region": "eu", "deep": {"count": 3}});
        assert_eq!(with(&[("mcp-param-region", "eu"), ("mcp-param-count", "3")], both.clone()), Ok(()));
        assert!(with(&[("mcp-param-region", "eu")], both.clone()).is_err());
        assert!(with(&[("mcp-param-region", "us"), ("mcp-param-count", "3")], both).is_err());
        assert!(with(&[("mcp-param-region", "eu")], json!({"region": null})).is_err());
        assert_eq!(with(&[("mcp-param-region", "=?base64?ZcO8?=")], json!({"region": "eü"})), Ok(()));
    }
}
