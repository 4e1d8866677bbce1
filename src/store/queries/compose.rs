//! A statement, as it grows from fragments.

use std::fmt::Write as _;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _};

use super::super::Store;

/// A statement with numbered places, and the values for them.
#[derive(Debug, Clone)]
pub(crate) struct Sql {
    text: String,
    values: Vec<Value>,
}

/// A value for one place.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl Sql {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Adds a fragment of our own.
    pub(crate) fn push(&mut self, fragment: &str) -> &mut Self {
        self.text.push_str(fragment);
        self
    }

    /// Adds a place with this value.
    pub(crate) fn value(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        // A String takes all that is written.
        let _ = write!(self.text, "${}", self.values.len());
        self
    }

    /// Adds a condition with one value.
    pub(crate) fn and(&mut self, condition: &str, value: impl Into<Value>) -> &mut Self {
        self.push(" AND ").push(condition).push(" ").value(value)
    }

    /// Adds a condition with one value, where there is one.
    pub(crate) fn and_if(&mut self, condition: &str, value: Option<&String>) -> &mut Self {
        match value {
            Some(value) => self.and(condition, value.as_str()),
            None => self,
        }
    }

    /// Adds places for all of these, with commas between them.
    pub(crate) fn list(&mut self, values: &[impl AsRef<str>]) -> &mut Self {
        for (place, value) in values.iter().enumerate() {
            self.push(if place == 0 { "" } else { ", " }).value(value.as_ref());
        }
        self
    }

    /// Adds a statement that was put together by itself; its places are numbered anew.
    pub(crate) fn append(&mut self, other: Self) -> &mut Self {
        let mut pieces = other.text.split('$');
        self.push(pieces.next().unwrap_or_default());
        for (piece, value) in pieces.zip(other.values) {
            self.value(value).push(piece.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        self
    }

    pub(crate) async fn fetch<T>(
        &self,
        store: &Store,
        read: impl Fn(&AnyRow) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, sqlx::Error> {
        let mut query = sqlx::query(AssertSqlSafe(self.text.clone()));
        for value in &self.values {
            query = match value {
                Value::Text(text) => query.bind(text.as_str()),
                Value::Number(number) => query.bind(*number),
            };
        }
        store.wait(query.fetch_all(store.readers())).await?.iter().map(read).collect()
    }

    #[cfg(test)]
    pub(crate) fn values(&self) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
        };
        self.values.iter().map(text).collect()
    }

    #[cfg(test)]
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

/// A column with a number that may be missing. One that cannot be is left out: a list must not end at a row that somebody
/// has changed, and `verify` finds it.
pub(super) fn number(row: &AnyRow, name: &str) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(name)?.and_then(|number| u64::try_from(number).ok()))
}

/// A column with a small number that may be missing.
pub(super) fn small<T: TryFrom<u64>>(row: &AnyRow, name: &str) -> Result<Option<T>, sqlx::Error> {
    Ok(number(row, name)?.and_then(|number| T::try_from(number).ok()))
}
