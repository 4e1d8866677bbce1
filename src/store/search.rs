//! The search index: which words stand in the texts of an interception.
//!
//! Words are folded here, on both sides, so that both databases find the same: in lower case, without anything that is
//! neither letter nor digit. What somebody searches for is never query syntax.

use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;

use super::queries::Sql;
use super::{Database, Store};
use crate::domain::InterceptionId;

/// The most words of one text that are indexed, bytes: well below the megabyte that PostgreSQL takes.
const MAX_TEXT: usize = 256 << 10;
/// Pages of the index that one statement writes anew.
const MERGED_AT_ONCE: i64 = 256;
/// The longest word, bytes: what is longer is data, and found by its beginning.
const MAX_WORD: usize = 64;

/// Inserts the words of a batch, but for those of people who were erased meanwhile: the parameter is a JSON object of rows.
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

/// In how many texts all words of a search stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frequency {
    /// So few that what they belong to is looked up before anything else.
    Rare,
    /// So few that their numbers are looked up once.
    Listed,
    /// So many that each row is asked for its own: the first page is soon full.
    Common,
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

    /// Restricts to interceptions with such a text; `column` holds their id.
    pub(super) fn restrict(&self, sql: &mut Sql, column: &str, database: Database, texts: Frequency) {
        match (database, texts) {
            (Database::Postgres, _) => {
                sql.push(" AND ").push(column);
                sql.push(" IN (SELECT interception_id FROM search_rows WHERE words @@ CAST(");
                sql.value(self.tsquery()).push(" AS tsquery))");
            }
            (Database::Sqlite, Frequency::Rare) => {
                sql.push(" AND ").push(column).push(
                    " IN (SELECT interception_id FROM search_rows WHERE number IN \
                     (SELECT rowid FROM search_index WHERE search_index MATCH ",
                );
                sql.value(self.fts5()).push("))");
            }
            // With the plus the list is made, in place of a search in the index for each number.
            (Database::Sqlite, Frequency::Listed) => {
                sql.push(" AND EXISTS (SELECT 1 FROM search_rows s WHERE s.interception_id = ")
                    .push(column)
                    .push(" AND +s.number IN (SELECT rowid FROM search_index WHERE search_index MATCH ");
                sql.value(self.fts5()).push("))");
            }
            (Database::Sqlite, Frequency::Common) => {
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

/// Forgets all words of a person. They are in the file until the index is [`clean`].
pub async fn forget_person(connection: &mut AnyConnection, person: &str) -> Result<u64, sqlx::Error> {
    let forgotten =
        sqlx::query("DELETE FROM search_rows WHERE person = $1").bind(person).execute(connection).await?;
    Ok(forgotten.rows_affected())
}

/// Sees to it that no forgotten word stays in the file: FTS5 only marks what is deleted until it writes a piece anew, and
/// then SQLite overwrites the old one.
/// Piece by piece, so that a gateway's commits come in between.
pub async fn clean(store: &Store) -> Result<(), sqlx::Error> {
    if store.database() != Database::Sqlite {
        return Ok(());
    }
    // Below zero it begins to make one piece of all; above, it goes on with that.
    let mut pages = -MERGED_AT_ONCE;
    loop {
        let mut rows = store.begin().await?;
        let before: i64 = sqlx::query_scalar("SELECT total_changes()").fetch_one(&mut *rows).await?;
        sqlx::query("INSERT INTO search_index (search_index, rank) VALUES ('merge', $1)")
            .bind(pages)
            .execute(&mut *rows)
            .await?;
        let after: i64 = sqlx::query_scalar("SELECT total_changes()").fetch_one(&mut *rows).await?;
        rows.commit().await?;
        // The statement itself is one change.
        if after - before < 2 {
            return Ok(());
        }
        pages = MERGED_AT_ONCE;
    }
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
        let many = (0..100_000).map(|number| format!("w{number}")).collect::<Vec<_>>().join(" ");
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
