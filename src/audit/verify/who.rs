//! Who it was: whether people, keys and groups are those that rows commit to.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Finding, Verification};
use crate::audit::content_key::ContentKey;
use crate::audit::people::proof;
use crate::seal::Sealer;
use crate::store::people::{self, CallerRow};
use crate::store::records::{Row, RowKey, Who};

/// The most keys that are remembered.
const KEYS: usize = 10_000;

/// The keys of people.
pub(super) struct Keys<'a> {
    sealer: Option<&'a Sealer>,
    known: HashMap<String, Key>,
}

/// What is known of a person's key.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// With the user's name.
    Here(Arc<ContentKey>, Arc<str>),
    /// There is one, which cannot be opened here.
    Closed,
    /// It was thrown away.
    Gone,
    /// There is no such person.
    Nobody,
}

impl<'a> Keys<'a> {
    pub(super) fn new(sealer: Option<&'a Sealer>) -> Self {
        Self { sealer, known: HashMap::new() }
    }

    fn of(&self, person: &str) -> Key {
        self.known.get(person).cloned().unwrap_or(Key::Nobody)
    }
}

impl Verification<'_> {
    /// Looks up the keys of these people.
    pub(super) async fn meet(&mut self, ids: impl Iterator<Item = &str>) -> Result<(), sqlx::Error> {
        if self.keys.known.len() > KEYS {
            self.keys.known.clear();
        }
        let mut new: Vec<&str> = ids.filter(|id| !self.keys.known.contains_key(*id)).collect();
        new.sort_unstable();
        new.dedup();
        if new.is_empty() {
            return Ok(());
        }
        for person in people::some(self.store, &new).await? {
            let opened = |sealed: &String| ContentKey::open(self.keys.sealer?, &person.id, sealed);
            let key = match person.sealed_key.as_ref().map(opened) {
                None => Key::Gone,
                Some(None) => Key::Closed,
                Some(Some(key)) => Key::Here(Arc::new(key), person.user_name.unwrap_or_default().into()),
            };
            self.keys.known.insert(person.id, key);
        }
        Ok(())
    }

    /// The key of a person who was looked up.
    pub(super) fn key_of(&self, person: &str) -> Key {
        self.keys.of(person)
    }

    /// Checks who these rows say it was.
    pub(super) async fn check_who(&mut self, rows: &[&Row]) -> Result<(), sqlx::Error> {
        let whose: Vec<(RowKey, &Who)> = rows.iter().filter_map(|row| Some((row.key(), who(row)?))).collect();
        if whose.is_empty() {
            return Ok(());
        }
        self.meet(whose.iter().filter_map(|(_, who)| who.person.as_deref())).await?;
        let callers: Vec<&str> = whose.iter().filter_map(|(_, who)| who.caller.as_deref()).collect();
        let callers = people::callers(self.store, &callers).await?;
        let callers: HashMap<&str, &CallerRow> = callers.iter().map(|row| (row.id.as_str(), row)).collect();
        for (key, who) in whose {
            let caller = who.caller.as_deref().and_then(|id| callers.get(id).copied());
            match self.judge(key.id, who, caller) {
                Judgement::Proven => self.report.identities += 1,
                Judgement::Unknown => self.report.unreadable += 1,
                Judgement::Unnamed => {}
                Judgement::Wrong(what) => {
                    self.look_again().await?;
                    if !self.is_excused(key.id, who) {
                        self.report.find(Finding::of_row(key, what, None));
                    }
                }
            }
        }
        Ok(())
    }

    fn is_excused(&self, row: Uuid, who: &Who) -> bool {
        let is_erased = who.person.as_deref().is_some_and(|person| self.excuses.person(person));
        is_erased || self.excuses.name(row)
    }

    fn judge(&self, row: Uuid, who: &Who, caller: Option<&CallerRow>) -> Judgement {
        let Some(person) = who.person.as_deref() else {
            return if self.excuses.name(row) {
                Judgement::Unnamed
            } else {
                Judgement::Wrong("who it was is gone")
            };
        };
        if self.excuses.person(person) {
            return Judgement::Unknown;
        }
        let (key, user) = match self.key_of(person) {
            Key::Here(key, user) => (key, user),
            Key::Closed => return Judgement::Unknown,
            Key::Gone => {
                return Judgement::Wrong(
                    "the key of its person is gone, and no event says that it was erased",
                );
            }
            Key::Nobody => return Judgement::Wrong("its person is not there"),
        };
        match caller {
            None => Judgement::Wrong("its caller is not there"),
            Some(caller) if caller.person != person => Judgement::Wrong("its caller is another person's"),
            Some(caller) if proof(&key, row, &user, caller) == who.proof => Judgement::Proven,
            Some(_) => {
                Judgement::Wrong("it is somebody else's: name, key and groups are not those that it proves")
            }
        }
    }
}

enum Judgement {
    Proven,
    /// The key to the proof is not here.
    Unknown,
    /// Rightly so.
    Unnamed,
    Wrong(&'static str),
}

fn who(row: &Row) -> Option<&Who> {
    match row {
        Row::Start(start) => Some(&start.who),
        Row::Event(event) => event.who.as_ref(),
        _ => None,
    }
}
