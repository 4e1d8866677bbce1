//! The two tools by which a model finds tools that it is not shown, and calls them.
//!
//! Their definitions are the same bytes in every conversation, so that they cost no provider's cache.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::domain::{OWN_SERVER, Repeat, ToolDefinition, ToolRef, ToolResult};
use crate::mcp::lock::{self, Definition};

/// The name of the tool that finds tools.
pub const FIND_TOOLS: &str = "toolgate__find_tools";
/// The name of the tool that calls one of them.
pub const CALL_TOOL: &str = "toolgate__call_tool";

/// How many tools a model gets that does not say how many it wants.
const LIMIT: u64 = 5;
/// How many it gets at most.
const MAX_LIMIT: u64 = 20;
/// How large the schemas may be in all that it gets, bytes: of the tools after that it gets no schema.
const MAX_SCHEMAS: usize = 48 << 10;
/// How much of a description it gets, bytes.
const MAX_DESCRIPTION: usize = 1_500;
/// How many names it is offered in place of one that there is not.
const NEAR: usize = 3;

const FIND_DESCRIPTION: &str = "Finds tools that you may call but that are not listed here. Say in a few words what one \
     step of your task has to do (for example \"create an issue in a repository\" or \"list the tables of a database\"), \
     one step at a time; name the service where you know it. Returns the tools that fit best, each with its name, \
     description and input schema. Then call one of them with toolgate__call_tool. Before you say that something cannot \
     be done for lack of a tool, look for one.";
const FIND_SCHEMA: &str = r#"{"type":"object","properties":{"query":{"type":"string","description":"What the tool has to do, in a few words"},"limit":{"type":"integer","minimum":1,"maximum":20,"description":"How many tools to return; 5 by default"}},"required":["query"]}"#;

const CALL_DESCRIPTION: &str = "Calls a tool that toolgate__find_tools has found, and returns its result. The arguments \
     must fit that tool's own input schema.";
const CALL_SCHEMA: &str = r#"{"type":"object","properties":{"name":{"type":"string","description":"The tool's name exactly as toolgate__find_tools returned it"},"arguments":{"type":"object","description":"The arguments for that tool, as its input schema says"}},"required":["name","arguments"]}"#;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTool {
    /// [`FIND_TOOLS`].
    Find,
    /// [`CALL_TOOL`].
    Call,
}

static DEFINITIONS: LazyLock<[Arc<ToolDefinition>; 2]> = LazyLock::new(|| {
    [
        definition(CALL_TOOL, "call_tool", CALL_DESCRIPTION, CALL_SCHEMA, false),
        definition(FIND_TOOLS, "find_tools", FIND_DESCRIPTION, FIND_SCHEMA, true),
    ]
});

fn definition(
    name: &str,
    tool: &str,
    description: &str,
    input_schema: &str,
    read_only: bool,
) -> Arc<ToolDefinition> {
    let schema: Value = serde_json::from_str(input_schema).unwrap_or_default();
    let listed = json!({"name": tool, "description": description, "inputSchema": schema});
    Arc::new(ToolDefinition {
        name: name.to_owned(),
        source: ToolRef { server: OWN_SERVER.to_owned(), tool: tool.to_owned() },
        server_url: OWN_SERVER.to_owned(),
        description: description.to_owned(),
        input_schema: input_schema.to_owned(),
        read_only,
        repeat: Repeat::Join,
        timeout: Duration::ZERO,
        digest: lock::digest(OWN_SERVER, &Definition::of(&listed)),
    })
}

impl OwnTool {
    /// Both, as models are shown them, sorted by name.
    pub fn definitions() -> &'static [Arc<ToolDefinition>; 2] {
        &DEFINITIONS
    }

    /// Which of them this is, if it is one.
    pub fn of(tool: &ToolDefinition) -> Option<Self> {
        match (tool.source.server.as_str(), tool.name.as_str()) {
            (OWN_SERVER, FIND_TOOLS) => Some(Self::Find),
            (OWN_SERVER, CALL_TOOL) => Some(Self::Call),
            _ => None,
        }
    }
}

/// What a model looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// In its words.
    pub query: String,
    /// How many tools it gets.
    pub limit: usize,
}

