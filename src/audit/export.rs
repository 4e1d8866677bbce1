//! Records as a file, page by page: never more of it in memory than one page.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::store::queries::{self, AuditEvent, Filter, Interception, Page, PageRequest, ToolCall, Turn};
use crate::store::{Store, StoreError};

/// Rows in one piece of the file.
const PAGE: u32 = 500;

/// What a file is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// One row a client request.
    Interceptions,
    /// One row a call.
    ToolCalls,
    /// One row a thing that was done with the records.
    AuditEvents,
}

/// How a row is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A table with a header, RFC 4180.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// One row, whatever it is of.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum ExportRow {
    /// A client request.
    Interception(Box<Interception>),
    /// A call.
    ToolCall(Box<ToolCall>),
    /// A thing that was done with the records.
    AuditEvent(AuditEvent),
}

impl What {
    /// All of them, with the words for them.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Interceptions, "interceptions"),
        (Self::ToolCalls, "tool-calls"),
        (Self::AuditEvents, "audit-events"),
    ];

    /// The columns of a table: what stands in an object within the row is behind a slash.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Interceptions => INTERCEPTION,
            Self::ToolCalls => TOOL_CALL,
            Self::AuditEvents => AUDIT_EVENT,
        }
    }
}

const INTERCEPTION: &[&str] = &[
    "id",
    "instance",
    "epoch",
    "caller_user",
    "caller_key",
    "caller_groups",
    "provider",
    "dialect",
    "model",
    "client",
    "client_version",
    "client_session",
    "agent",
    "parent_agent",
    "request_id",
    "trace",
    "thread",
    "parent",
    "injection",
    "left_out",
    "hosted",
    "continuity",
    "repeats",
    "policy",
    "started_at",
    "outcome",
    "end/ended_at",
    "end/status",
    "end/error",
    "end/stop_reason",
    "end/answered_by",
    "end/first_byte_us",
    "end/total_us",
    "end/provider_us",
    "end/tools_us",
    "end/client_us",
    "end/rounds",
    "end/injected_calls",
    "end/client_calls",
    "end/tokens/input",
    "end/tokens/output",
    "end/tokens/cache_read",
    "end/tokens/cache_write",
    "end/tokens/reasoning",
];
const TOOL_CALL: &[&str] = &[
    "id",
    "interception_id",
    "seq",
    "thread",
    "caller_user",
    "caller_key",
    "provider",
    "model",
    "client",
    "client_session",
    "round",
    "call_id",
    "tool",
    "server",
    "server_tool",
    "server_url",
    "definition",
    "injected",
    "via",
    "rule",
    "policy",
    "approver",
    "intended_at",
    "recorded_at",
    "outcome",
    "end/ended_at",
    "end/duration_us",
    "end/result_bytes",
    "end/truncated",
];
const AUDIT_EVENT: &[&str] = &["id", "instance", "caller_user", "caller_key", "action", "detail", "at"];

/// A file as it is made: the rows that fit, the newest first.
#[derive(Debug)]
pub struct Export {
    store: Store,
    what: What,
    filter: Filter,
    /// Where the next piece begins; `None` behind the last one.
    turn: Option<Turn>,
}

impl Export {
    /// Of what there is by now: what comes while the file is made is not in it.
    pub fn new(store: Store, what: What, filter: Filter, now: Timestamp) -> Self {
        let to = filter.to.map_or(now, |to| to.min(now));
        Self { store, what, filter: Filter { to: Some(to), ..filter }, turn: Some(Turn::Newest) }
    }

    /// The next rows; `None` behind the last ones.
    pub async fn next_rows(&mut self) -> Result<Option<Vec<ExportRow>>, StoreError> {
        let Some(turn) = self.turn.take() else { return Ok(None) };
        let request = PageRequest { turn, limit: PAGE };
        let (store, filter) = (&self.store, &self.filter);
        Ok(Some(match self.what {
            What::Interceptions => {
                let page = queries::interceptions(store, filter, &request).await?;
                self.rows(page, |row| ExportRow::Interception(Box::new(row)))
            }
            What::ToolCalls => {
                let page = queries::tool_calls(store, filter, &request).await?;
                self.rows(page, |row| ExportRow::ToolCall(Box::new(row)))
            }
            What::AuditEvents => {
                let page = queries::events(store, filter, None, &request).await?;
                self.rows(page, ExportRow::AuditEvent)
            }
        }))
    }

    /// The next piece of the file; `None` behind the last one.
    pub async fn next_piece(&mut self, format: Format) -> Result<Option<Vec<u8>>, StoreError> {
        let is_first = self.turn == Some(Turn::Newest);
        let Some(rows) = self.next_rows().await? else { return Ok(None) };
        Ok(Some(match format {
            Format::Csv => csv(self.what.columns(), is_first, &rows),
            Format::Jsonl => jsonl(&rows),
        }))
    }

