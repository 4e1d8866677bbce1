//! What the commands print. Much of it is written by servers: nothing of that may steer the terminal, hide, or pass
//! for a line of ours.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::domain::{visible, visible_json};

/// Prints a text with all that is hidden written out; it may be cut off by a closed pipe, as by `head`.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_coloured(&visible(text))
}

/// Prints a text with colours of our own: all else in it has to be visible already.
pub(super) fn print_coloured(text: &str) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}

/// Prints JSON that people can read.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_coloured(&format!("{}\n", visible_json(&serde_json::to_string_pretty(value)?)))
}

/// Prints what went wrong on standard error.
pub(super) fn complain(message: &str, code: u8) -> ExitCode {
    // Where standard error is closed, the code alone has to say it.
    let _ = writeln!(std::io::stderr(), "{}", visible(message.trim_end()));
    ExitCode::from(code)
}

/// Columns without lines between them.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table
}

/// Several lines, those after the first so many characters further in.
pub(super) fn indented(text: &str, margin: usize) -> String {
    visible(text.trim_end()).replace('\n', &format!("\n{:margin$}", ""))
}
