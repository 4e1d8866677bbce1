//! What was done with the records.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::{micros, read_parsed};
use super::conditions::Conditions;
use super::{Cursor, Filter, Page, PageRequest, Sql};
use crate::domain::EventId;
use crate::store::records::events::Action;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AuditEvent {
    /// Its id.
    #[schemars(with = "String", extend("format" = "uuid"))]
    pub id: EventId,
    /// Which gateway, or `cli`.
    pub instance: String,
    /// Who did it; null where the gateway did it by itself, or the person is not known any more.
    pub caller_user: Option<String>,
    /// The name of the key.
    pub caller_key: Option<String>,
    /// What was done: `read`, `export`, `prune`, `erase`, `close`, `late` or `lost`.
    pub action: String,
    /// The particulars.
    pub detail: Value,
    /// When.
    #[serde(with = "micros")]
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
}

const ROWS: &str = "SELECT e.id, e.instance, e.action, e.detail, e.at, p.user_name, c.key_name FROM audit_events e \
     LEFT JOIN people p ON p.id = e.person LEFT JOIN callers c ON c.id = e.caller WHERE e.id IN (";

/// A page of events; of the filters, user, key, group and times count.
pub async fn events(
    store: &Store,
    filter: &Filter,
    action: Option<Action>,
    request: &PageRequest,
) -> Result<Page<AuditEvent>, sqlx::Error> {
    let mut keys = Sql::new("SELECT e.id FROM audit_events e WHERE true");
    let conditions = Conditions::of(store, filter).await?;
    conditions.restrict_started(&mut keys, "e", "at");
    conditions.restrict_who(&mut keys, "e");
    keys.and_if("e.action =", action.map(|action| action.word().to_owned()).as_ref());
    let place = |event: &AuditEvent| Cursor::new(event.at, event.id);
    Page::fetch(store, keys, ROWS, ("e.at", "e.id"), request, read, place).await
}

fn read(row: &AnyRow) -> Result<AuditEvent, sqlx::Error> {
    let detail: String = row.try_get("detail")?;
    Ok(AuditEvent {
        id: read_parsed(row, "id")?,
        instance: row.try_get("instance")?,
        caller_user: row.try_get("user_name")?,
        caller_key: row.try_get("key_name")?,
        action: row.try_get("action")?,
        detail: serde_json::from_str(&detail).map_err(|error| sqlx::Error::Decode(error.into()))?,
        at: read_parsed(row, "at")?,
    })
}
