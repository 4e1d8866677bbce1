//! Whose records a batch holds: the people behind callers, and the keys of their texts.

use std::sync::Arc;

use jiff::Timestamp;
use moka::sync::Cache;
use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::content_key::ContentKey;
use crate::domain::{Caller, Digest};
use crate::seal::Sealer;
use crate::store::Store;
use crate::store::patience::in_time;
use crate::store::people::{self, CallerRow, Person, PersonRow};
use crate::store::records::Who;

/// People that are remembered.
const PEOPLE: u64 = 10_000;

/// How long a key may be used before the store is asked again whether it has been thrown away.
const KEY_AGE: Duration = Duration::from_mins(1);

/// The people that are known, and how to know others.
#[derive(Debug)]
pub(super) struct People {
    store: Store,
    sealer: Arc<Sealer>,
    known: Cache<String, Known>,
    /// Callers whose rows are in the store.
    written: Cache<String, ()>,
}

#[derive(Debug, Clone)]
struct Known {
    id: Arc<str>,
    key: Arc<ContentKey>,
    asked: Instant,
    row: Arc<PersonRow>,
    /// Whether the row is in the store.
    is_written: bool,
}

/// Who is behind an entry.
#[derive(Debug, Clone)]
pub(super) struct Face {
    pub person: Arc<str>,
    pub key: Arc<ContentKey>,
    user: String,
    caller: CallerRow,
}

/// The rows of people and callers that the store may not have yet.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    pub people: Vec<PersonRow>,
    pub callers: Vec<CallerRow>,
}

impl Newcomers {
    fn add_person(&mut self, row: &PersonRow) {
        if self.people.iter().all(|other| other.id != row.id) {
            self.people.push(row.clone());
        }
    }

    fn add_caller(&mut self, row: CallerRow) {
        if self.callers.iter().all(|other| other.id != row.id) {
            self.callers.push(row);
        }
    }
}

impl People {
    pub(super) fn new(store: Store, sealer: Arc<Sealer>) -> Self {
        let written = Cache::builder().max_capacity(PEOPLE).time_to_live(KEY_AGE).build();
        Self { store, sealer, known: Cache::new(PEOPLE), written }
    }

    /// Who this caller is. Where the store is not to be asked, whoever is not known becomes somebody new.
    pub(super) async fn face(
        &self,
        caller: &Caller,
        ask: bool,
        now: Timestamp,
        newcomers: &mut Newcomers,
    ) -> Result<Face, sqlx::Error> {
        let known = match self.known.get(&caller.user) {
            Some(known) if !ask || known.asked.elapsed() < KEY_AGE => known,
            _ => self.meet(&caller.user, ask, now).await?,
        };
        if !known.is_written {
            newcomers.add_person(&known.row);
        }
        let row = caller_row(&known.id, caller);
        if !self.written.contains_key(&row.id) {
            newcomers.add_caller(row.clone());
        }
        Ok(Face { person: known.id, key: known.key, user: caller.user.clone(), caller: row })
    }

    /// These rows are in the store.
    pub(super) fn note_written(&self, people: &[PersonRow], callers: &[CallerRow]) {
        for person in people {
            if let Some(known) = self.known.get(&person.user_name).filter(|known| *known.id == *person.id) {
                self.known.insert(person.user_name.clone(), Known { is_written: true, ..known });
            }
        }
        for caller in callers {
            self.written.insert(caller.id.clone(), ());
        }
    }

    /// The store may have lost rows: which ones, nobody knows. All are written once more.
    pub(super) fn doubt(&self) {
        self.written.invalidate_all();
        for (user, known) in &self.known {
            self.known.insert(user.to_string(), Known { is_written: false, ..known });
        }
    }

    /// Adds the rows of a caller who is known.
    pub(super) fn restate(&self, caller: &Caller, newcomers: &mut Newcomers) {
        let Some(known) = self.known.get(&caller.user) else { return };
        newcomers.add_person(&known.row);
        newcomers.add_caller(caller_row(&known.id, caller));
    }

    /// Asks the store for a person, or makes one.
    async fn meet(&self, user: &str, ask: bool, now: Timestamp) -> Result<Known, sqlx::Error> {
        let stored = if ask { in_time(people::by_name(&self.store, user)).await? } else { None };
        let known = if let Some(known) = stored.and_then(|person| self.open(&person)) {
            known
        } else {
            let id = Uuid::now_v7().to_string();
            let (key, sealed_key) = ContentKey::generate(&self.sealer, &id);
            let user_name = user.to_owned();
            let row = PersonRow { id: id.clone(), user_name, sealed_key, created_at: now };
            Known {
                id: id.into(),
                key: Arc::new(key),
                asked: Instant::now(),
                row: Arc::new(row),
                is_written: false,
            }
        };
        self.known.insert(user.to_owned(), known.clone());
        Ok(known)
    }

    fn open(&self, person: &Person) -> Option<Known> {
        let (user_name, sealed_key) = (person.user_name.clone()?, person.sealed_key.clone()?);
        let key = ContentKey::open(&self.sealer, &person.id, &sealed_key);
        if key.is_none() {
            tracing::error!(
                target: "toolgate::audit",
                person = person.id,
                "the key of this person's texts does not open: secret_keys lacks the one that it was sealed with",
            );
        }
        let key = Arc::new(key?);
        let row = PersonRow { id: person.id.clone(), user_name, sealed_key, created_at: person.created_at };
        let id = person.id.as_str().into();
        Some(Known { id, key, asked: Instant::now(), row: Arc::new(row), is_written: true })
    }
}

impl Face {
    /// How a row with this id names it.
    pub(super) fn who(&self, row: Uuid) -> Who {
        let CallerRow { id, person, .. } = &self.caller;
        let proof = proof(&self.key, row, &self.user, &self.caller);
        Who { proof, person: Some(person.clone()), caller: Some(id.clone()) }
    }
}

/// What a row with this id commits to when it says that it was this caller.
pub(super) fn proof(key: &ContentKey, row: Uuid, user: &str, caller: &CallerRow) -> String {
    let CallerRow { id: _, person, key: key_name, groups } = caller;
    let mut parts = vec![row.as_bytes().as_slice(), person.as_bytes(), user.as_bytes(), key_name.as_bytes()];
    parts.extend(groups.iter().map(String::as_bytes));
    key.proof(&parts)
}

fn caller_row(person: &str, caller: &Caller) -> CallerRow {
    let mut parts = vec![person.as_bytes(), caller.key.as_bytes()];
    parts.extend(caller.groups.iter().map(String::as_bytes));
    CallerRow {
        id: Digest::of_parts(&parts).to_string(),
        person: person.to_owned(),
        key: caller.key.clone(),
        groups: caller.groups.clone(),
    }
}
