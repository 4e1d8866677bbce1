//! `toolgate audit export`: records as a file on standard output, page by page.

use std::io::Write;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::audit::Reader;
use crate::audit::export::{Export, ExportRow, Format, What};
use crate::store::queries::Filter;
use crate::telemetry::ocsf;

/// What the file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WhatArg {
    Interceptions,
    ToolCalls,
    AuditEvents,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// A table
    Csv,
    /// One JSON object a line
    Jsonl,
    /// One event of the Open Cybersecurity Schema Framework a line; of interceptions and tool calls
    Ocsf,
}

impl WhatArg {
    /// The word for it in the records.
    pub(super) fn word(self) -> &'static str {
        What::ALL.iter().find(|(what, _)| *what == self.what()).map_or("", |(_, word)| word)
    }

    fn what(self) -> What {
        match self {
            Self::Interceptions => What::Interceptions,
            Self::ToolCalls => What::ToolCalls,
            Self::AuditEvents => What::AuditEvents,
        }
    }
}

/// Writes the file.
pub(super) async fn write(
    out: &mut impl Write,
    reader: &Reader,
    what: WhatArg,
    format: FormatArg,
    filter: Filter,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut export = Export::new(reader.store().clone(), what.what(), filter, now);
    let format = match format {
        FormatArg::Csv => Format::Csv,
        FormatArg::Jsonl => Format::Jsonl,
        FormatArg::Ocsf => {
            while let Some(rows) = export.next_rows().await? {
                rows.iter().filter_map(event).try_for_each(|event| writeln!(out, "{event}"))?;
            }
            return Ok(());
        }
    };
    while let Some(piece) = export.next_piece(format).await? {
        out.write_all(&piece)?;
    }
    Ok(())
}

fn event(row: &ExportRow) -> Option<serde_json::Value> {
    match row {
        ExportRow::Interception(row) => Some(ocsf::interception(row)),
        ExportRow::ToolCall(row) => Some(ocsf::tool_call(row)),
        ExportRow::AuditEvent(_) => None,
    }
}
