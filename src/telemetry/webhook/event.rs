//! Records as `CloudEvents` 1.0 in their JSON form.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::super::feed::{CHECKPOINT, Item};
use super::super::line::Line;
use crate::config::Record;
use crate::store::records::RowKey;

/// One event.
#[derive(Debug, Serialize)]
pub(super) struct Event {
    specversion: &'static str,
    /// The same at every delivery of the same record.
    id: String,
    source: String,
    r#type: String,
    /// What it is about: the interception, or an event's own id.
    subject: String,
    time: String,
    datacontenttype: &'static str,
    data: Box<RawValue>,
}

/// The event of what goes out, of which it may say `content`.
pub(super) fn event(item: &Item, instance: &str, content: Record) -> serde_json::Result<Event> {
    let (id, kind, subject, time) = match item {
        Item::Record(record) => {
            let RowKey { kind, id, seq } = record.row.key();
            let subject = id.to_string();
            (
                format!("{}-{id}-{seq}", char::from(kind.letter())),
                kind.record_type(),
                subject,
                record.row.at().to_string(),
            )
        }
        Item::Checkpoint(it) => (it.id.clone(), CHECKPOINT, it.id.clone(), it.made_at.to_string()),
    };
    Ok(Event {
        specversion: "1.0",
        id,
        source: format!("urn:toolgate:{instance}"),
        r#type: format!("toolgate.audit.{kind}"),
        subject,
        time,
        datacontenttype: "application/json",
        data: to_raw_value(&Line::of(item, content))?,
    })
}
