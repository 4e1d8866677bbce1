//! `toolgate audit stats`: sums over many interceptions or calls.

use std::io::{self, Write};

use super::list::{duration, write_table};
use super::plain;
use crate::store::queries::{By, Dimension, TokenStatistics, ToolBy, ToolStatistics};

/// Writes sums of interceptions.
pub(super) fn tokens(out: &mut impl Write, by: &[By], rows: &[TokenStatistics]) -> io::Result<()> {
    let sums = [
        "Requests",
        "Rounds",
        "Tools",
        "Input",
        "Cache read",
        "Cache write",
        "Output",
        "Thinking",
        "Mean time",
    ];
    let cells = rows.iter().map(|row| {
        let tokens = row.tokens;
        let mut cells = group(&row.group);
        cells.extend([row.interceptions, row.rounds].map(|number| number.to_string()));
        cells.push(format!("{}+{}", row.injected_calls, row.client_calls));
        let classes = [tokens.input, tokens.cache_read, tokens.cache_write, tokens.output, tokens.reasoning];
        cells.extend(classes.map(|number| number.to_string()));
        cells.push(mean(row.total_us, row.interceptions));
        cells
    });
    table(out, by, &sums, cells)
}

/// Writes sums of calls.
pub(super) fn tools(out: &mut impl Write, by: &[ToolBy], rows: &[ToolStatistics]) -> io::Result<()> {
    let cells = rows.iter().map(|row| {
        let mut cells = group(&row.group);
        cells.extend([row.calls, row.result_bytes, row.truncated].map(|number| number.to_string()));
        cells.push(mean(row.duration_us, row.calls));
        cells
    });
    table(out, by, &["Calls", "Result bytes", "Truncated", "Mean time"], cells)
}

fn table<D: Dimension>(
    out: &mut impl Write,
    by: &[D],
    sums: &[&str],
    cells: impl Iterator<Item = Vec<String>>,
) -> io::Result<()> {
    let groups = by.iter().map(|by| capitalised(by.word()));
    let header: Vec<String> = groups.chain(sums.iter().map(|sum| (*sum).to_owned())).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    let right: Vec<usize> = (by.len()..header.len()).collect();
    write_table(out, &header, cells, &right)
}

fn group(group: &[String]) -> Vec<String> {
    let text = |text: &String| if text.is_empty() { "-".to_owned() } else { plain::short(text, 40) };
    group.iter().map(text).collect()
}

fn mean(sum: u64, count: u64) -> String {
    sum.checked_div(count).map(duration).unwrap_or_default()
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
