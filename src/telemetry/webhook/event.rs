//! Records as CloudEvents 1.0 in their JSON form.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::super::line::Line;
use crate::audit::Published;
use crate::config::Record;
use crate::store::records::{Row, RowKey};

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    specversion: &'static str,
    /// The same at every delivery of the same record.
    id: String,
    source: String,
    r#type: String,
    /// What it is about: the interception, or an event's own id.
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    datacontenttype: &'static str,
    data: Box<RawValue>,
}

/// The event of a record, for an outlet that may say `content`.
pub(super) fn of_record(record: &Published, instance: &str, content: Record) -> serde_json::Result<Event> {
    let RowKey { kind, id, seq } = record.row.key();
    let data = to_raw_value(&Line::of(record, content))?;
    Ok(Event {
        id: format!("{}-{id}-{seq}", char::from(kind.letter())),
        subject: Some(id.to_string()),
        time: Some(time(&record.row)),
        ..of(kind.record_type(), instance, data)
    })
}

/// An event of this kind.
pub(super) fn of(kind: &str, instance: &str, data: Box<RawValue>) -> Event {
    Event {
        specversion: "1.0",
        id: uuid::Uuid::now_v7().to_string(),
        source: format!("urn:toolgate:{instance}"),
        r#type: format!("toolgate.audit.{kind}"),
        subject: None,
        time: None,
        datacontenttype: "application/json",
        data,
    }
}

fn time(row: &Row) -> String {
    match row {
        Row::Start(row) => row.started_at,
        Row::End(row) => row.ended_at,
        Row::Prompt(row) => row.recorded_at,
        Row::Tokens(row) => row.recorded_at,
        Row::Thought(row) => row.recorded_at,
        Row::ToolUse(row) => row.recorded_at,
        Row::Outcome(row) => row.ended_at,
        Row::Event(row) => row.at,
    }
    .to_string()
}
