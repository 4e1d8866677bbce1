//! Tools and prompts of 2026-07-28 that need something from the client first: they answer with what they need,
//! and are asked again with it.

use rmcp::ErrorData;
use rmcp::model::ClientCapabilities;
use serde_json::{Map, Value, json};

use super::content;

/// What the client sent back.
pub struct Given<'a> {
    pub responses: Option<&'a Map<String, Value>>,
    pub state: Option<&'a str>,
}

/// The result of one of these tools, as JSON: what it needs, or its end.
pub fn answer(tool: &str, given: &Given<'_>, client: &ClientCapabilities) -> Result<Value, ErrorData> {
    let step = |key: &str| given.responses.and_then(|responses| responses.get(key));
    match tool {
        "test_input_required_result_elicitation" => Ok(match accepted(step("user_name")) {
            Some(content) => complete(&format!("Hello, {}!", content["name"].as_str().unwrap_or_default())),
            None => need(json!({"user_name": ask("What is your name?", "name", "string")}), None),
        }),
        "test_input_required_result_sampling" => {
            Ok(match step("capital_question").filter(|it| it.is_object()) {
                Some(response) => complete(&response["content"].to_string()),
                None => {
                    need(json!({"capital_question": sample("What is the capital of France?", 100)}), None)
                }
            })
        }
        "test_input_required_result_list_roots" => {
            Ok(match step("client_roots").filter(|it| it.is_object()) {
                Some(response) => complete(&format!("Roots: {}", response["roots"])),
                None => need(json!({"client_roots": roots()}), None),
            })
        }
        "test_input_required_result_request_state" => with_state(given, "confirm", "state", |responses| {
            (!responses).then(|| json!({"confirm": ask("Please confirm", "ok", "boolean")}))
        }),
        "test_input_required_result_tampered_state" => with_state(given, "confirm", "sealed", |responses| {
            (!responses).then(|| json!({"confirm": ask("Please confirm", "ok", "boolean")}))
        }),
        "test_input_required_result_multiple_inputs" => with_state(given, "user_name", "many", |responses| {
            (!responses).then(|| {
                json!({
                    "user_name": ask("What is your name?", "name", "string"),
                    "greeting": sample("Generate a greeting", 50),
                    "client_roots": roots()
                })
            })
        }),
        "test_input_required_result_multi_round" => multi_round(given),
        "test_input_required_result_capabilities" => Ok(only_declared(client)),
        "test_streaming_elicitation" => {
            Ok(need(json!({"user_name": ask("What is your name?", "name", "string")}), None))
        }
        _ => Err(ErrorData::invalid_params(format!("Unknown tool: {tool}"), None)),
    }
}

/// What the prompt needs; `None` where it has it.
pub fn for_prompt(given: &Given<'_>) -> Result<Value, Value> {
    let response = given.responses.and_then(|responses| responses.get("user_context"));
    match accepted(response) {
        Some(content) => {
            let text = format!("Context: {}", content["context"].as_str().unwrap_or_default());
            Ok(json!([{"role": "user", "content": content::text(&text)}]))
        }
        None => Err(need(
            json!({"user_context": ask("What context should the prompt use?", "context", "string")}),
            None,
        )),
    }
}

fn accepted(response: Option<&Value>) -> Option<&Value> {
    response.filter(|it| it["action"] == "accept").map(|it| &it["content"])
}

fn with_state(
    given: &Given<'_>,
    key: &str,
    purpose: &str,
    still_needed: impl Fn(bool) -> Option<Value>,
) -> Result<Value, ErrorData> {
    let responded = given.responses.is_some_and(|responses| responses.contains_key(key));
    if let Some(state) = given.state
        && state != sealed(purpose)
    {
        return Err(ErrorData::invalid_params("the request state is not one of this server's", None));
    }
    match still_needed(responded && given.state.is_some()) {
        Some(inputs) => Ok(need(inputs, Some(&sealed(purpose)))),
        None => Ok(complete("state-ok")),
    }
}

fn multi_round(given: &Given<'_>) -> Result<Value, ErrorData> {
    let has = |key: &str| given.responses.is_some_and(|responses| responses.contains_key(key));
    match given.state {
        Some(state) if state == sealed("round-2") && has("step2") => Ok(complete("All rounds are done.")),
        Some(state) if state == sealed("round-1") && has("step1") => Ok(need(
            json!({"step2": ask("Step 2: What is your favorite color?", "color", "string")}),
            Some(&sealed("round-2")),
        )),
        Some(state) if state != sealed("round-1") && state != sealed("round-2") => {
            Err(ErrorData::invalid_params("the request state is not one of this server's", None))
        }
        _ => Ok(need(
            json!({"step1": ask("Step 1: What is your name?", "name", "string")}),
            Some(&sealed("round-1")),
        )),
    }
}

fn only_declared(client: &ClientCapabilities) -> Value {
    let mut inputs = Map::new();
    if client.elicitation.is_some() {
        inputs.insert("user_name".into(), ask("What is your name?", "name", "string"));
    }
    if serde_json::to_value(client).is_ok_and(|client| client.get("sampling").is_some()) {
        inputs.insert("greeting".into(), sample("Generate a greeting", 50));
    }
    if inputs.is_empty() { complete("Nothing can be asked.") } else { need(Value::Object(inputs), None) }
}

/// A state that a client cannot make: what it is for, and a keyed digest of that.
fn sealed(purpose: &str) -> String {
    let key =
        blake3::derive_key("toolgate conformance server: request state", b"no secret, for this is a fixture");
    format!("{purpose}.{}", blake3::keyed_hash(&key, purpose.as_bytes()).to_hex())
}

fn need(inputs: Value, state: Option<&str>) -> Value {
    let mut result = json!({"resultType": "input_required", "inputRequests": inputs});
    if let Some(state) = state {
        result["requestState"] = state.into();
    }
    result
}

fn complete(text: &str) -> Value {
    json!({"content": [content::text(text)]})
}

fn ask(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({"type": "object", "properties": {field: {"type": kind}}, "required": [field]});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn sample(prompt: &str, max_tokens: u32) -> Value {
    let message = json!({"role": "user", "content": content::text(prompt)});
    json!({"method": "sampling/createMessage", "params": {"messages": [message], "maxTokens": max_tokens}})
}

fn roots() -> Value {
    json!({"method": "roots/list", "params": {}})
}