/// Reads the arguments of [`FIND_TOOLS`]; the error is for the model.
pub fn question(arguments: &str) -> Result<Wanted, String> {
    #[derive(Deserialize)]
    struct Asked {
        query: String,
        limit: Option<Value>,
    }
    let asked: Asked = serde_json::from_str(arguments).map_err(|error| {
        format!("The arguments of {FIND_TOOLS} are {{\"query\": \"…\"}}: say in a few words what the tool has to do ({error}).")
    })?;
    // Some models write numbers as text.
    let limit = asked.limit.and_then(|limit| match limit {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    });
    let limit = usize::try_from(limit.unwrap_or(LIMIT).clamp(1, MAX_LIMIT)).unwrap_or(1);
    Ok(Wanted { query: asked.query, limit })
}

/// Reads the arguments of [`CALL_TOOL`]: the tool's name, and its arguments as the model wrote them. The error is for the
/// model.
pub fn named(arguments: &str) -> Result<(String, String), String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Call<'a> {
        name: String,
        #[serde(borrow, default)]
        arguments: Option<&'a RawValue>,
    }
    let call: Call<'_> = serde_json::from_str(arguments).map_err(|error| {
        format!(
            "Not run: the arguments of {CALL_TOOL} are {{\"name\": \"…\", \"arguments\": {{…}}}}, with the other tool's \
             arguments inside ({error})."
        )
    })?;
    let inner = call.arguments.map_or("", RawValue::get);
    // Some models write an object inside of a text.
    let inner = match serde_json::from_str::<String>(inner) {
        Ok(text) => text,
        Err(_) if inner == "null" => String::new(),
        Err(_) => inner.to_owned(),
    };
    Ok((call.name, inner))
}

/// What the model gets of the tools that were found, the best first.
pub fn found<'a>(tools: impl IntoIterator<Item = &'a ToolDefinition>) -> ToolResult {
    let (mut listed, mut left) = (Vec::new(), MAX_SCHEMAS);
    for tool in tools {
        let description = shortened(&tool.description);
        let schema = Some(tool.input_schema.len())
            .filter(|size| *size <= left)
            .and_then(|_| serde_json::from_str::<Value>(&tool.input_schema).ok());
        let mut told = json!({"name": tool.name, "description": description});
        match schema {
            Some(schema) => {
                left -= tool.input_schema.len();
                told["input_schema"] = schema;
            }
            None => told["note"] = json!("Its schema did not fit: look for this tool alone to see it."),
        }
        listed.push(told);
    }
    let text = if listed.is_empty() {
        "No tool was found for this. Try other words, more general ones, or the name of the service."
            .to_owned()
    } else {
        json!({"tools": listed}).to_string()
    };
    ToolResult::text(text)
}

/// What the model is told of a name that is none of a tool that it may call: the same, whether there is such a tool or not.
pub fn not_found<'a>(name: &str, near: impl IntoIterator<Item = &'a ToolDefinition>) -> String {
    let near: Vec<&str> = near.into_iter().take(NEAR).map(|tool| tool.name.as_str()).collect();
    let name = shortened(name);
    if near.is_empty() {
        format!("Not run: there is no tool {name}. Look for one with {FIND_TOOLS}.")
    } else {
        format!(
            "Not run: there is no tool {name}. Near to that are {}. Look for others with {FIND_TOOLS}.",
            near.join(", ")
        )
    }
}

