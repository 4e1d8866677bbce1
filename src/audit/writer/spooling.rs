//! What the writer does while its store is away and records are to wait in a file.

use std::collections::HashSet;
use std::io;

use super::{WriteError, Writer};
use crate::audit::own_chain::Loss;
use crate::audit::replay::{Progress, lost_texts_of};
use crate::store::batch::CommitError;
use crate::store::links::Run;

impl Writer {
    /// Whether what the store does not take goes into the spool from now on.
    pub(super) fn takes_to_spool(&mut self, error: &WriteError) -> bool {
        let Some(replay) = &self.replay else { return false };
        if self.spooling {
            // Where nothing is in it that must come first, the store may be tried again.
            self.spooling = replay.is_active();
            return false;
        }
        tracing::error!(
            target: "toolgate::audit",
            %error, spool = %replay.spool.path().display(),
            "the audit cannot write to its store: records go into the spool until it can",
        );
        self.spooling = true;
        true
    }

    /// A pass over the spool has ended.
    pub(super) async fn replayed(&mut self, progress: Progress) {
        let Some(replay) = &mut self.replay else { return };
        if let Some(CommitError::Fenced(run)) = progress.stopped {
            if let Err(error) = self.respool(progress.offset, &run, progress.loss).await {
                tracing::error!(target: "toolgate::audit", %error, "the spool cannot be put under a new epoch yet");
            }
            return;
        }
        if replay.go_on(progress).await {
            self.spooling = false;
            tracing::info!(target: "toolgate::audit", "everything that was spooled is in the store");
        }
    }

    /// Puts what is left in the spool under a new run.
    async fn respool(&mut self, from: u64, closed: &Run, loss: Option<Loss>) -> Result<(), WriteError> {
        let lost = self.lost_texts(from, loss.as_ref()).await;
        let begun = match lost {
            Ok(lost) => self.begin_anew(closed, loss).await.map(|()| lost).map_err(WriteError::from),
            Err(error) => Err(error.into()),
        };
        self.forget_written();
        let Some(replay) = &mut self.replay else { return Ok(()) };
        let chain = &mut self.chain;
        let respooled = match begun {
            Ok(lost) => replay.respool(from, |batch| chain.relink_without(batch, &lost)).await,
            Err(error) => return replay.begin_later(from, error),
        };
        respooled.or_else(|error| replay.begin_later(from, error.into()))
    }

    /// The texts of what is spooled that were in the store before it lost something.
    async fn lost_texts(&self, from: u64, loss: Option<&Loss>) -> io::Result<HashSet<String>> {
        match (&self.replay, loss) {
            (Some(replay), Some(_)) => lost_texts_of(&self.store, &replay.spool, from).await,
            _ => Ok(HashSet::new()),
        }
    }

    /// Brings over what is left when the gateway closes; false where it has to wait for the next start.
    pub(super) async fn drain(&mut self) -> bool {
        while self.spooling {
            let Some(replay) = &mut self.replay else { break };
            match replay.last_pass().await {
                Some(Progress { stopped: Some(CommitError::Database(error)), .. }) => {
                    tracing::warn!(target: "toolgate::audit", %error, "records wait in the spool for the next start");
                    return false;
                }
                Some(progress) => self.replayed(progress).await,
                None => break,
            }
        }
        true
    }
}
