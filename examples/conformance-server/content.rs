//! What the server has, as JSON: lists, texts, and the smallest image and sound that there are.

use serde_json::{Value, json};

/// A red pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// A sound without a sample.
pub const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

/// Tools that take nothing.
const PLAIN: [&str; 25] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_logging_tool",
    "test_reconnection",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "test_wait_for_cancellation",
];

/// The tools; `more` adds one that comes and goes.
pub fn tools(more: bool) -> Vec<Value> {
    let nothing = json!({"type": "object", "properties": {}});
    let plain = |name: &str| tool(name, nothing.clone());
    let text = |name: &str, argument: &str| {
        tool(
            name,
            json!({"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}),
        )
    };
    let mut tools: Vec<Value> = PLAIN.into_iter().map(plain).collect();
    tools.push(text("test_sampling", "prompt"));
    tools.push(text("test_elicitation", "message"));
    tools.push(tool("test_custom_header", custom_header()));
    tools.push(tool("json_schema_2020_12_tool", json_schema_2020_12()));
    if more {
        tools.push(plain("test_dynamic_tool"));
    }
    tools
}

fn tool(name: &str, schema: Value) -> Value {
    json!({"name": name, "description": format!("The tool {name} of the conformance suite."), "inputSchema": schema})
}

fn custom_header() -> Value {
    json!({
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"]
    })
}

fn json_schema_2020_12() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}}
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"}
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false
    })
}

/// The prompts; `more` adds one that comes and goes.
pub fn prompts(more: bool) -> Vec<Value> {
    let argument = |name: &str| json!({"name": name, "description": name, "required": true});
    let prompt = |name: &str, arguments: Vec<Value>| json!({"name": name, "description": format!("The prompt {name}."), "arguments": arguments});
    let mut prompts = vec![
        prompt("test_simple_prompt", vec![]),
        prompt("test_prompt_with_arguments", vec![argument("arg1"), argument("arg2")]),
        prompt("test_prompt_with_embedded_resource", vec![argument("resourceUri")]),
        prompt("test_prompt_with_image", vec![]),
        prompt("test_input_required_result_prompt", vec![]),
    ];
    if more {
        prompts.push(prompt("test_dynamic_prompt", vec![]));
    }
    prompts
}

/// The messages of a prompt, as far as it needs nothing from a user.
pub fn messages(name: &str, arguments: &Value) -> Option<Vec<Value>> {
    let user = |content: Value| json!({"role": "user", "content": content});
    let given = |argument: &str| arguments[argument].as_str().unwrap_or_default().to_owned();
    Some(match name {
        "test_simple_prompt" | "test_dynamic_prompt" => {
            vec![user(text("This is a simple prompt for testing."))]
        }
        "test_prompt_with_arguments" => vec![user(text(&format!(
            "Prompt with arguments: arg1='{}', arg2='{}'",
            given("arg1"),
            given("arg2")
        )))],
        "test_prompt_with_embedded_resource" => vec![
            user(embedded(&given("resourceUri"), "text/plain", "Embedded resource content for testing.")),
            user(text("Please process the embedded resource above.")),
        ],
        "test_prompt_with_image" => {
            vec![user(image()), user(text("Please analyze the image above."))]
        }
        _ => return None,
    })
}

/// The resources.
pub fn resources() -> Vec<Value> {
    let resource = |uri: &str, kind: &str| json!({"uri": uri, "name": uri, "description": format!("The resource {uri}."), "mimeType": kind});
    vec![
        resource("test://static-text", "text/plain"),
        resource("test://static-binary", "image/png"),
        resource("test://watched-resource", "text/plain"),
    ]
}

/// The templates of resources.
pub fn templates() -> Vec<Value> {
    vec![json!({
        "uriTemplate": "test://template/{id}/data",
        "name": "template",
        "description": "Data by id.",
        "mimeType": "application/json"
    })]
}

/// What a resource holds.
pub fn resource(uri: &str) -> Option<Value> {
    let text = |kind: &str, text: String| json!({"uri": uri, "mimeType": kind, "text": text});
    match uri {
        "test://static-text" => {
            Some(text("text/plain", "This is the content of the static text resource.".into()))
        }
        "test://static-binary" => Some(json!({"uri": uri, "mimeType": "image/png", "blob": PNG})),
        "test://watched-resource" => Some(text("text/plain", "Watched resource content.".into())),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data = json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            Some(text("application/json", data.to_string()))
        }
    }
}

pub fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

pub fn image() -> Value {
    json!({"type": "image", "data": PNG, "mimeType": "image/png"})
}

pub fn embedded(uri: &str, kind: &str, text: &str) -> Value {
    json!({"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}})
}
