use std::io::{self, Write};

use anyhow::bail;
use serde::Serialize;

use super::list::{duration, milliseconds_as_text};
use super::{plain, pretty};
use crate::audit::OUTCOME_UNKNOWN;
use crate::domain::{InterceptionId, Usage};
use crate::store::interceptions::{self, Interception};
use crate::store::model_thought::{self, ModelThought};
use crate::store::prompt_usage::{self, PromptUsage};
use crate::store::token_usage::{self, TokenUsage};
use crate::store::tool_usage::{self, ToolUsage};
use crate::store::{Store, StoreError};

/// The most of one text that is printed, bytes; `--json` prints all.
const SHOWN: usize = 2000;

/// Everything that is recorded about one interception.
#[derive(Debug, Serialize)]
struct Dossier {
    #[serde(flatten)]
    interception: Interception,
    prompt_usage: Vec<PromptUsage>,
    token_usage: Vec<TokenUsage>,
    model_thought: Vec<ModelThought>,
    tool_usage: Vec<ToolUsage>,
}

/// Writes one interception as a person reads it: who asked, the prompt, each round, the end.
pub async fn render_show(out: &mut impl Write, store: &Store, id: InterceptionId) -> anyhow::Result<()> {
    let dossier = read(store, id).await?;
    header(out, &dossier)?;
    for prompt in &dossier.prompt_usage {
        writeln!(out, "\nPrompt")?;
        text(out, "  ", &prompt.prompt)?;
    }
    for number in dossier.rounds() {
        round(out, &dossier, number)?;
    }
    footer(out, &dossier)?;
    Ok(())
}

pub(super) async fn write_json(
    out: &mut impl Write,
    store: &Store,
    id: InterceptionId,
) -> anyhow::Result<()> {
    let dossier = read(store, id).await?;
    writeln!(out, "{}", plain::json(&serde_json::to_string_pretty(&dossier)?))?;
    Ok(())
}

async fn read(store: &Store, id: InterceptionId) -> anyhow::Result<Dossier> {
    let Some(interception) = interceptions::get(store, id).await.map_err(StoreError::from)? else {
        bail!("there is no interception {id}");
    };
    Ok(Dossier {
        interception,
        prompt_usage: prompt_usage::of(store, id).await?,
        token_usage: token_usage::of(store, id).await?,
        model_thought: model_thought::of(store, id).await?,
        tool_usage: tool_usage::of(store, id).await?,
    })
}

impl Dossier {
    fn rounds(&self) -> Vec<u32> {
        let tokens = self.token_usage.iter().map(|row| row.round);
        let thoughts = self.model_thought.iter().map(|row| row.round);
        let tools = self.tool_usage.iter().map(|row| row.round);
        let mut rounds: Vec<u32> = tokens.chain(thoughts).chain(tools).collect();
        rounds.sort_unstable();
        rounds.dedup();
        rounds
    }

    fn total(&self) -> Usage {
        let mut total = Usage::default();
        for row in &self.token_usage {
            total += row.usage;
        }
        total
    }
}

fn header(out: &mut impl Write, dossier: &Dossier) -> io::Result<()> {
    let start = &dossier.interception.start;
    writeln!(out, "Interception {}", start.id)?;
    field(out, "started", &format!("{:.6}", start.started_at))?;
    field(out, "user", &start.caller_user)?;
    field(out, "key", &start.caller_key)?;
    if !start.caller_groups.is_empty() {
        field(out, "groups", &start.caller_groups.join(", "))?;
    }
    field(out, "client", &start.client)?;
    if let Some(session) = &start.client_session {
        field(out, "session", session)?;
    }
    field(out, "provider", &start.provider)?;
    field(out, "dialect", &start.dialect)?;
    field(out, "model", &start.model)?;
    field(out, "injection", &start.injection)?;
    for (name, list) in
        [("left out", &start.left_out), ("hosted", &start.hosted), ("continuity", &start.continuity)]
    {
        if !list.is_empty() {
            field(out, name, &list.join(", "))?;
        }
    }
    if let Some(earlier) = &start.repeats {
        field(out, "repeats", earlier)?;
    }
    Ok(())
}

