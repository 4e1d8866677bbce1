use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::plain;
use crate::store::interceptions::{End, Summary};

const HEADER: [&str; 9] =
    ["Started (UTC)", "Id", "User", "Client", "Provider/model", "Tools", "Tokens", "Outcome", "Time"];

/// Writes a table of interceptions, in the order given.
pub fn render_list(out: &mut impl Write, rows: &[Summary]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "No interceptions are recorded.");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEADER);
    for row in rows {
        table.add_row(cells(row));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    if let Some(time) = table.column_mut(HEADER.len() - 1) {
        time.set_cell_alignment(CellAlignment::Right);
    }
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out)?;
    writeln!(out, "Tools: injected calls that ran + the client's calls. Tokens: in > out.")?;
    writeln!(out, "An id's end is enough for `toolgate audit show`.")
}

pub(super) fn write_json(out: &mut impl Write, rows: &[Summary]) -> anyhow::Result<()> {
    writeln!(out, "{}", plain::json(&serde_json::to_string_pretty(rows)?))?;
    Ok(())
}

fn cells(row: &Summary) -> [String; 9] {
    let (start, end) = (&row.interception.start, row.interception.end.as_ref());
    [
        seconds(start.started_at),
        short_id(&start.id.to_string()),
        plain::short(&start.caller_user, 32),
        plain::short(&start.client, 24),
        plain::short(&format!("{}/{}", start.provider, start.model), 40),
        format!("{}+{}", row.injected_calls, row.client_calls),
        format!("{} > {}", row.input_tokens, row.output_tokens),
        outcome(end),
        end.and_then(|end| duration(start.started_at, end)).unwrap_or_default(),
    ]
}

/// The last group of an id: it is random, while the first groups are the time.
fn short_id(id: &str) -> String {
    id.rsplit('-').next().unwrap_or(id).to_owned()
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn outcome(end: Option<&End>) -> String {
    match end {
        None => "running".to_owned(),
        Some(End { outcome, status: None, .. }) => plain::line(outcome),
        Some(End { outcome, status: Some(status), .. }) => format!("{} {status}", plain::line(outcome)),
    }
}

/// How long it took; unknown where the end was found out afterwards.
pub(super) fn duration(started_at: Timestamp, end: &End) -> Option<String> {
    if end.outcome == crate::audit::Outcome::Interrupted.as_str() {
        return None;
    }
    let milliseconds = end.ended_at.as_millisecond().saturating_sub(started_at.as_millisecond());
    Some(milliseconds_as_text(milliseconds.unsigned_abs()))
}

pub(super) fn milliseconds_as_text(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        _ => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
    }
}
