//! How our types stand in columns, and in JSON.

use std::str::FromStr;

use jiff::Timestamp;
use serde::de::{DeserializeOwned, IntoDeserializer};
use sqlx::any::AnyRow;
use sqlx::{Row, ValueRef as _};

use super::records::Body;

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
    small(name, row.try_get(name)?)
}

pub(super) fn read_count_if_any(row: &AnyRow, name: &str) -> Result<Option<u64>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(name)?.map(|number| small(name, number)).transpose()
}

/// A column whose number is a small one.
pub(super) fn read_number<T: TryFrom<i64>>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    small(name, row.try_get(name)?)
}

pub(super) fn read_number_if_any<T: TryFrom<i64>>(
    row: &AnyRow,
    name: &str,
) -> Result<Option<T>, sqlx::Error> {
    row.try_get::<Option<i64>, _>(name)?.map(|number| small(name, number)).transpose()
}

fn small<T: TryFrom<i64>>(name: &str, number: i64) -> Result<T, sqlx::Error> {
    T::try_from(number).map_err(|_| sqlx::Error::ColumnDecode {
        index: name.to_owned(),
        source: format!("{number} is out of range").into(),
    })
}

pub(super) fn read_flag(row: &AnyRow, name: &str) -> Result<bool, sqlx::Error> {
    match row.try_get(name)? {
        0_i64 => Ok(false),
        1 => Ok(true),
        other => Err(sqlx::Error::ColumnDecode {
            index: name.to_owned(),
            source: format!("{other} is neither 0 nor 1").into(),
        }),
    }
}

/// The text that a row speaks of.
pub(super) fn read_body(row: &AnyRow) -> Result<Body, sqlx::Error> {
    Ok(Body { id: row.try_get("content")?, bytes: read_count(row, "bytes")?, kept: read_word(row, "kept")? })
}

/// Checks that these columns are empty, as they have to be where another says that there is nothing: what stands there
/// would be read by nobody, and by no verification.
pub(super) fn expect_empty(row: &AnyRow, names: &[&str]) -> Result<(), sqlx::Error> {
    for name in names {
        if !row.try_get_raw(*name)?.is_null() {
            let source = "it belongs to nothing".into();
            return Err(sqlx::Error::ColumnDecode { index: (*name).to_owned(), source });
        }
    }
    Ok(())
}

/// A column whose text is one of the words of an enum.
pub(super) fn read_word<T: DeserializeOwned>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    let word: String = row.try_get(name)?;
    T::deserialize(word.into_deserializer()).map_err(|error: serde::de::value::Error| {
        sqlx::Error::ColumnDecode { index: name.to_owned(), source: error.into() }
    })
}

/// A column whose text is JSON.
pub(super) fn read_json<T: DeserializeOwned>(row: &AnyRow, name: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(&row.try_get::<String, _>(name)?)
        .map_err(|error| sqlx::Error::ColumnDecode { index: name.to_owned(), source: error.into() })
}

/// A nullable column whose text is an id.
pub(super) fn read_parsed_if_any<T>(row: &AnyRow, name: &str) -> Result<Option<T>, sqlx::Error>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    row.try_get::<Option<String>, _>(name)?.map(|text| parse(name, &text)).transpose()
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

/// Bytes in JSON: hexadecimal.
pub(super) mod hex {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    const DIGITS: &[u8; 16] = b"0123456789abcdef";

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        to.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        let digit = |c: char| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let digits: Option<Vec<u8>> = text.chars().map(digit).collect();
        let digits = digits.filter(|digits| digits.len() % 2 == 0);
        let digits = digits.ok_or_else(|| D::Error::custom("expected pairs of hexadecimal digits"))?;
        Ok(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
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
