//! Makes rows complete: who, and what is kept of texts, compressed and sealed.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use moka::sync::Cache;

use super::content_key::Compressor;
use super::entry::{Entry, Places, Record, Text, Waiting};
use super::people::Face;
use crate::config::Record as Keep;
use crate::domain::{Caller, InterceptionId};
use crate::redact::redact;
use crate::store::content::Content;
use crate::store::records::prompts::Role;
use crate::store::records::{Kept, Row};
use crate::store::search::Words;

/// Texts that are known to be stored.
const STORED: u64 = 50_000;

/// How much of one text can be searched for, bytes.
const SEARCHED: usize = 32 << 10;
/// Longer than anything that redaction takes out, bytes.
const LONGEST_SECRET: usize = 4 << 10;

/// Makes rows complete, with what it remembers of texts.
#[derive(Debug)]
pub(super) struct Preparer {
    compressor: Compressor,
    /// Content ids, each with the day on which it was last written: what is used is written to once a day.
    stored: Cache<String, String>,
    /// Whether anybody is told of texts.
    tells: bool,
}

/// Rows that are complete but for the link over them.
#[derive(Debug, Default)]
pub(super) struct Complete {
    pub rows: Vec<Row>,
    /// One for each row: its text, as far as it is kept, and for whom it is.
    pub asides: Vec<Aside>,
    pub content: Vec<Content>,
    pub words: Vec<Words>,
    pub waiting: Vec<Waiting>,
    pub places: Vec<Places>,
}

/// What goes out with a row.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside {
    pub text: Option<Arc<str>>,
    pub caller: Option<Arc<Caller>>,
}

impl Preparer {
    pub(super) fn new(tells: bool) -> Self {
        Self { compressor: Compressor::new(), stored: Cache::new(STORED), tells }
    }

    /// Completes the rows of these entries, each with the face behind it.
    pub(super) fn complete(&mut self, entries: Vec<(Entry, Option<Face>)>, now: Timestamp) -> Complete {
        let mut complete = Complete::default();
        let mut new = HashSet::new();
        let day = day(now);
        for (entry, face) in entries {
            for record in entry.records {
                let Record { mut row, text, .. } = record;
                name(&mut row, face.as_ref());
                let text = match (&face, text) {
                    (Some(face), Some(text)) => {
                        let mut keeping = Keeping { face, day: &day, new: &mut new, complete: &mut complete };
                        self.keep(&mut keeping, &mut row, text)
                    }
                    _ => None,
                };
                complete.rows.push(row);
                complete.asides.push(Aside { text, caller: entry.caller.clone() });
            }
            complete.waiting.extend(entry.waiting);
            complete.places.push(entry.places);
        }
        complete
    }

    /// The store has lost texts: which ones, nobody knows.
    pub(super) fn forget_stored(&self) {
        self.stored.invalidate_all();
    }

    /// These texts are in the store.
    pub(super) fn note_stored(&self, content: &[Content], now: Timestamp) {
        let day = day(now);
        for content in content {
            self.stored.insert(content.id.clone(), day.clone());
        }
    }

    /// Keeps a text as far as it is to be kept, and tells as much of it.
    fn keep(&mut self, keeping: &mut Keeping<'_>, row: &mut Row, text: Text) -> Option<Arc<str>> {
        let Keeping { face, day, new, complete } = keeping;
        let Text { text, keep, is_cut } = text;
        let text = if keep == Keep::Redacted { redacted(text) } else { text };
        let kept = match keep {
            Keep::None => Kept::None,
            Keep::Digest => Kept::Digest,
            _ if is_cut => Kept::Cut,
            Keep::Redacted => Kept::Redacted,
            Keep::Full => Kept::Full,
        };
        let searched = searched(row);
        let id = face.key.content_id(&text);
        if let Some(body) = row.body_mut() {
            (body.id, body.kept) = (Some(id.clone()), kept);
        }
        if keep == Keep::Digest {
            return None;
        }
        if let Some(words) = searched.and_then(|interception| words(interception, &face.person, &text)) {
            complete.words.push(words);
        }
        if self.stored.get(&id).is_none_or(|stored| stored != **day) && new.insert(id.clone()) {
            let body = face.key.seal(&id, &text, &mut self.compressor);
            complete.content.push(Content { id, person: face.person.to_string(), body });
        }
        self.tells.then(|| text.into())
    }
}

struct Keeping<'a> {
    face: &'a Face,
    day: &'a str,
    /// Texts of this batch.
    new: &'a mut HashSet<String>,
    complete: &'a mut Complete,
}

fn day(now: Timestamp) -> String {
    now.strftime("%F").to_string()
}

/// Says who it is.
fn name(row: &mut Row, face: Option<&Face>) {
    match (row, face) {
        (Row::Start(start), Some(face)) => start.who = face.who(start.id.as_uuid()),
        (Row::Event(event), Some(face)) => event.who = Some(face.who(event.id.as_uuid())),
        _ => {}
    }
}

fn redacted(text: String) -> String {
    match redact(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(redacted) => redacted,
    }
}

/// By which interception a row's text is found; the application's instructions, which are the same again and again, are
/// not looked through.
fn searched(row: &Row) -> Option<InterceptionId> {
    match row {
        Row::Prompt(prompt) if prompt.role == Role::System => None,
        row => row.interception().filter(|_| row.body().is_some()),
    }
}

fn words(interception: InterceptionId, person: &str, text: &str) -> Option<Words> {
    // What is to be taken out may begin before the end of what is looked through.
    let some = &text[..text.floor_char_boundary(SEARCHED + LONGEST_SECRET)];
    let redacted = redact(some);
    Words::new(interception, person, &redacted[..redacted.floor_char_boundary(SEARCHED)])
}
