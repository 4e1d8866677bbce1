//! What the writer does when the store is there, but not as it was left, or does not take what it is given.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Lot, WriteError, Writer};
use crate::audit::entry::{body, body_mut};
use crate::audit::instance;
use crate::audit::own_chain::{LOST, Loss, OwnChain};
use crate::audit::people::Newcomers;
use crate::audit::prepare::Aside;
use crate::store::batch::{Batch, CommitError, Prepared};
use crate::store::content;
use crate::store::links::{self, Run};
use crate::store::patience::{in_time, is_refusal};
use crate::store::records::{Kept, Row};

/// Why a gateway goes on under a new run, where nothing is lost.
const CLOSED: &str = "another gateway took this one for gone and closed what it had open";

impl Writer {
    /// After a failed commit the store may lack what it had taken: this batch tells once more of its people, and what
    /// comes after it of people and texts.
    pub(super) fn doubt(&mut self, lot: &mut Lot) {
        self.doubts = true;
        self.forget_written();
        let batch = &mut lot.batch;
        let mut newcomers = Newcomers {
            people: std::mem::take(&mut batch.people),
            callers: std::mem::take(&mut batch.callers),
        };
        for caller in lot.asides.iter().filter_map(|aside| aside.caller.as_ref()) {
            self.people.restate(caller, &mut newcomers);
        }
        (batch.people, batch.callers) = (newcomers.people, newcomers.callers);
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
    pub(super) async fn lost_before(&mut self, lot: &mut Lot) -> Result<Option<Loss>, WriteError> {
        let of = self.chain.run().clone();
        let behind = in_time(links::head(&self.store, &of)).await?.map_or(0, |(seq, _)| seq);
        let commits = lot.before.seq.saturating_sub(behind);
        if commits == 0 {
            self.doubts = false;
            return Ok(None);
        }
        self.drop_lost_texts(&mut lot.batch).await?;
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

    /// Of a text that stood in the lost commits, and was in memory no longer when this batch was made, only the size is
    /// left: its rows say so.
    async fn drop_lost_texts(&self, batch: &mut Batch) -> Result<(), sqlx::Error> {
        let mut there: HashSet<String> = batch.content.iter().map(|content| content.id.clone()).collect();
        let of = |row: &Row| kept_text(row).map(str::to_owned);
        let asked: Vec<String> = batch.rows.iter().filter_map(of).filter(|id| !there.contains(id)).collect();
        let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
        there.extend(in_time(content::present(&self.store, &asked)).await?);
        for row in &mut batch.rows {
            if kept_text(row).is_some_and(|id| !there.contains(id))
                && let Some(body) = body_mut(row)
            {
                (body.id, body.kept) = (None, Kept::Dropped);
            }
        }
        Ok(())
    }

    /// The database will never take this batch: it is written interception by interception, so that nothing holds up
    /// what comes after it.
    pub(super) fn take_apart(&mut self, lot: &mut Lot, why: &sqlx::Error) {
        tracing::error!(
            target: "toolgate::audit",
            error = %why, rows = lot.batch.rows.len(), "the database refuses a batch; its records are written one by one",
        );
        self.chain.head = lot.before;
        let mut words: HashMap<Uuid, Vec<_>> = HashMap::new();
        for some in &lot.batch.words {
            words.entry(some.interception_id.as_uuid()).or_default().push(some.clone());
        }
        let shared = Batch { rows: Vec::new(), words: Vec::new(), ..lot.batch.clone() };
        let link = &lot.batch.link;
        lot.parts = by_interception(lot.batch.rows.clone())
            .into_iter()
            .map(|(id, rows)| Batch {
                link: link.clone(),
                rows,
                content: Vec::new(),
                people: Vec::new(),
                callers: Vec::new(),
                words: words.remove(&id).unwrap_or_default(),
            })
            .collect();
        lot.parts.push_front(shared);
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
                Ok(()) => {}
                Err(WriteError::Store(CommitError::Database(error))) if is_refusal(&error) => {
                    self.chain.head = before;
                    lot.parts.extend(self.as_events(part));
                }
                Err(WriteError::Store(CommitError::Fenced(former))) => {
                    lot.parts.push_front(part);
                    self.begin_anew(&former, None).await?;
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

/// The text that is to be in the store with a row.
fn kept_text(row: &Row) -> Option<&str> {
    let body = body(row).filter(|body| matches!(body.kept, Kept::Redacted | Kept::Full | Kept::Cut))?;
    body.id.as_deref()
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
