//! Pages by key: where a page ends, the next one begins, whatever has come meanwhile. Newest first.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::time_text;
use super::Sql;

/// A place between two rows; opaque to whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    id: String,
}

/// The longest id in a cursor.
const MAX_ID: usize = 64;

impl Cursor {
    /// The place of a row.
    pub fn new(at: Timestamp, id: impl fmt::Display) -> Self {
        Self { at, id: id.to_string() }
    }

    /// The place before all that began since then.
    pub fn before(at: Timestamp) -> Self {
        Self { at, id: String::new() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(format!("{} {}", time_text(self.at), self.id)))
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inside = || {
            let plain = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
            let (at, id) = plain.split_once(' ')?;
            let fits = id.len() <= MAX_ID && !id.contains('\0');
            fits.then_some(Self { at: at.parse().ok()?, id: id.to_owned() })
        };
        inside().ok_or_else(|| "this is no cursor of an earlier answer".to_owned())
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Where a page begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Turn {
    /// With the newest row.
    #[default]
    Newest,
    /// With the first that is older than this.
    Older(Cursor),
    /// With the oldest that is newer than this.
    Newer(Cursor),
}

/// Which page, and how large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// Where it begins.
    pub turn: Turn,
    /// The most rows.
    pub limit: u32,
}

impl PageRequest {
    /// The newest rows.
    pub fn newest(limit: u32) -> Self {
        Self { turn: Turn::Newest, limit }
    }
}

/// Rows, the newest first, and where their neighbours are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the older ones begin; `None` where there are none.
    pub older: Option<Cursor>,
    /// Where newer ones begin, once there are any.
    pub newer: Option<Cursor>,
}

impl<T> Page<T> {
    /// Asks for a page. `keys` finds the ids and ends with its conditions; `rows` reads what belongs to them, and ends where
    /// they are to stand: so that what is sorted is narrow.
    pub(super) async fn fetch(
        store: &Store,
        keys: Sql,
        rows: &str,
        key: (&str, &str),
        request: &PageRequest,
        read: impl Fn(&AnyRow) -> Result<T, sqlx::Error>,
        place: impl Fn(&T) -> Cursor,
    ) -> Result<Self, sqlx::Error> {
        let (time, id) = key;
        let mut sql = Sql::new(rows);
        sql.append(keys);
        let mut beyond = |sign: &str, cursor: &Cursor| {
            sql.push(&format!(" AND ({time}, {id}) {sign} ("));
            sql.value(time_text(cursor.at)).push(", ").value(cursor.id.as_str()).push(")");
        };
        let order = match &request.turn {
            Turn::Newest => "DESC",
            Turn::Older(cursor) => {
                beyond("<", cursor);
                "DESC"
            }
            Turn::Newer(cursor) => {
                beyond(">", cursor);
                "ASC"
            }
        };
        let order = format!(" ORDER BY {time} {order}, {id} {order}");
        sql.push(&order).push(" LIMIT ").value(i64::from(request.limit) + 1).push(")").push(&order);
        let mut items = sql.fetch(store, read).await?;
        let has_more = items.len() > request.limit as usize;
        items.truncate(request.limit as usize);
        let forwards = matches!(request.turn, Turn::Newer(_));
        if forwards {
            items.reverse();
        }
        let older = if has_more || forwards { items.last().map(&place) } else { None };
        let newer = items.first().map(&place).or_else(|| match &request.turn {
            Turn::Newer(cursor) => Some(cursor.clone()),
            _ => None,
        });
        Ok(Self { items, older, newer })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = Cursor::new("2026-01-02T03:04:05.678901Z".parse().unwrap(), "01999999-0000");
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for wrong in ["", "x", "AAAA", "' OR 1=1", &URL_SAFE_NO_PAD.encode("now id")] {
            wrong.parse::<Cursor>().unwrap_err();
        }
    }
}
