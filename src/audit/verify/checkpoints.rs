//! Checkpoints: whether they are signed, and whether the chains still have the heads that they had then.

use std::collections::HashSet;

use super::{Finding, Verification};
use crate::audit::chain::HeadOf;
use crate::audit::checkpoint::{digest, is_signed_by, read};
use crate::audit::event::COMMANDS;
use crate::store::checkpoints::{self, Checkpoint};
use crate::store::links::{self, Run};

/// Checkpoints that are read at once.
const PAGE: u32 = 100;

/// What is known of checkpoints so far.
#[derive(Debug, Default)]
struct Seen {
    /// Digests of those in the store.
    stored: HashSet<String>,
    /// Heads that the chains have.
    heads: HashSet<(Run, u64, String)>,
}

impl Verification<'_> {
    pub(super) async fn check_checkpoints(&mut self) -> Result<(), sqlx::Error> {
        let mut seen = Seen::default();
        // First all of them, because clocks differ: the one before may come later by its id.
        let mut last = String::new();
        while let Some(page) = self.page(&mut last).await? {
            seen.stored.extend(page.iter().map(|checkpoint| digest(&checkpoint.body)));
        }
        last.clear();
        while let Some(page) = self.page(&mut last).await? {
            for checkpoint in &page {
                // One that has come since then is proven by the next verification.
                if seen.stored.contains(&digest(&checkpoint.body)) {
                    self.check_checkpoint(checkpoint, &mut seen).await?;
                }
            }
        }
        let evidence = self.evidence;
        for checkpoint in &evidence.checkpoints {
            if seen.stored.contains(&digest(&checkpoint.body)) {
                continue;
            }
            self.check_checkpoint(checkpoint, &mut seen).await?;
            if !self.excuses.proof(checkpoint.made_at) {
                self.wrong(checkpoint, "it was kept elsewhere, and is not in the store any more");
            }
        }
        Ok(())
    }

    /// The checkpoints behind this id, which is that of the last one then; none at the end.
    async fn page(&self, last: &mut String) -> Result<Option<Vec<Checkpoint>>, sqlx::Error> {
        let page = checkpoints::after(self.store, last, PAGE).await?;
        let Some(end) = page.last() else { return Ok(None) };
        last.clone_from(&end.id);
        Ok(Some(page))
    }

    async fn check_checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        seen: &mut Seen,
    ) -> Result<(), sqlx::Error> {
        self.report.checkpoints += 1;
        let Some(body) = read(checkpoint) else {
            self.wrong(checkpoint, "it cannot be read");
            return Ok(());
        };
        let own = std::slice::from_ref(&body.public_key);
        let keys = &self.evidence.public_keys;
        let keys = if keys.is_empty() { own } else { keys.as_slice() };
        if !keys.iter().any(|key| is_signed_by(checkpoint, key)) {
            self.wrong(checkpoint, "its signature is not one of the given public keys, or it was changed");
        } else if body.made_at != checkpoint.made_at {
            self.wrong(checkpoint, "it says that it was made at another time");
        }
        if let Some(previous) = &body.previous
            && !seen.stored.contains(&previous.digest)
            && !self.excuses.proof(previous.made_at)
        {
            self.wrong(checkpoint, &format!("the one before it, of {}, is gone", previous.made_at));
        }
        for head in body.heads {
            let key = (head.run(), head.seq, head.hash.clone());
            if !seen.heads.contains(&key) {
                self.check_head(checkpoint, &head).await?;
                seen.heads.insert(key);
            }
        }
        Ok(())
    }

    async fn check_head(&mut self, checkpoint: &Checkpoint, head: &HeadOf) -> Result<(), sqlx::Error> {
        let run = head.run();
        let Some(hash) = links::hash_at(self.store, &run, head.seq).await? else {
            // The last link of the commands' chain never goes, so it must still begin somewhere.
            let begins = self.excuses.head(&run).is_some_and(|beginning| head.seq <= beginning.seq);
            if !self.excuses.proof(head.made_at) || (run.instance == COMMANDS && !begins) {
                let what = format!(
                    "link {} of {}, run {}, is gone: the chain was cut off",
                    head.seq, run.instance, run.epoch
                );
                self.wrong(checkpoint, &what);
            }
            return Ok(());
        };
        if hash != head.hash {
            let what = format!(
                "link {} of {}, run {}, had another hash then: the chain was written anew",
                head.seq, run.instance, run.epoch
            );
            self.wrong(checkpoint, &what);
        }
        Ok(())
    }

    fn wrong(&mut self, checkpoint: &Checkpoint, what: &str) {
        self.report.find(Finding::of("checkpoints", &checkpoint.id, what));
    }
}
