//! What the writer does when the store is there, but not as it was left, or does not take what it is given.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Lot, WriteError, Writer};
use crate::audit::chain::Head;
use crate::audit::instance;
use crate::audit::lost_texts;
use crate::audit::own_chain::{LOST, Loss, OwnChain};
use crate::audit::prepare::Aside;
use crate::domain::Digest;
use crate::store::Store;
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::links::{self, Run};
use crate::store::patience::{in_time, is_refusal};
use crate::store::records::Row;

/// Why a gateway goes on under a new run, where nothing is lost.
const CLOSED: &str = "another gateway took this one for gone and closed what it had open";

impl Writer {
    /// After a failed commit the store may lack what it had taken: this batch tells once more of its people, and what
    /// comes after it of people and texts.
    pub(super) fn doubt(&mut self, lot: &mut Lot) {
        self.doubts = true;
        self.forget_written();
        let all = self.everybody(lot);
        (lot.batch.people, lot.batch.callers) = (all.people, all.callers);
    }

    /// Forgets what was taken to be in the store.
    pub(super) fn forget_written(&self) {
        if let Some(preparer) = &self.preparer {
            preparer.forget_stored();
        }
        self.people.doubt();
    }

    /// The links before this batch that are gone although the store had taken them, as after the crash of a server that
    /// does not wait for its disk.
    pub(super) async fn lost_before(
        &mut self,
        before: Head,
        batch: &mut Batch,
    ) -> Result<Option<Loss>, WriteError> {
        let of = self.chain.run().clone();
        let Some((commits, behind)) = commits_lost(&self.store, &of, before).await? else {
            self.doubts = false;
            return Ok(None);
        };
        lost_texts::drop_from(batch, &lost_texts::of_batch(&self.store, batch).await?);
        Ok(Some(Loss { of, commits, behind, why: LOST }))
    }

    /// Others have closed this run, because its lease was over, or the store has lost the end of it: from here on this
    /// gateway writes under a new one.
    pub(super) async fn begin_anew(&mut self, former: &Run, loss: Option<Loss>) -> Result<(), sqlx::Error> {
        let run = instance::begin(&self.store, &self.settings).await?;
        tracing::error!(
            target: "toolgate::audit",
            instance = run.instance, epoch = former.epoch, new_epoch = run.epoch,
            lost_commits = loss.as_ref().map_or(0, |loss| loss.commits),
            "{}; it goes on under a new epoch",
            if loss.is_some() { LOST } else { CLOSED },
        );
        self.run.store(run.clone().into());
        self.chain = match loss {
            Some(loss) => OwnChain::after_loss(run, loss),
            None => OwnChain::anew(run),
        };
        self.doubts = false;
        Ok(())
    }

    /// The same, with the batch under way.
    pub(super) async fn go_on_anew(&mut self, lot: &mut Lot, loss: Option<Loss>) -> Result<(), sqlx::Error> {
        let former = self.chain.run().clone();
        self.begin_anew(&former, loss).await?;
        self.link_again(lot);
        Ok(())
    }

    /// Links a batch under the run of now.
    pub(super) fn link_again(&mut self, lot: &mut Lot) {
        lot.before = self.chain.head;
        self.chain.relink(&mut lot.batch);
        lot.asides.resize_with(lot.batch.rows.len(), Aside::default);
    }

    /// The database will never take this batch: it is written interception by interception, so that nothing holds up
    /// what comes after it.
    pub(super) fn take_apart(&mut self, lot: &mut Lot, why: &sqlx::Error) {
        tracing::error!(
            target: "toolgate::audit",
            error = %why, rows = lot.batch.rows.len(), "the database refuses a batch; its records are written interception by interception",
        );
        self.chain.head = lot.before;
        let mut words: HashMap<Uuid, Vec<_>> = HashMap::new();
        for some in std::mem::take(&mut lot.batch.words) {
            words.entry(some.interception_id.as_uuid()).or_default().push(some);
        }
        let rows = std::mem::take(&mut lot.batch.rows);
        lot.apart = rows.iter().map(Row::key).zip(std::mem::take(&mut lot.asides)).collect();
        let link = &lot.batch.link;
        lot.parts = by_interception(rows)
            .into_iter()
            .map(|(id, rows)| {
                let words = words.remove(&id).unwrap_or_default();
                Batch { words, ..Batch::of_rows(link.clone(), rows) }
            })
            .collect();
        lot.parts.push_front(lot.batch.clone());
    }

