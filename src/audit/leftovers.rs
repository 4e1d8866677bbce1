//! What an earlier run left in files comes into the store before this one begins.

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;

use super::own_chain::OwnChain;
use super::replay::{lost_texts_of, replay};
use super::spool::{Lines, Spool};
use super::write_ahead::WriteAhead;
use super::{OpenError, Outlets, Settings, instance};
use crate::config::{Durability, OnUnavailable};
use crate::store::batch::{Batch, CommitError};
use crate::store::links::{Link, Run};
use crate::store::records::events::Action;
use crate::store::records::{self, Row};
use crate::store::{Store, instances};

/// The write-ahead file, empty, where there is to be one; what an earlier run left in it is in the store then, and told
/// of.
pub(super) async fn write_ahead(
    store: &Store,
    settings: &Settings,
    outlets: &Outlets,
) -> Result<Option<WriteAhead>, OpenError> {
    let Some(path) = WriteAhead::path(store, settings.write_ahead.as_deref()) else { return Ok(None) };
    // Where a disk has to be waited for, it is waited for once.
    let wanted = settings.durability == Durability::Process;
    if !wanted && !path.exists() {
        return Ok(None);
    }
    let unusable = |source| OpenError::File { path: path.clone(), source };
    let lock = WriteAhead::lock(store, &path).map_err(unusable)?;
    if let Some(batch) = WriteAhead::recover(&path).map_err(unusable)? {
        let mut left = Spool::open_own(&path, false).await.map_err(unusable)?;
        bring_in_missing(store, settings, outlets, &mut left, &batch).await?;
    }
    let empty = WriteAhead::open(&path, lock).map_err(unusable)?;
    Ok(wanted.then_some(empty))
}

/// The spool, empty, where there is to be one; what an earlier run left in it is in the store then.
pub(super) async fn spool(
    store: &Store,
    settings: &Settings,
    outlets: &Outlets,
) -> Result<Option<Spool>, OpenError> {
    let path = &settings.spool;
    let wanted = settings.on_unavailable == OnUnavailable::Spool;
    if !wanted && !path.exists() {
        return Ok(None);
    }
    let unusable = |source| OpenError::File { path: path.clone(), source };
    let sync = settings.durability == Durability::Power;
    let mut spool = Spool::open(path, sync).await.map_err(unusable)?;
    if spool.length() > 0 {
        bring_in(store, settings, outlets, &mut spool).await?;
        spool.empty().await.map_err(unusable)?;
    }
    Ok(wanted.then_some(spool))
}

/// Commits of the batch in a file what is not in the store. Parts of it are there where the database refused it as a
/// whole.
async fn bring_in_missing(
    store: &Store,
    settings: &Settings,
    outlets: &Outlets,
    left: &mut Spool,
    batch: &Batch,
) -> Result<(), OpenError> {
    let path = left.path().to_owned();
    let failed = |source: sqlx::Error| OpenError::Left { path: path.clone(), source: source.into() };
    let mut missing: Vec<_> = batch.rows.iter().map(Row::key).collect();
    let there = records::fetch(store, &missing).await.map_err(failed)?;
    if !there.is_empty() {
        missing.retain(|key| !there.contains_key(key));
        let retain_missing = |batch: &mut Batch| {
            batch.rows.retain(|row| !there.contains_key(&row.key()));
            let interceptions: HashSet<_> = batch.rows.iter().filter_map(Row::interception).collect();
            batch.words.retain(|words| interceptions.contains(&words.interception_id));
        };
        let rewritten = left.rewrite(0, retain_missing).await;
        rewritten.map_err(|source| OpenError::File { path: path.clone(), source })?;
    }
    bring_in(store, settings, outlets, left).await?;
    let mut came = records::fetch(store, &missing).await.map_err(failed)?;
    outlets.publish_rows(missing.iter().filter_map(|key| came.remove(key)));
    Ok(())
}

/// Commits what an earlier run left in a file; the outlets are told of what was lost before it.
async fn bring_in(
    store: &Store,
    settings: &Settings,
    outlets: &Outlets,
    left: &mut Spool,
) -> Result<(), OpenError> {
    let path = left.path().to_owned();
    let unusable = |source| OpenError::File { path: path.clone(), source };
    let failed = |source: sqlx::Error| OpenError::Left { path: path.clone(), source: source.into() };
    tracing::warn!(target: "toolgate::audit", file = %path.display(), bytes = left.length(), "records of an earlier run wait in a file");
    let mut lines = Lines::open(&path, 0, left.length()).await.map_err(unusable)?;
    let mut settings = settings.clone();
    if let Some(Batch { link: Link { instance, epoch, .. }, .. }) = lines.next().await.map_err(unusable)? {
        // Who closes what such a gateway left open looks for its name: this one may have another.
        settings.instance.clone_from(&instance);
        // A database that is older than the file may lack the run, and nobody would ever close it.
        let run = Run { instance, epoch };
        let now = instances::time_of_leases(store, settings.clock.now()).await.map_err(failed)?;
        instances::know(store, &run, now).await.map_err(failed)?;
    }
    let (mut from, count) = (0, AtomicU64::new(u64::MAX));
    let mut losses = Vec::new();
    loop {
        let progress = replay(store, &path, from, left.length(), &count).await;
        match progress.stopped {
            None => break,
            Some(CommitError::Database(error)) => return Err(failed(error)),
            // Somebody has closed that run: what is left goes under a run of its own.
            Some(CommitError::Fenced(_)) => {
                let lost = match &progress.loss {
                    Some(_) => lost_texts_of(store, left, progress.offset).await.map_err(unusable)?,
                    None => HashSet::new(),
                };
                let run = instance::begin(store, &settings).await.map_err(failed)?;
                let mut chain = match progress.loss {
                    Some(loss) => {
                        let (commits, behind, why) = (loss.commits, loss.behind, loss.why);
                        tracing::error!(target: "toolgate::audit", commits, behind_link = behind, "{why}");
                        OwnChain::after_loss(run, loss)
                    }
                    None => OwnChain::anew(run),
                };
                let told = losses.len();
                let relink = |batch: &mut Batch| {
                    chain.relink_without(batch, &lost);
                    losses.extend(batch.rows.iter().filter(|row| is_loss(row)).cloned());
                };
                left.rewrite(progress.offset, relink).await.map_err(unusable)?;
                from = 0;
                // Behind a line that was refused there may be none that could tell of it. Where even that is refused, the
                // log has told.
                if left.length() == 0
                    && told == 0
                    && let Some(batch) = chain.tell_of_loss(settings.clock.now())
                {
                    left.append(&batch).await.map_err(unusable)?;
                    losses.extend(batch.rows);
                }
            }
        }
    }
    outlets.publish_rows(losses);
    tracing::info!(target: "toolgate::audit", file = %path.display(), "nothing waits there any more");
    Ok(())
}

fn is_loss(row: &Row) -> bool {
    matches!(row, Row::Event(event) if event.action == Action::Lost)
}