fn shortened(text: &str) -> String {
    let kept = text.floor_char_boundary(MAX_DESCRIPTION);
    match text.get(..kept) {
        Some(start) if kept < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(name: &str, description: &str, schema: &str) -> ToolDefinition {
        let plain = definition(name, name, description, schema, false);
        ToolDefinition { source: ToolRef { server: "srv".into(), tool: name.into() }, ..(*plain).clone() }
    }

    fn text(result: &ToolResult) -> &str {
        match &result.content[..] {
            [crate::domain::Content::Text(text)] => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definitions_are_valid_and_never_change() {
        let shown = OwnTool::definitions()
            .iter()
            .flat_map(|tool| [&tool.name, &tool.description, &tool.input_schema]);
        let parts: Vec<_> = shown.map(String::as_bytes).collect();
        let digest = crate::domain::Digest::of_parts(&parts).to_string();
        // A change of these bytes makes every conversation's cached prefix worthless: mean it.
        assert_eq!(&digest[..16], "a2835cdbb04ad57a");
        for tool in OwnTool::definitions() {
            let schema: Value = serde_json::from_str(&tool.input_schema).unwrap();
            assert_eq!(schema.to_string(), tool.input_schema, "compact");
            assert!(jsonschema::validator_for(&schema).is_ok());
            assert!(tool.description.is_ascii() && !tool.description.contains("  "), "{}", tool.description);
            assert!(OwnTool::of(tool).is_some());
        }
        assert!(OwnTool::definitions().is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(OwnTool::of(&tool(FIND_TOOLS, "", "{}")), None, "another server's tool of the same name");
    }

    #[test]
    fn a_question_is_read_as_models_write_it() {
        let read = |arguments: &str| question(arguments).map(|wanted| (wanted.query, wanted.limit));
        let weather = |limit| Ok(("weather".to_owned(), limit));
        assert_eq!(read(r#"{"query":"weather"}"#), weather(5));
        for (limit, read_as) in
            [("3", 3), ("0", 1), ("500", 20), ("\"7\"", 7), ("-1", 5), ("null", 5), ("[]", 5)]
        {
            assert_eq!(
                read(&format!(r#"{{"query":"weather","limit":{limit}}}"#)),
                weather(read_as),
                "{limit}"
            );
        }
        for wrong in ["", "{}", r#"{"query":1}"#, r#"{"query":"a","query":"b"}"#, "[1]"] {
            assert!(
                read(wrong).unwrap_err().starts_with("The arguments of toolgate__find_tools are"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_call_is_read_with_its_arguments_untouched() {
        let read = |arguments: &str| named(arguments).unwrap();
        let expect = |arguments: &str| ("srv__x".to_owned(), arguments.to_owned());
        assert_eq!(
            read(r#"{"name":"srv__x","arguments":{"id": 12345678901234567890123, "t":"\u00e9"}}"#),
            expect(r#"{"id": 12345678901234567890123, "t":"\u00e9"}"#)
        );
        assert_eq!(read(r#"{"name":"srv__x"}"#), expect(""));
        assert_eq!(read(r#"{"name":"srv__x","arguments":null}"#), expect(""));
        assert_eq!(read(r#"{"name":"srv__x","arguments":"{\"a\":1}"}"#), expect(r#"{"a":1}"#));
        for wrong in [
            "",
            "{}",
            r#"{"arguments":{}}"#,
            r#"{"name":"srv__x","q":1}"#,
            r#"{"name":"a","name":"b"}"#,
            r#"{"name":"srv__x","arguments":{}"#,
        ] {
            assert!(named(wrong).unwrap_err().contains("with the other tool's arguments inside"), "{wrong}");
        }
    }

    #[test]
    fn what_is_found_is_told_with_schemas_as_far_as_they_fit() {
        let large = format!(r#"{{"type":"object","title":"{}"}}"#, "x".repeat(30 << 10));
        let tools = [
            tool("a", "Reads.", r#"{"type":"object","required":["id"]}"#),
            tool("b", &"é".repeat(2_000), &large),
            tool("c", "Large.", &large),
            tool("d", "Small.", "{}"),
        ];
        let told: Value = serde_json::from_str(text(&found(&tools))).unwrap();
        let told = told["tools"].as_array().unwrap();
        assert_eq!(
            told[0],
            json!({"name": "a", "description": "Reads.", "input_schema": {"type": "object", "required": ["id"]}})
        );
        assert_eq!(told[1]["description"].as_str().unwrap().chars().count(), 751);
        assert!(told[1]["input_schema"].is_object() && told[3]["input_schema"].is_object());
        assert!(told[2].get("input_schema").is_none() && told[2]["note"].is_string());
        assert!(text(&found([])).starts_with("No tool was found"));
    }

    #[test]
    fn a_name_that_is_none_is_told_with_those_that_are_near() {
        let tools: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|name| tool(name, "", "{}")).collect();
        let told = not_found("srv__lok", &tools);
        assert_eq!(
            told,
            "Not run: there is no tool srv__lok. Near to that are a, b, c. Look for others with toolgate__find_tools."
        );
        assert!(not_found(&"x".repeat(100_000), []).len() < 2_000);
    }
}
