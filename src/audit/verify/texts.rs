//! Texts: whether those that rows speak of are there, and whether they are what their ids say.

use jiff::Timestamp;

use super::who::Key;
use super::{Finding, Verification};
use crate::store::content::{self, Content};
use crate::store::records::{self, Kept, Kind, Row, RowKey};

/// Texts that are read at once: some are large.
const TEXTS: u32 = 50;

impl Verification<'_> {
    /// Checks that the texts that these rows speak of are there.
    pub(super) async fn check_kept(&mut self, rows: &[&Row]) -> Result<(), sqlx::Error> {
        let kept: Vec<_> = rows.iter().filter_map(|row| kept(row)).collect();
        let ids: Vec<&str> = kept.iter().map(|kept| kept.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let present = content::present(self.store, &ids).await?;
        let missing: Vec<&Text<'_>> =
            kept.iter().filter(|kept| !present.contains(kept.id) && !self.excuses.text(kept.at)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        self.look_again().await?;
        let starts: Vec<RowKey> =
            missing.iter().map(|text| RowKey { kind: Kind::Start, seq: 0, ..text.row }).collect();
        let starts = records::fetch(self.store, &starts).await?;
        for text in missing {
            let start = starts.get(&RowKey { kind: Kind::Start, seq: 0, ..text.row });
            let person = match start {
                Some(Row::Start(start)) => start.who.person.as_deref(),
                _ => None,
            };
            // Where nobody knows any more whose it was, nobody knows whether that person was erased.
            let is_erased = person.map_or(start.is_some(), |person| self.excuses.person(person));
            if !is_erased && !self.excuses.text(text.at) {
                self.report.find(Finding::of_row(text.row, "its text was taken away", None));
            }
        }
        Ok(())
    }

    /// Opens every text whose key is here, and checks that it is the one of its id.
    pub(super) async fn check_texts(&mut self) -> Result<(), sqlx::Error> {
        let mut last = String::new();
        loop {
            let page = content::after(self.store, &last, TEXTS).await?;
            let Some(end) = page.last() else { return Ok(()) };
            last.clone_from(&end.id);
            self.meet(page.iter().map(|text| text.person.as_str())).await?;
            for Content { id, person, body } in &page {
                match self.key_of(person) {
                    Key::Here(key, _) => match key.text(id, body) {
                        Some(text) if key.content_id(&text) == *id => self.report.texts += 1,
                        Some(_) => self.wrong_text(id, "it is not the text of this id"),
                        None => self.wrong_text(id, "it was changed: it does not open"),
                    },
                    Key::Closed | Key::Gone => self.report.unreadable += 1,
                    Key::Nobody => self.wrong_text(id, "its person is not there"),
                }
            }
        }
    }

    fn wrong_text(&mut self, id: &str, what: &str) {
        self.report.find(Finding::of("content", id, what));
    }
}

/// A text that a row speaks of.
struct Text<'a> {
    row: RowKey,
    id: &'a str,
    at: Timestamp,
}

fn kept(row: &Row) -> Option<Text<'_>> {
    let body = row.body()?;
    let is_kept = matches!(body.kept, Kept::Redacted | Kept::Full | Kept::Cut);
    Some(Text { row: row.key(), id: body.id.as_deref().filter(|_| is_kept)?, at: row.at() })
}
