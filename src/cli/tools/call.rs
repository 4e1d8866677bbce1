//! `toolgate tools call NAME [JSON]`: one call through a running gateway's MCP endpoint.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context, bail};
use rmcp::ServiceExt as _;
use rmcp::model::{CallToolRequest, CallToolRequestParams, ClientRequest, ServerResult};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::streamable_http_client::StreamableHttpClientTransportConfig;
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};

use crate::cli::remote::{Remote, RemoteArgs};
use crate::cli::{print, print_json};
use crate::domain::visible;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The tool, by its name as models see it
    name: String,
    /// Its arguments as a JSON object, or `-` to read them from standard input; none by default
    #[arg(value_name = "JSON")]
    arguments: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Calls the tool; exits with 1 where its result is an error.
pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let arguments = arguments(args.arguments.as_deref())?;
    let remote = Remote::new(&args.remote)?;
    let result = call(&remote, &args.name, arguments).await?;
    if args.json {
        print_json(&result)?;
    } else {
        print(&readable(&result))?;
    }
    Ok(if result["isError"] == true { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn arguments(written: Option<&str>) -> anyhow::Result<Map<String, Value>> {
    let text = match written {
        None => return Ok(Map::new()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            text
        }
        Some(text) => text.to_owned(),
    };
    serde_json::from_str(&text)
        .context("the arguments must be a JSON object, such as '{\"path\": \"a.txt\"}'")
}

async fn call(remote: &Remote, tool: &str, arguments: Map<String, Value>) -> anyhow::Result<Value> {
    let mut config = StreamableHttpClientTransportConfig::with_uri(format!("{}/mcp", remote.url));
    if let Some(key) = &remote.key {
        config = config.auth_header(key.expose_secret());
    }
    let transport = StreamableHttpClientTransport::with_client(remote.http.clone(), config);
    let client = ().serve(transport).await;
    let client = client.with_context(|| format!("no MCP endpoint answers at {}/mcp", remote.url))?;
    let params = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(params));
    let answer = client.send_request(request).await;
    let closed = client.cancel().await;
    let result = match answer {
        Ok(ServerResult::CustomResult(custom)) => custom.0,
        Ok(result) => serde_json::to_value(result)?,
        Err(rmcp::ServiceError::McpError(error)) => bail!("{} ({})", error.message, error.code.0),
        Err(error) => return Err(error).context("the call failed"),
    };
    closed.context("the connection did not close")?;
    Ok(result)
}

/// The texts of a result as they are, and all else as JSON.
fn readable(result: &Value) -> String {
    let mut out = String::new();
    for block in result["content"].as_array().into_iter().flatten() {
        match (block["type"].as_str(), block["text"].as_str()) {
            (Some("text"), Some(text)) => out.push_str(&visible(text)),
            _ => out.push_str(&visible(&block.to_string())),
        }
        out.push('\n');
    }
    if out.is_empty() && !result["structuredContent"].is_null() {
        out = format!("{:#}\n", result["structuredContent"]);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_are_an_object_or_nothing() {
        assert_eq!(arguments(None).unwrap(), Map::new());
        assert_eq!(arguments(Some("{\"a\":1}")).unwrap()["a"], 1);
        for wrong in ["[1]", "a=1", ""] {
            assert!(format!("{:#}", arguments(Some(wrong)).unwrap_err()).contains("JSON object"));
        }
    }

    #[test]
    fn texts_are_printed_as_they_are() {
        let result = json!({"content": [{"type": "text", "text": "a\nb\u{1b}[2J"}, {"type": "image", "data": "AA=="}]});
        assert_eq!(readable(&result), "a\nb\\u{1b}[2J\n{\"type\":\"image\",\"data\":\"AA==\"}\n");
        assert_eq!(readable(&json!({"content": [], "structuredContent": {"a": 1}})), "{\n  \"a\": 1\n}\n");
    }
}
