//! Checkpoints: whether they are signed, and whether the chains still have the heads that they had then.

use std::collections::HashSet;

use super::{Finding, Verification};
use crate::audit::chain::HeadOf;
use crate::audit::checkpoint::{digest, is_signed_by, read};
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
        let mut last = String::new();
        loop {
            let page = checkpoints::after(self.store, &last, PAGE).await?;
            let Some(end) = page.last() else { break };
            last.clone_from(&end.id);
            for checkpoint in &page {
                self.check_checkpoint(checkpoint, &mut seen).await?;
                seen.stored.insert(digest(&checkpoint.body));
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
            let is_behind = |beginning: &HeadOf| head.seq < beginning.seq || head == beginning;
            let is_excused =
                self.excuses.head(&run).is_some_and(is_behind) || self.excuses.proof(head.made_at);
            if !is_excused {
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
