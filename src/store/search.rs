//! The search index: which words stand in the texts of an interception.
//!
//! Words are folded here, on both sides, so that both databases find the same: in lower case, without anything that is
//! neither letter nor digit. What somebody searches for is never query syntax.

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use super::Database;
use super::column::time_text;
use super::queries::Sql;
use crate::domain::InterceptionId;

/// The most words of one text that are indexed, bytes: well below the megabyte that PostgreSQL takes.
const MAX_TEXT: usize = 256 << 10;
/// The longest word, bytes: what is longer is data, and found by its beginning.
const MAX_WORD: usize = 64;

/// Inserts the words of a batch: the parameter is a JSON object of rows.
pub const INSERT_SQLITE: &str = "INSERT INTO search_words (interception_id, person, words) \
     SELECT value->>'interception_id', value->>'person', value->>'words' FROM json_each($rows) \
     WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.id = value->>'person' AND p.erased_at IS NOT NULL)";
/// The same.
pub const INSERT_POSTGRES: &str = "INSERT INTO search_rows (interception_id, person, words) \
     SELECT value->>'interception_id', value->>'person', \
     array_to_tsvector(string_to_array(value->>'words', ' ')) FROM json_each($rows) \
     WHERE NOT EXISTS (SELECT 1 FROM people p WHERE p.id = value->>'person' AND p.erased_at IS NOT NULL)";

/// The words of one text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Words {
    /// Where the text belongs.
    pub interception_id: InterceptionId,
    /// Whose content it is (`people`).
    pub person: String,
    /// Each word once, folded, with spaces between them.
    pub words: String,
}

impl Words {
    /// The words of a text that may stand in the clear; `None` where it has none.
    pub fn new(interception_id: InterceptionId, person: &str, text: &str) -> Option<Self> {
        let words = folded(text);
        (!words.is_empty()).then(|| Self {
            interception_id,
            person: person.to_owned(),
            words: words.join(" "),
        })
    }
}

/// What somebody searches for: texts that have all of these words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search(Vec<String>);

impl Search {
    /// `None` where the text has no word.
    pub fn new(text: &str) -> Option<Self> {
        let words = folded(text);
        (!words.is_empty()).then_some(Self(words))
    }

    /// Restricts to interceptions with such a text; `column` holds their id. Where there are few, they are listed first.
    pub(super) fn restrict(&self, sql: &mut Sql, column: &str, database: Database, are_few: bool) {
        match (database, are_few) {
            (Database::Postgres, _) => {
                sql.push(" AND ").push(column);
                sql.push(" IN (SELECT interception_id FROM search_rows WHERE words @@ CAST(");
                sql.value(self.tsquery()).push(" AS tsquery))");
            }
            (Database::Sqlite, true) => {
                sql.push(" AND ").push(column).push(
                    " IN (SELECT interception_id FROM search_rows WHERE number IN \
                     (SELECT rowid FROM search_index WHERE search_index MATCH ",
                );
                sql.value(self.fts5()).push("))");
            }
            (Database::Sqlite, false) => {
                sql.push(" AND EXISTS (SELECT 1 FROM search_rows s CROSS JOIN search_index x WHERE s.interception_id = ");
                sql.push(column)
                    .push(" AND x.rowid = s.number AND x.search_index MATCH ")
                    .value(self.fts5())
                    .push(")");
            }
        }
    }

    fn tsquery(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("'{word}'")).collect();
        words.join(" & ")
    }

    pub(super) fn fts5(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|word| format!("\"{word}\"")).collect();
        words.join(" AND ")
    }
}

/// Forgets all words of a person, and sees to it that none stays in the file.
pub async fn forget_person(
    connection: &mut AnyConnection,
    database: Database,
    person: &str,
) -> Result<u64, sqlx::Error> {
    let forgotten = sqlx::query("DELETE FROM search_rows WHERE person = $1")
        .bind(person)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    if database == Database::Sqlite && forgotten > 0 {
        // FTS5 only marks what is deleted; words are gone when its pieces have been written anew.
        sqlx::query("INSERT INTO search_index (search_index) VALUES ('optimize')")
            .execute(connection)
            .await?;
    }
    Ok(forgotten)
}

/// Forgets the words of interceptions that began before this, at most so many; says how many there were.
pub async fn forget_started_before(
    connection: &mut AnyConnection,
    before: jiff::Timestamp,
    limit: u32,
) -> Result<u64, sqlx::Error> {
    sqlx::query(
        "DELETE FROM search_rows WHERE interception_id IN (SELECT i.id FROM interceptions i \
         WHERE i.started_at < $1 AND EXISTS (SELECT 1 FROM search_rows s WHERE s.interception_id = i.id) \
         ORDER BY i.started_at, i.id LIMIT $2)",
    )
    .bind(time_text(before))
    .bind(i64::from(limit))
    .execute(connection)
    .await
    .map(|done| done.rows_affected())
}

/// The words of a text, each once, in the order in which they come.
fn folded(text: &str) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let mut words = Vec::new();
    let mut bytes = 0;
    for word in text.split(|character: char| !character.is_alphanumeric()).flat_map(syllables) {
        let mut word: String =
            word.chars().flat_map(char::to_lowercase).filter(|c| c.is_alphanumeric()).collect();
        word.truncate(word.floor_char_boundary(MAX_WORD));
        if word.is_empty() || seen.contains(&word) {
            continue;
        }
        bytes += word.len() + 1;
        if bytes > MAX_TEXT {
            break;
        }
        seen.insert(word.clone());
        words.push(word);
    }
    words
}

/// Scripts that put no spaces between words are indexed by the character.
fn syllables(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = if is_spaceless(first) {
            first.len_utf8()
        } else {
            rest.find(is_spaceless).unwrap_or(rest.len())
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

fn is_spaceless(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_and_stand_once() {
        assert_eq!(folded("Pay the BILL, pay \"it\"* -- now!"), ["pay", "the", "bill", "it", "now"]);
        assert_eq!(folded("mail: Ann.Lee@example.com"), ["mail", "ann", "lee", "example", "com"]);
        assert_eq!(folded("Größe 12kg"), ["größe", "12kg"]);
        assert_eq!(folded("明日の天気 ok"), ["明", "日", "の", "天", "気", "ok"]);
        assert_eq!(folded("İstanbul"), ["istanbul"]);
        assert!(folded("… -- \u{0} ' \"").is_empty());
    }

    #[test]
    fn words_are_bounded() {
        let long = "é".repeat(1000);
        assert_eq!(folded(&long), ["é".repeat(32)]);
        let many: String = (0..100_000).map(|number| format!("w{number} ")).collect();
        let words = folded(&many);
        assert!(words.len() < 100_000 && words.join(" ").len() <= MAX_TEXT);
    }

    #[test]
    fn what_is_searched_for_is_no_syntax() {
        let search = Search::new("a OR b* NEAR(\"c' | !d) words:x").unwrap();
        assert_eq!(search.tsquery(), "'a' & 'or' & 'b' & 'near' & 'c' & 'd' & 'words' & 'x'");
        assert_eq!(Search::new("\"a\" OR b*").unwrap().fts5(), "\"a\" AND \"or\" AND \"b\"");
        assert_eq!(Search::new("*\"'"), None);
    }
}
