//! Interceptions, calls, conversations, people and events as tables.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::plain;
use crate::store::queries::{AuditEvent, Ended, Interception, Thread, Tokens, ToolCall, User};

/// A row of a table.
pub(super) trait Listed {
    const HEADER: &'static [&'static str];
    /// What is said where there are none.
    const NONE: &'static str;
    /// What is said below.
    const HINT: &'static str;

    fn cells(&self) -> Vec<String>;
}

/// Writes a table of rows, in the order given.
pub(super) fn render<T: Listed>(out: &mut impl Write, rows: &[T]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "{}", T::NONE);
    }
    write_table(out, T::HEADER, rows.iter().map(Listed::cells), &[])?;
    if !T::HINT.is_empty() {
        writeln!(out, "\n{}", T::HINT)?;
    }
    Ok(())
}

/// Writes columns without lines; those named stand to the right.
pub(super) fn write_table(
    out: &mut impl Write,
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    right: &[usize],
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    table.add_rows(rows);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&place) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

impl Listed for Interception {
    const HEADER: &'static [&'static str] =
        &["Started (UTC)", "Id", "User", "Client", "Provider/model", "Tools", "Tokens", "Outcome", "Time"];
    const NONE: &'static str = "No interceptions are recorded that fit.";
    const HINT: &'static str = "Tools: injected calls that ran + the client's calls. Tokens: in > out.\n\
        An id's end is enough for `toolgate audit show`.";

    fn cells(&self) -> Vec<String> {
        let end = self.end.as_ref();
        vec![
            seconds(self.started_at),
            short_id(&self.id.to_string()),
            who(self.caller_user.as_deref()),
            plain::short(&self.client, 24),
            plain::short(&format!("{}/{}", self.provider, self.model), 40),
            end.map_or(String::new(), |end| format!("{}+{}", end.injected_calls, end.client_calls)),
            end.map_or(String::new(), |end| flow(end.tokens)),
            outcome(self),
            end.and_then(|end| end.total_us).map(duration).unwrap_or_default(),
        ]
    }
}

impl Listed for ToolCall {
    const HEADER: &'static [&'static str] =
        &["Recorded (UTC)", "Interception", "User", "Tool", "Rule", "Result", "Outcome", "Time"];
    const NONE: &'static str = "No tool calls are recorded that fit.";
    const HINT: &'static str = "";

    fn cells(&self) -> Vec<String> {
        let tool = match (&self.server, &self.server_tool) {
            (Some(server), Some(tool)) => format!("{server}/{tool}"),
            _ => format!("{} (the client's)", self.tool),
        };
        let end = self.end.as_ref();
        let bytes = end.and_then(|end| end.result_bytes);
        vec![
            seconds(self.recorded_at),
            short_id(&self.interception_id.to_string()),
            who(self.caller_user.as_deref()),
            plain::short(&tool, 48),
            plain::short(self.rule.as_deref().unwrap_or_default(), 24),
            bytes.map(|bytes| format!("{bytes} B")).unwrap_or_default(),
            plain::line(&self.outcome),
            end.and_then(|end| end.duration_us).map(duration).unwrap_or_default(),
        ]
    }
}

impl Listed for Thread {
    const HEADER: &'static [&'static str] = &[
        "Began (UTC)",
        "Id",
        "User",
        "Client",
        "Provider/model",
        "Requests",
        "Tools",
        "Tokens",
        "Last (UTC)",
    ];
    const NONE: &'static str = "No conversations are recorded that fit.";
    const HINT: &'static str = "`toolgate audit show --thread ID` shows a whole conversation.";

    fn cells(&self) -> Vec<String> {
        let running = if self.running > 0 { format!(" ({} running)", self.running) } else { String::new() };
        vec![
            seconds(self.started_at),
            short_id(&self.id.to_string()),
            who(self.caller_user.as_deref()),
            plain::short(&self.client, 24),
            plain::short(&format!("{}/{}", self.provider, self.model), 40),
            format!("{}{running}", self.interceptions),
            format!("{}+{}", self.injected_calls, self.client_calls),
            flow(self.tokens),
            seconds(self.last_at),
        ]
    }
}

impl Listed for User {
    const HEADER: &'static [&'static str] =
        &["User", "Keys", "Groups", "First (UTC)", "Last (UTC)", "Erased (UTC)"];
    const NONE: &'static str = "Nobody is recorded who fits.";
    const HINT: &'static str = "";

    fn cells(&self) -> Vec<String> {
        let names = |names: &std::collections::BTreeSet<String>| {
            plain::short(&names.iter().map(String::as_str).collect::<Vec<_>>().join(", "), 40)
        };
        vec![
            who(self.user.as_deref()),
            names(&self.keys),
            names(&self.groups),
            seconds(self.first_at),
            self.last_at.map(seconds).unwrap_or_default(),
            self.erased_at.map(seconds).unwrap_or_default(),
        ]
    }
}

impl Listed for AuditEvent {
    const HEADER: &'static [&'static str] = &["At (UTC)", "Where", "User", "Action", "Detail"];
    const NONE: &'static str = "No events are recorded that fit.";
    const HINT: &'static str = "";

    fn cells(&self) -> Vec<String> {
        vec![
            seconds(self.at),
            plain::short(&self.instance, 24),
            self.caller_user.as_deref().map(|user| plain::short(user, 32)).unwrap_or_default(),
            plain::line(&self.action),
            plain::short(&self.detail.to_string(), 80),
        ]
    }
}

/// The user, where that is still known.
pub(super) fn who(user: Option<&str>) -> String {
    user.map_or_else(|| "(not known any more)".to_owned(), |user| plain::short(user, 32))
}

fn flow(tokens: Tokens) -> String {
    format!("{} > {}", tokens.input + tokens.cache_read + tokens.cache_write, tokens.output)
}

/// The last group of an id: it is random, while the first groups are the time.
fn short_id(id: &str) -> String {
    id.rsplit('-').next().unwrap_or(id).to_owned()
}

pub(super) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn outcome(row: &Interception) -> String {
    match row.end {
        Some(Ended { status: Some(status), .. }) => format!("{} {status}", plain::line(&row.outcome)),
        _ => plain::line(&row.outcome),
    }
}

/// Microseconds as a person says them.
pub(super) fn duration(microseconds: u64) -> String {
    let milliseconds = microseconds / 1000;
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}
