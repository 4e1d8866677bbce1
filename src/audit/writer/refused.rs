//! What the writer does when the store is there, but not as it was left, or does not take what it is given.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Lot, WriteError, Writer};
use crate::audit::instance;
use crate::audit::own_chain::OwnChain;
use crate::audit::patience::{in_time, is_refusal};
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::links;
use crate::store::records::Row;

impl Writer {
    /// After a failed commit: whether links are gone that the store had taken, as after the crash of a server that does
    /// not wait for its disk. Then this gateway goes on under a new run, and writes anew what it can.
    pub(super) async fn has_lost(&mut self, lot: &mut Lot) -> Result<bool, WriteError> {
        let run = self.chain.run().clone();
        let last = in_time(links::head(&self.store, &run)).await?.map_or(0, |(seq, _)| seq);
        self.doubts = false;
        let lost = lot.before.seq.saturating_sub(last);
        if lost == 0 {
            return Ok(false);
        }
        let new = instance::begin(&self.store, &self.settings).await?;
        tracing::error!(
            target: "toolgate::audit",
            instance = run.instance, epoch = run.epoch, commits = lost, new_epoch = new.epoch,
            "the database lost commits that it had taken: this gateway goes on under a new epoch",
        );
        self.run.store(new.clone().into());
        self.chain = OwnChain::after_loss(new);
        lot.batch.people.extend(self.restate(&lot.batch.callers));
        self.link_again(lot);
        Ok(true)
    }

    /// The database will never take this batch: writes it interception by interception, and what is refused even so as
    /// events, so that nothing holds up what comes after it.
    pub(super) async fn commit_apart(&mut self, lot: &mut Lot, why: &sqlx::Error) -> Result<(), WriteError> {
        tracing::error!(
            target: "toolgate::audit",
            error = %why, rows = lot.batch.rows.len(), "the database refuses a batch; its records are written one by one",
        );
        self.chain.head = lot.before;
        let rows = lot.batch.rows.clone();
        let mut words: HashMap<Uuid, Vec<_>> = HashMap::new();
        for some in &lot.batch.words {
            words.entry(some.interception_id.as_uuid()).or_default().push(some.clone());
        }
        let shared = Batch { rows: Vec::new(), words: Vec::new(), ..lot.batch.clone() };
        self.commit_part(shared).await?;
        for (id, rows) in by_interception(rows) {
            let (link, words) = (lot.batch.link.clone(), words.remove(&id).unwrap_or_default());
            let part = Batch { link, rows, content: vec![], people: vec![], callers: vec![], words };
            self.commit_part(part).await?;
        }
        Ok(())
    }

    /// Commits a part of a batch, or what it says as events; what is refused as well is in the log alone.
    async fn commit_part(&mut self, mut part: Batch) -> Result<(), WriteError> {
        let (before, made_at) = (self.chain.head, part.link.made_at);
        for _ in 0..2 {
            self.chain.head = before;
            part.link = self.chain.link_adopted(&part.rows, made_at);
            match self.store.commit(&Prepared::new(&part)?).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Database(error)) if is_refusal(&error) => {}
                Err(error) => return Err(error.into()),
            }
            part.rows = part.rows.iter().map(|row| self.chain.late(row, made_at)).collect();
            (part.content, part.words) = (Vec::new(), Vec::new());
        }
        self.chain.head = before;
        tracing::error!(target: "toolgate::audit", rows = ?part.rows, "the database refuses these records: they are lost");
        Ok(())
    }
}

/// Rows by the interceptions they belong to, each in order.
fn by_interception(rows: Vec<Row>) -> Vec<(Uuid, Vec<Row>)> {
    let mut groups: Vec<(Uuid, Vec<Row>)> = Vec::new();
    for row in rows {
        let id = row.key().id;
        match groups.iter_mut().find(|(of, _)| *of == id) {
            Some((_, group)) => group.push(row),
            None => groups.push((id, vec![row])),
        }
    }
    groups
}
