//! `search_words`: what can be searched for, without what must not be kept in the clear.

use serde::Serialize;

use super::Backend;
use crate::domain::InterceptionId;

/// The words of one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Words {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Its record's place among the interception's.
    pub seq: u32,
    /// Who said it.
    pub person: String,
    /// The text, redacted.
    pub text: String,
}

/// How words get into the index.
pub(super) fn insertion(backend: Backend) -> Option<&'static str> {
    match backend {
        Backend::Sqlite => Some(
            "INSERT INTO search_words (words, interception_id, person) \
             SELECT value->>'text', value->>'interception_id', value->>'person' FROM json_each($rows)",
        ),
        Backend::Postgres => None,
    }
}