    /// Writes what is left of a batch that was taken apart: a part that is refused as well as events, and where even
    /// these are refused, to the log alone.
    pub(super) async fn commit_parts(&mut self, lot: &mut Lot) -> Result<(), WriteError> {
        while let Some(mut part) = lot.parts.pop_front() {
            let before = self.chain.head;
            if part.link.epoch == self.chain.run().epoch {
                part.link = self.chain.link_adopted(&part.rows, part.link.made_at);
            } else {
                self.chain.relink(&mut part);
            }
            match self.put(&part).await {
                Ok(()) => {
                    let aside = |row: &Row| lot.apart.remove(&row.key()).unwrap_or_default();
                    lot.asides.extend(part.rows.iter().map(aside));
                    lot.batch.rows.extend(part.rows);
                }
                Err(WriteError::Store(CommitError::Database(error))) if is_refusal(&error) => {
                    self.chain.head = before;
                    if part.rows.is_empty() {
                        self.go_on_without(part, lot);
                    } else {
                        lot.parts.extend(self.as_events(part));
                    }
                }
                Err(WriteError::Store(CommitError::Fenced(former))) => {
                    self.chain.head = before;
                    let loss = self.lost_before(before, &mut part).await;
                    lot.parts.push_front(part);
                    let loss = loss?;
                    if loss.is_some() {
                        // Among what is lost may be what all parts share.
                        lot.parts.push_front(Batch { rows: Vec::new(), ..lot.batch.clone() });
                    }
                    self.begin_anew(&former, loss).await?;
                }
                Err(error) => {
                    self.chain.head = before;
                    lot.parts.push_front(part);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn put(&mut self, batch: &Batch) -> Result<(), WriteError> {
        match self.replay.as_mut().filter(|_| self.spooling) {
            Some(replay) => Ok(replay.append(batch).await?),
            None => Ok(self.store.commit(&Prepared::new(batch)?).await?),
        }
    }

    /// What all parts share is refused: the texts are lost, and the rows say so.
    fn go_on_without(&self, shared: Batch, lot: &mut Lot) {
        tracing::error!(
            target: "toolgate::audit",
            texts = shared.content.len(), people = shared.people.len(), "the database refuses these texts or people: they are lost",
        );
        self.sent.lost.add(shared.content.len());
        let lost = shared.content.into_iter().map(|content| content.id).collect();
        lot.parts.iter_mut().for_each(|part| lost_texts::drop_from(part, &lost));
        (lot.batch.content, lot.batch.people, lot.batch.callers) = Default::default();
    }

    /// What a part says that was refused, unless it was events already.
    fn as_events(&self, part: Batch) -> Option<Batch> {
        let made_at = part.link.made_at;
        if part.rows.iter().all(|row| matches!(row, Row::Event(_))) {
            self.sent.lost.add(part.rows.len());
            tracing::error!(target: "toolgate::audit", rows = ?part.rows, "the database refuses these records: they are lost");
            return None;
        }
        let rows = part.rows.iter().map(|row| self.chain.late(row, made_at)).collect();
        Some(Batch { rows, content: Vec::new(), words: Vec::new(), ..part })
    }
}

/// How many commits up to this head of a chain the store lacks, and behind which they stood. Who closed the run
/// meanwhile may have put a link of its own into the place of a lost one.
async fn commits_lost(store: &Store, of: &Run, before: Head) -> Result<Option<(u64, u64)>, sqlx::Error> {
    let stands = in_time(links::hash_at(store, of, before.seq)).await?;
    if before.seq == 0 || stands.is_some_and(|hash| hash == Digest(before.hash).to_string()) {
        return Ok(None);
    }
    let last = in_time(links::head(store, of)).await?.map_or(0, |(seq, _)| seq);
    let behind = last.min(before.seq - 1);
    Ok(Some((before.seq - behind, behind)))
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
