//! Erasure: a person's texts become unreadable for ever, because the key to them is thrown away. The records stay, and
//! with them the chains; the next request of the same user makes a new person.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::event::Deed;
use crate::store::records::events::Action;
use crate::store::{Store, people, prune, search};

/// What was erased, as its event tells it. It does not tell whose it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// The people whose keys are gone: one user may have been several.
    pub people: Vec<String>,
    /// Whether it was also forgotten who they were.
    pub identity: bool,
    /// How many texts there were.
    pub texts: u64,
    /// Who did it.
    pub by: String,
}

/// Throws away the key of a user's texts, and the texts with what can be searched for of them; forgets the name as well,
/// where `identity` says so. `None` where nobody of this name has anything left to erase.
///
/// A gateway that runs forgets the key within a minute; what it seals with it until then, nobody can read.
pub async fn erase(
    store: &Store,
    user: &str,
    identity: bool,
    by: &str,
    now: Timestamp,
) -> Result<Option<Erased>, sqlx::Error> {
    let mut deed = Deed::begin(store, now).await?;
    let at = deed.at;
    let everybody = people::named(deed.connection(), user).await?;
    let people = everybody.into_iter().filter(|person| identity || person.sealed_key.is_some());
    let people: Vec<String> = people.map(|person| person.id).collect();
    if people.is_empty() {
        drop(deed);
        // It may be asked once more for the sake of the log.
        empty_log(store).await?;
        return Ok(None);
    }
    let mut erased = Erased { people, identity, texts: 0, by: by.to_owned() };
    for person in &erased.people {
        erased.texts += prune::person(deed.connection(), person, identity, at).await?;
    }
    let detail = serde_json::to_value(&erased).map_err(|error| sqlx::Error::Encode(error.into()))?;
    deed.commit(Action::Erase, detail).await?;
    search::clean(store).await?;
    empty_log(store).await?;
    Ok(Some(erased))
}

async fn empty_log(store: &Store) -> Result<(), sqlx::Error> {
    if !prune::empty_log(store).await? {
        tracing::warn!(
            target: "toolgate::audit",
            "what was erased still stands in SQLite's log, for somebody reads the database: erase once more to overwrite it",
        );
    }
    Ok(())
}
