//! What is done with the records themselves, by whoever is not the writer of a gateway: commands, retention, erasure.
//!
//! It has a chain of its own, and is committed together with the event that tells of it.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use sqlx::{Any, AnyConnection, Transaction};

use super::chain::{Head, leaf};
use crate::domain::EventId;
use crate::store::Store;
use crate::store::batch::{Batch, Prepared};
use crate::store::instances;
use crate::store::links::{self, Run};
use crate::store::records::events::Action;
use crate::store::records::{Event, Row};

/// The chain of all that is no gateway's. No gateway may have this name.
pub const COMMANDS: &str = "cli";

/// Something that is done with the records: all of it is durable with its event, or nothing.
#[derive(Debug)]
pub struct Deed {
    transaction: Transaction<'static, Any>,
    store: Store,
    run: Run,
    head: Head,
    /// When it is done: behind the deed before it, whatever the clocks say, so that the last one can be told.
    pub at: Timestamp,
}

impl Deed {
    /// Begins, as soon as nobody else does anything of this kind.
    pub async fn begin(store: &Store, now: Timestamp) -> Result<Self, sqlx::Error> {
        let run = Run { instance: COMMANDS.to_owned(), epoch: 1 };
        let mut transaction = store.begin().await?;
        instances::hold(&mut transaction, &run, now).await?;
        let last = links::last_in(&mut transaction, &run).await?;
        let at = last.as_ref().map_or(now, |link| now.max(just_after(link.made_at)));
        let head = match &last {
            None => Head::genesis(),
            Some(link) => Head::of(link)
                .ok_or_else(|| sqlx::Error::Protocol(format!("the hash of link {} is no hash", link.seq)))?,
        };
        Ok(Self { transaction, store: store.clone(), run, head, at })
    }

    /// Where the deed is done.
    pub fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }

    /// Ends it, with the event that tells of it; gives the event, durable.
    pub async fn commit(mut self, action: Action, detail: Value) -> Result<Row, sqlx::Error> {
        let row = Row::Event(Box::new(Event {
            id: EventId::new(),
            instance: self.run.instance.clone(),
            epoch: self.run.epoch,
            who: None,
            action,
            detail,
            at: self.at,
        }));
        let link = self.head.link(&self.run, self.at, &[leaf(&row)]);
        let batch = Batch::of_rows(link, vec![row.clone()]);
        Prepared::new(&batch)?.write_in(&mut self.transaction, self.store.database()).await?;
        self.transaction.commit().await?;
        Ok(row)
    }
}

fn just_after(at: Timestamp) -> Timestamp {
    at.checked_add(SignedDuration::from_micros(1)).unwrap_or(at)
}

/// Records that somebody who is no gateway did something, such as reading records.
pub async fn visit(store: &Store, action: Action, detail: Value, now: Timestamp) -> Result<Row, sqlx::Error> {
    Deed::begin(store, now).await?.commit(action, detail).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::records;

    #[tokio::test]
    async fn visits_are_chained_in_order() {
        let store = Store::in_memory().await.unwrap();
        for what in ["a", "b", "c"] {
            visit(&store, Action::Read, json!({ "what": what }), Timestamp::now()).await.unwrap();
        }
        let run = Run { instance: COMMANDS.into(), epoch: 1 };
        let mut head = Head::genesis();
        let mut told = Vec::new();
        for link in links::after(&store, &run, 0, 10).await.unwrap() {
            let leaves = head.follow(&link).unwrap();
            let keys: Vec<_> = leaves.iter().map(|leaf| leaf.key).collect();
            for (key, row) in records::fetch(&store, &keys).await.unwrap() {
                assert_eq!(leaf(&row), leaves[0], "{key:?}");
                let Row::Event(event) = row else { panic!("an event") };
                told.push(event.detail["what"].clone());
            }
        }
        assert_eq!((told, head.seq), (vec![json!("a"), json!("b"), json!("c")], 3));
        assert!(instances::unended(&store).await.unwrap().is_empty(), "nobody has to close it");
    }

    #[tokio::test]
    async fn a_deed_that_is_dropped_did_nothing() {
        let store = Store::in_memory().await.unwrap();
        let deed = Deed::begin(&store, Timestamp::now()).await.unwrap();
        drop(deed);
        assert_eq!(links::runs(&store).await.unwrap(), []);
        visit(&store, Action::Read, json!({}), Timestamp::now()).await.unwrap();
        assert_eq!(links::runs(&store).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn every_deed_is_behind_the_one_before_it() {
        let store = Store::in_memory().await.unwrap();
        let late: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        visit(&store, Action::Read, json!({}), late).await.unwrap();
        assert_eq!(Deed::begin(&store, Timestamp::now()).await.unwrap().at, just_after(late));
    }
}
