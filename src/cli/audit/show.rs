//! One interception, or one conversation, as a person reads it: who asked, what was said, each round, the end.

use std::io::{self, Write};

use super::list::duration;
use super::{plain, pretty};
use crate::audit::read::{Call, Round, Text, Whole};
use crate::audit::{OUTCOME_UNKNOWN, Role};
use crate::store::queries::{RUNNING, Tokens};

/// The most of one text that is printed, bytes; `--json` prints all.
const SHOWN: usize = 2000;
/// The same of a system prompt, which seldom is what one looks for.
const SHOWN_OF_SYSTEM: usize = 200;

/// Writes one interception.
pub fn render(out: &mut impl Write, whole: &Whole) -> io::Result<()> {
    header(out, whole)?;
    body(out, whole)
}

/// Writes those of one conversation: of the second and later ones only what is new.
pub(super) fn render_conversation(out: &mut impl Write, wholes: &[Whole], first: bool) -> io::Result<()> {
    for (place, whole) in wholes.iter().enumerate() {
        if first && place == 0 {
            header(out, whole)?;
        } else {
            let row = &whole.interception;
            writeln!(out, "\n{:-<72}", "")?;
            writeln!(out, "Interception {} at {:.0}, {}", row.id, row.started_at, plain::line(&row.model))?;
        }
        body(out, whole)?;
    }
    Ok(())
}

fn header(out: &mut impl Write, whole: &Whole) -> io::Result<()> {
    let row = &whole.interception;
    writeln!(out, "Interception {}", row.id)?;
    field(out, "started", &format!("{:.6}", row.started_at))?;
    field(out, "user", row.caller_user.as_deref().unwrap_or("(not known any more)"))?;
    let version = row.client_version.as_deref().map(|version| format!(" {version}")).unwrap_or_default();
    let agent = row.agent.as_ref().map(|agent| match &row.parent_agent {
        Some(parent) => format!("{agent} (for {parent})"),
        None => agent.clone(),
    });
    for (name, value) in [
        ("key", row.caller_key.clone()),
        ("groups", some(&row.caller_groups)),
        ("client", Some(format!("{}{version}", row.client))),
        ("session", row.client_session.clone()),
        ("agent", agent),
        ("provider", Some(row.provider.clone())),
        ("dialect", Some(row.dialect.clone())),
        ("model", Some(row.model.clone())),
        ("thread", (row.thread != row.id).then(|| row.thread.to_string())),
        ("goes on", row.parent.map(|parent| format!("from {parent}"))),
        ("repeats", row.repeats.map(|earlier| earlier.to_string())),
        ("injection", Some(row.injection.clone())),
        ("left out", some(&row.left_out)),
        ("hosted", some(&row.hosted)),
        ("continuity", some(&row.continuity)),
        ("gateway", Some(format!("{} run {}", row.instance, row.epoch))),
    ] {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            field(out, name, &value)?;
        }
    }
    Ok(())
}