fn round(out: &mut impl Write, dossier: &Dossier, number: u32) -> io::Result<()> {
    writeln!(out, "\nRound {number}")?;
    for thought in dossier.model_thought.iter().filter(|row| row.round == number) {
        writeln!(out, "  thought")?;
        text(out, "    ", &thought.thought)?;
    }
    for call in dossier.tool_usage.iter().filter(|row| row.round == number) {
        tool_call(out, call)?;
    }
    for row in dossier.token_usage.iter().filter(|row| row.round == number) {
        writeln!(out, "  answer {} from {}", plain::line(&row.response_id), plain::line(&row.model))?;
        writeln!(out, "    {}", tokens(row.usage))?;
    }
    Ok(())
}

fn tool_call(out: &mut impl Write, call: &ToolUsage) -> io::Result<()> {
    let whose = match call.via.as_deref() {
        Some("search") => "found by search",
        Some("mcp") => "over MCP",
        _ if call.injected => "injected",
        _ => "the client's",
    };
    writeln!(out, "  tool call {} ({whose}, {})", plain::line(&call.tool), plain::line(&call.call_id))?;
    if let Some(server) = &call.server {
        let tool = call.server_tool.as_deref().map(|tool| format!("/{tool}")).unwrap_or_default();
        let url = call.server_url.as_deref().map(|url| format!(" at {url}")).unwrap_or_default();
        call_field(out, "server", &format!("{server}{tool}{url}"))?;
    }
    if let Some(rule) = &call.rule {
        call_field(out, "rule", rule)?;
    }
    call_text(out, "arguments", &call.arguments)?;
    let Some(outcome) = &call.outcome else {
        return call_field(out, "outcome", "none yet");
    };
    if outcome.outcome == OUTCOME_UNKNOWN {
        return writeln!(out, "    outcome unknown: the gateway lost the call while it ran");
    }
    let took = outcome.duration_ms.map(milliseconds_as_text);
    let took = took.map(|took| format!(" after {took}")).unwrap_or_default();
    call_field(out, "outcome", &format!("{}{took}", outcome.outcome.replace('_', " ")))?;
    if let Some(result) = &outcome.result {
        let bytes = outcome.result_bytes.unwrap_or(result.len() as u64);
        let truncated = if outcome.truncated { ", the model got a part" } else { "" };
        call_text(out, &format!("result ({bytes} bytes{truncated})"), result)?;
    }
    Ok(())
}

fn footer(out: &mut impl Write, dossier: &Dossier) -> io::Result<()> {
    let Some(end) = &dossier.interception.end else {
        return writeln!(out, "\nStill running");
    };
    writeln!(out, "\nEnd")?;
    field(out, "ended", &format!("{:.6}", end.ended_at))?;
    if let Some(duration) = duration(dossier.interception.start.started_at, end) {
        field(out, "took", &duration)?;
    }
    field(out, "outcome", &end.outcome)?;
    if let Some(status) = end.status {
        field(out, "status", &status.to_string())?;
    }
    if let Some(reason) = &end.stop_reason {
        field(out, "stop", reason)?;
    }
    if let Some(error) = &end.error {
        field(out, "error", error)?;
    }
    field(out, "tokens", &tokens(dossier.total()))
}

fn tokens(usage: Usage) -> String {
    let mut parts = vec![format!("{} in", usage.input), format!("{} out", usage.output)];
    for (tokens, class) in [
        (usage.cache_read, "read from cache"),
        (usage.cache_write_short, "written to short cache"),
        (usage.cache_write_long, "written to long cache"),
        (usage.reasoning, "of the output reasoning"),
    ] {
        if tokens > 0 {
            parts.push(format!("{tokens} {class}"));
        }
    }
    parts.join(", ")
}

fn field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {name:<10} {}", plain::line(value))
}

fn call_field(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "    {name:<10} {}", plain::line(value))
}

fn call_text(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "    {name}")?;
    match pretty::json(value) {
        Some(json) => text(out, "      ", &json),
        None => text(out, "      ", value),
    }
}

/// Many lines, indented, at most [`SHOWN`] bytes.
fn text(out: &mut impl Write, indent: &str, value: &str) -> io::Result<()> {
    let shown = &value[..value.floor_char_boundary(SHOWN)];
    for line in plain::lines(shown).lines() {
        writeln!(out, "{}", format!("{indent}{line}").trim_end())?;
    }
    if shown.len() < value.len() {
        writeln!(out, "{indent}… {} more bytes: see --json", value.len() - shown.len())?;
    }
    Ok(())
}
