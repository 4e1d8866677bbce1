//! The tools that every era has; what asks the client on the way does so as 2025-11-25 does.

use std::time::Duration;

use rmcp::model::{
    ClientCapabilities, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam,
    ServerRequest,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::content::{WAV, embedded, image, text};
use super::handler::{Change, ConformanceServer, typed};

const STEP: Duration = Duration::from_millis(50);

type Context = RequestContext<RoleServer>;

/// The result as JSON; `None` for a tool that is not one of these.
pub async fn call(
    server: &ConformanceServer,
    tool: &str,
    arguments: &Value,
    context: &Context,
) -> Result<Option<Value>, ErrorData> {
    let content = match tool {
        "test_simple_text" => vec![text("This is a simple text response for testing.")],
        "test_image_content" => vec![image()],
        "test_audio_content" => vec![json!({"type": "audio", "data": WAV, "mimeType": "audio/wav"})],
        "test_embedded_resource" => {
            vec![embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]
        }
        "test_multiple_content_types" => vec![
            text("Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ],
        "test_error_handling" => {
            let said = text("This tool intentionally returns an error for testing");
            return Ok(Some(json!({"content": [said], "isError": true})));
        }
        "json_schema_2020_12_tool" | "test_custom_header" | "test_dynamic_tool" => {
            vec![text(&arguments.to_string())]
        }
        "test_reconnection" => vec![text("The stream was not cut.")],
        "test_tool_with_progress" => progress(context).await?,
        "test_tool_with_logging" | "test_logging_tool" => log(context).await?,
        "test_trigger_tool_change" => changed(server, Change::Tools),
        "test_trigger_prompt_change" => changed(server, Change::Prompts),
        "test_missing_capability" => missing_capability(context)?,
        "test_wait_for_cancellation" => {
            context.ct.cancelled().await;
            vec![text("cancelled")]
        }
        "test_sampling" => sample(arguments, context).await?,
        "test_elicitation" => elicit(context, "User response", elicitation(arguments)).await?,
        "test_elicitation_sep1034_defaults" => elicit(context, "Elicitation completed", defaults()).await?,
        "test_elicitation_sep1330_enums" => elicit(context, "Elicitation completed", enums()).await?,
        _ => return Ok(None),
    };
    Ok(Some(json!({"content": content})))
}

fn changed(server: &ConformanceServer, change: Change) -> Vec<Value> {
    server.change(change);
    vec![text("changed")]
}

async fn progress(context: &Context) -> Result<Vec<Value>, ErrorData> {
    let token = context.meta.get_progress_token();
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = &token {
            let step = ProgressNotificationParam::new(token.clone(), done).with_total(100.0);
            context.peer.notify_progress(step).await.map_err(internal)?;
        }
        sleep(STEP).await;
    }
    Ok(vec![text("done")])
}

async fn log(context: &Context) -> Result<Vec<Value>, ErrorData> {
    let is_stateless = context.meta.protocol_version().is_some();
    let wanted = !is_stateless || context.meta.log_level().is_some();
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        if wanted {
            let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, line.into());
            context.peer.notify_logging_message(message).await.map_err(internal)?;
        }
        sleep(STEP).await;
    }
    Ok(vec![text("logged")])
}

fn missing_capability(context: &Context) -> Result<Vec<Value>, ErrorData> {
    let client = serde_json::to_value(context.client_capabilities()).unwrap_or_default();
    if client.get("sampling").is_none() {
        let needed: ClientCapabilities = typed(json!({"sampling": {}}))?;
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    Ok(vec![text("The client can sample.")])
}

async fn sample(arguments: &Value, context: &Context) -> Result<Vec<Value>, ErrorData> {
    let prompt = arguments["prompt"].as_str().unwrap_or_default();
    let params = json!({"messages": [{"role": "user", "content": text(prompt)}], "maxTokens": 100});
    let response = ask(context, "sampling/createMessage", params).await?;
    Ok(vec![text(&format!("LLM response: {}", response["content"]["text"].as_str().unwrap_or_default()))])
}

async fn elicit(context: &Context, said: &str, params: Value) -> Result<Vec<Value>, ErrorData> {
    let response = ask(context, "elicitation/create", params).await?;
    let action = response["action"].as_str().unwrap_or_default();
    Ok(vec![text(&format!("{said}: action={action}, content={}", response["content"]))])
}

/// Asks the client on the stream of its own request.
async fn ask(context: &Context, method: &str, params: Value) -> Result<Value, ErrorData> {
    let request: ServerRequest = typed(json!({"method": method, "params": params}))?;
    let response = context.peer.send_request(request).await.map_err(internal)?;
    serde_json::to_value(response).map_err(internal)
}

fn internal(error: impl std::fmt::Display) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

fn form(message: &str, properties: Value, required: &[&str]) -> Value {
    let schema = json!({"type": "object", "properties": properties, "required": required});
    json!({"message": message, "requestedSchema": schema})
}

fn elicitation(arguments: &Value) -> Value {
    let properties = json!({
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"}
    });
    form(arguments["message"].as_str().unwrap_or_default(), properties, &["username", "email"])
}

fn defaults() -> Value {
    let properties = json!({
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": true}
    });
    form("Please check these", properties, &[])
}

fn enums() -> Value {
    let titled = |kind: &str| {
        json!([
            {"const": "value1", "title": format!("First {kind}")},
            {"const": "value2", "title": format!("Second {kind}")},
            {"const": "value3", "title": format!("Third {kind}")}
        ])
    };
    let plain = json!(["option1", "option2", "option3"]);
    let properties = json!({
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": titled("Option")},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"]
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled("Choice")}}
    });
    form("Please choose", properties, &[])
}