fn some(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

fn body(out: &mut impl Write, whole: &Whole) -> io::Result<()> {
    for prompt in &whole.prompt_usage {
        let (name, most) = match prompt.role {
            Role::System => ("System", SHOWN_OF_SYSTEM),
            Role::User => ("User", SHOWN),
        };
        writeln!(out, "\n{name}")?;
        text(out, "  ", &prompt.prompt, most, std::borrow::ToOwned::to_owned)?;
    }
    for number in rounds(whole) {
        round(out, whole, number)?;
    }
    footer(out, whole)
}

fn rounds(whole: &Whole) -> Vec<u32> {
    let tokens = whole.token_usage.iter().map(|row| row.round);
    let thoughts = whole.model_thought.iter().map(|row| row.round);
    let tools = whole.tool_usage.iter().map(|row| row.call.round);
    let mut rounds: Vec<u32> = tokens.chain(thoughts).chain(tools).collect();
    rounds.sort_unstable();
    rounds.dedup();
    rounds
}

fn round(out: &mut impl Write, whole: &Whole, number: u32) -> io::Result<()> {
    writeln!(out, "\nRound {number}")?;
    for thought in whole.model_thought.iter().filter(|row| row.round == number) {
        writeln!(out, "  thought")?;
        text(out, "    ", &thought.thought, SHOWN, std::borrow::ToOwned::to_owned)?;
    }
    for answer in whole.token_usage.iter().filter(|row| row.round == number) {
        answered(out, answer)?;
    }
    whole.tool_usage.iter().filter(|row| row.call.round == number).try_for_each(|call| tool_call(out, call))
}

fn answered(out: &mut impl Write, answer: &Round) -> io::Result<()> {
    let status = answer.status.filter(|status| *status != 200).map(|status| format!(", status {status}"));
    let took = answer.duration_us.map(|took| format!(" in {}", duration(took))).unwrap_or_default();
    let (id, model) = (plain::line(&answer.response_id), plain::line(&answer.model));
    writeln!(out, "  answer {id} from {model}{took}{}", status.unwrap_or_default())?;
    if answer.answer.bytes > 0 {
        text(out, "    ", &answer.answer, SHOWN, std::borrow::ToOwned::to_owned)?;
    }
    writeln!(out, "    {}", tokens(answer.tokens))
}

fn tool_call(out: &mut impl Write, call: &Call) -> io::Result<()> {
    let row = &call.call;
    let whose = match row.via.as_deref() {
        Some("search") => "found by search",
        Some("mcp") => "over MCP",
        _ if row.injected => "injected",
        _ => "the client's",
    };
    writeln!(out, "  tool call {} ({whose}, {})", plain::line(&row.tool), plain::line(&row.call_id))?;
    if let Some(server) = &row.server {
        let tool = row.server_tool.as_deref().map(|tool| format!("/{tool}")).unwrap_or_default();
        let url = row.server_url.as_deref().map(|url| format!(" at {url}")).unwrap_or_default();
        call_field(out, "server", &format!("{server}{tool}{url}"))?;
    }
    if let Some(rule) = &row.rule {
        call_field(out, "rule", rule)?;
    }
    if let Some(approver) = &row.approver {
        call_field(out, "approver", approver)?;
    }
    writeln!(out, "    arguments")?;
    text(out, "      ", &call.arguments, SHOWN, indented_json)?;
    let Some(end) = &row.end else {
        return call_field(out, "outcome", RUNNING);
    };
    if row.outcome == OUTCOME_UNKNOWN {
        return writeln!(out, "    outcome unknown: the gateway lost the call while it ran");
    }
    let took = end.duration_us.map(|took| format!(" after {}", duration(took))).unwrap_or_default();
    call_field(out, "outcome", &format!("{}{took}", row.outcome.replace('_', " ")))?;
    if let Some(result) = &call.result {
        let truncated = if end.truncated { ", the model got a part" } else { "" };
        writeln!(out, "    result ({} bytes{truncated})", result.bytes)?;
        text(out, "      ", result, SHOWN, indented_json)?;
    }
    Ok(())
}

fn footer(out: &mut impl Write, whole: &Whole) -> io::Result<()> {
    let row = &whole.interception;
    let Some(end) = &row.end else {
        return writeln!(out, "\nStill running");
    };
    writeln!(out, "\nEnd")?;
    field(out, "ended", &format!("{:.6}", end.ended_at))?;
    if let (Some(total), Some(own)) = (end.total_us, end.own_us()) {
        let waits = [("provider", end.provider_us), ("tools", end.tools_us), ("client", end.client_us)];
        let parts = [waits[0], waits[1], waits[2], ("gateway", own)];
        let parts = parts.map(|(name, part)| format!("{name} {}", duration(part))).join(", ");
        field(out, "took", &format!("{}: {parts}", duration(total)))?;
    }
    if let Some(first_byte) = end.first_byte_us {
        field(out, "first byte", &format!("after {}", duration(first_byte)))?;
    }
    field(out, "outcome", &row.outcome)?;
    for (name, value) in [
        ("status", end.status.map(|status| status.to_string())),
        ("stop", end.stop_reason.clone()),
        ("error", end.error.clone()),
    ] {
        if let Some(value) = value {
            field(out, name, &value)?;
        }
    }
    field(out, "tokens", &tokens(end.tokens))
}

fn tokens(tokens: Tokens) -> String {
    let mut parts = vec![format!("{} in", tokens.input), format!("{} out", tokens.output)];
    for (tokens, class) in [
        (tokens.cache_read, "read from cache"),
        (tokens.cache_write, "written to cache"),
        (tokens.reasoning, "of the output reasoning"),
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

fn indented_json(text: &str) -> String {
    pretty::json(text).unwrap_or_else(|| text.to_owned())
}

/// Many lines, indented, at most so many bytes; or why there are none.
fn text(
    out: &mut impl Write,
    indent: &str,
    text: &Text,
    most: usize,
    form: impl Fn(&str) -> String,
) -> io::Result<()> {
    let Some(kept) = &text.text else {
        let why = text.state.why_missing().unwrap_or("not there");
        return writeln!(out, "{indent}({why}; {} bytes)", text.bytes);
    };
    let formed = form(kept);
    let shown = &formed[..formed.floor_char_boundary(most)];
    for line in plain::lines(shown).lines() {
        writeln!(out, "{}", format!("{indent}{line}").trim_end())?;
    }
    if shown.len() < formed.len() {
        writeln!(out, "{indent}… {} more bytes: see --json", formed.len() - shown.len())?;
    } else if (kept.len() as u64) < text.bytes {
        writeln!(out, "{indent}… {} more bytes are not kept", text.bytes - kept.len() as u64)?;
    }
    Ok(())
}
