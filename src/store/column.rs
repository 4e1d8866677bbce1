//! How our types stand in columns, and in JSON.

use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serializer;
use sqlx::Row;
use sqlx::any::AnyRow;

/// Far above any real number of tokens, and low enough that no sum of a conversation overflows.
const MAX_COUNT: u64 = 1 << 48;

/// RFC 3339 in UTC, always with six digits of a second, so that text order is time order.
pub(super) fn time_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// A number as it is stored; a provider's absurd figure is capped.
pub(super) fn count(number: u64) -> i64 {
    i64::try_from(number.min(MAX_COUNT)).unwrap_or(i64::MAX)
}

pub(super) fn read_count(row: &AnyRow, name: &str) -> Result<u64, sqlx::Error> {
    row.try_get(name).map(from_count)
}

pub(super) fn read_count_if_any(row: &AnyRow, name: &str) -> Result<Option<u64>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(name).map(|number| number.map(from_count))
}

fn from_count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn read_round(row: &AnyRow) -> Result<u32, sqlx::Error> {
    row.try_get::<i64, _>("round").map(|number| u32::try_from(number).unwrap_or(0))
}

/// Names as they are stored: a JSON array.
pub(super) fn list_text(names: &[String]) -> String {
    serde_json::Value::from(names).to_string()
}

/// A column whose text is a JSON array of names.
pub(super) fn read_list(row: &AnyRow, name: &str) -> Result<Vec<String>, sqlx::Error> {
    serde_json::from_str(&row.try_get::<String, _>(name)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A column whose text is a time or an id.
pub(super) fn read_parsed<T>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    parse(name, &row.try_get::<String, _>(name)?)
}

/// A nullable column whose text is a time.
pub(super) fn read_time_if_any(row: &AnyRow, name: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    row.try_get::<Option<String>, _>(name)?.map(|text| parse(name, &text)).transpose()
}

fn parse<T>(name: &str, text: &str) -> Result<T, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    text.parse().map_err(|error: T::Err| sqlx::Error::ColumnDecode {
        index: name.to_owned(),
        source: Box::new(error),
    })
}

pub(super) fn text_in_json<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(super) fn time_in_json<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.6}"))
}

// serde hands over a reference to the field as it is.
#[expect(clippy::ref_option)]
pub(super) fn time_if_any_in_json<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => time_in_json(time, to),
        None => to.serialize_none(),
    }
}

/// Times of rows in their JSON form: six digits of a second, always.
pub mod micros {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.6}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        Timestamp::deserialize(from)
    }
}

/// The same where there may be none.
pub mod micros_if_any {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    // serde hands over a reference to the field as it is.
    #[expect(clippy::ref_option)]
    pub fn serialize<S: Serializer>(time: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::micros::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
        Option::<Timestamp>::deserialize(from)
    }
}