    fn rows<T>(&mut self, page: Page<T>, row: impl Fn(T) -> ExportRow) -> Vec<ExportRow> {
        self.turn = page.older.map(Turn::Older);
        page.items.into_iter().map(row).collect()
    }
}

fn jsonl(rows: &[ExportRow]) -> Vec<u8> {
    let mut text = String::new();
    for row in rows {
        // A String takes all that is written.
        let _ = writeln!(text, "{}", json(row));
    }
    text.into_bytes()
}

fn csv(columns: &[&str], with_header: bool, rows: &[ExportRow]) -> Vec<u8> {
    let mut table = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let header = columns.iter().map(|column| column.replace('/', "_"));
    // A Vec takes all that is written, and each row has as many cells as there are columns.
    let _ = if with_header { table.write_record(header) } else { Ok(()) };
    for row in rows {
        let row = json(row);
        let cells = columns.iter().map(|column| cell(row.pointer(&format!("/{column}"))));
        let _ = table.write_record(cells);
    }
    table.into_inner().unwrap_or_default()
}

fn json(row: &ExportRow) -> Value {
    serde_json::to_value(row).unwrap_or_default()
}

/// How what spreadsheets take for a formula begins, full-width forms included.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// A cell that no spreadsheet takes for a formula.
fn cell(value: Option<&Value>) -> String {
    let text = match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    if text.starts_with(FORMULA) { format!("'{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::sample::{Sample, at, nothing};

    async fn store() -> Store {
        let store = Store::in_memory().await.unwrap();
        let mut sample = Sample::new();
        sample.person("=cmd|'/c calc'!A1", "laptop", &["a", "b"], "");
        sample.start(1, "=cmd|'/c calc'!A1", |start| start.model = "a \"b\", c\nd".into());
        sample.call(1, 1, nothing(2), |_| {});
        sample.outcome(1, 1, "ok", Some(nothing(3)));
        sample.end(1, "completed", |_| {});
        sample.commit(&store, 1).await;
        store
    }

    async fn whole(store: &Store, what: What, format: Format) -> String {
        let mut export = Export::new(store.clone(), what, Filter::default(), at(1_000_000));
        let mut file = Vec::new();
        while let Some(piece) = export.next_piece(format).await.unwrap() {
            file.extend(piece);
        }
        String::from_utf8(file).unwrap()
    }

    /// The pointers to all that is no object, in order.
    fn leaves(prefix: &str, value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) if prefix != "detail" => {
                for (name, value) in fields {
                    let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
                    leaves(&name, value, into);
                }
            }
            _ => into.push(prefix.to_owned()),
        }
    }

    #[tokio::test]
    async fn a_table_has_all_that_a_row_has() {
        let store = store().await;
        for what in [What::Interceptions, What::ToolCalls] {
            let row: Value = serde_json::from_str(&whole(&store, what, Format::Jsonl).await).unwrap();
            let mut found = Vec::new();
            leaves("", &row, &mut found);
            assert_eq!(found, what.columns());
        }
    }

    #[tokio::test]
    async fn cells_are_quoted_and_no_formula() {
        let store = store().await;
        let file = whole(&store, What::Interceptions, Format::Csv).await;
        let mut table = csv::Reader::from_reader(file.as_bytes());
        let header = table.headers().unwrap().clone();
        let row = table.records().next().unwrap().unwrap();
        let column = |name| &row[header.iter().position(|column| column == name).unwrap()];
        assert_eq!(column("caller_user"), "'=cmd|'/c calc'!A1");
        assert_eq!(column("model"), "a \"b\", c\nd");
        assert_eq!(column("caller_groups"), "[\"a\",\"b\"]");
        assert_eq!(column("end_tokens_cache_read"), "1200");
        for (value, expected) in
            [(json!("@x"), "'@x"), (json!("-1"), "'-1"), (json!(null), ""), (json!(7), "7")]
        {
            assert_eq!(cell(Some(&value)), expected);
        }
    }

    #[tokio::test]
    async fn a_file_of_many_pages_has_every_row_once() {
        let store = Store::in_memory().await.unwrap();
        let mut sample = Sample::new();
        for number in 0..u64::from(PAGE) * 2 + 3 {
            sample.start(number, "alice", |_| {});
        }
        sample.commit(&store, 1).await;
        let file = whole(&store, What::Interceptions, Format::Csv).await;
        assert_eq!(file.lines().count(), 1 + PAGE as usize * 2 + 3);
        let ids: std::collections::HashSet<_> = file.lines().map(|line| line.split(',').next()).collect();
        assert_eq!(ids.len(), file.lines().count());
    }
}
