//! `search_words`: what can be searched for, without what must not be kept in the clear.

use serde::{Deserialize, Serialize};

use crate::domain::InterceptionId;

/// The words of one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Where it belongs.
    pub interception_id: InterceptionId,
    /// Who said it.
    pub person: String,
    /// The text, redacted.
    pub words: String,
}

pub(super) const INSERT_SQLITE: &str = "INSERT INTO search_words (words, interception_id, person) \
    SELECT value->>'words', value->>'interception_id', value->>'person' FROM json_each($rows)";

pub(super) const INSERT_POSTGRES: &str = "INSERT INTO search_words (words, interception_id, person) \
    SELECT to_tsvector('simple', value->>'words'), value->>'interception_id', value->>'person' FROM json_each($rows)";
