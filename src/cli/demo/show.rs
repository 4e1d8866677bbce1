use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::{Context, bail};
use bytes::BytesMut;
use serde_json::{Value, json};

use crate::audit::Reader;
use crate::audit::read::Whole;
use crate::cli::audit::render_show;
use crate::dialect::sse::Framer;
use crate::domain::InterceptionId;

/// A frame of the demo model's is far smaller than this, bytes.
const MAX_FRAME: usize = 1024 * 1024;

/// Sends one request through the gateway, and prints the conversation while it streams and its records.
pub async fn conversation(
    gateway: SocketAddr,
    model: SocketAddr,
    prompt: &str,
    reader: &Reader,
) -> anyhow::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "Toolgate demo: everything runs on this machine, and the model is a script, not an LLM.\n"
    )?;
    writeln!(out, "  demo model      http://{model}   (chat, responses and messages)")?;
    writeln!(out, "  MCP server      example, a child process on stdio (`toolgate example-server`)")?;
    writeln!(out, "  gateway         http://{gateway}\n")?;
    writeln!(out, "POST http://{gateway}/v1/chat/completions, with no tools in it\n")?;
    writeln!(out, "user       {prompt}")?;
    write!(out, "assistant  ")?;
    let interception = stream(gateway, prompt, &mut out).await?;
    writeln!(out, "\n\nThe client saw one message. What happened, from the audit:\n")?;
    let id = interception.parse().context("the gateway told no interception id")?;
    let mut text = Vec::new();
    render_show(&mut text, &ended(reader, id).await?)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    writeln!(out, "{}\n", text.trim_end())?;
    if !text.contains("example__") {
        bail!("no tool was called: ask for something that a tool is named after");
    }
    Ok(())
}

/// Prints a streamed answer as it arrives; gives the id of the interception.
async fn stream(gateway: SocketAddr, prompt: &str, out: &mut impl Write) -> anyhow::Result<String> {
    let body = json!({"model": "demo", "stream": true, "messages": [{"role": "user", "content": prompt}]});
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client.post(format!("http://{gateway}/v1/chat/completions")).json(&body);
    let mut response = request.send().await?.error_for_status()?;
    let id = response
        .headers()
        .get("x-toolgate-interception")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let mut framer = Framer::new(MAX_FRAME);
    while let Some(bytes) = response.chunk().await? {
        framer.push(&bytes);
        while let Some(frame) = framer.next_frame()? {
            let chunk: Value =
                frame.data().and_then(|data| serde_json::from_str(&data).ok()).unwrap_or_default();
            if let Some(text) = chunk["choices"][0]["delta"]["content"].as_str() {
                write!(out, "{}", text.replace('\n', "\n           "))?;
                out.flush()?;
            }
        }
    }
    Ok(id)
}

/// Waits until the end of an interception is recorded, which comes just after its last byte.
async fn ended(reader: &Reader, id: InterceptionId) -> anyhow::Result<Whole> {
    for _ in 0..200 {
        let whole = reader.whole(id).await?;
        if let Some(whole) = whole.filter(|whole| whole.interception.end.is_some()) {
            return Ok(whole);
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    bail!("the end of the interception was not recorded")
}

/// Prints lines to paste.
pub fn invitation(gateway: SocketAddr) -> io::Result<()> {
    let mut out = io::stdout();
    let mut text = BytesMut::new();
    text.extend_from_slice(format!(r#"Try it, from another terminal (Ctrl-C here ends the demo):

curl http://{gateway}/v1/messages -H 'content-type: application/json' \
  -d '{{"model":"demo","max_tokens":500,"stream":true,"messages":[{{"role":"user","content":"Convert 10 km to miles"}}]}}'

python  openai.OpenAI(base_url="http://{gateway}/openai/v1", api_key="none")
        anthropic.Anthropic(base_url="http://{gateway}/anthropic", api_key="none")
node    new OpenAI({{ baseURL: "http://{gateway}/openai/v1", apiKey: "none" }})
        new Anthropic({{ baseURL: "http://{gateway}/anthropic", apiKey: "none" }})

Claude Code    ANTHROPIC_BASE_URL=http://{gateway}/anthropic ANTHROPIC_API_KEY=none claude
MCP Inspector  npx @modelcontextprotocol/inspector toolgate example-server    (the example server itself)
"#).as_bytes());
    out.write_all(&text)?;
    out.flush()
}
