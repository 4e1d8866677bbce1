//! What the writer does while its store is away and records are to wait in a file.

use super::{WriteError, Writer};
use crate::audit::own_chain::Loss;
use crate::audit::replay::Progress;
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
        let begun = self.begin_anew(closed, loss).await;
        self.forget_written();
        let Some(replay) = &mut self.replay else { return Ok(()) };
        let chain = &mut self.chain;
        let respooled = match begun {
            Ok(()) => replay.respool(from, |batch| chain.relink(batch)).await,
            Err(error) => return replay.begin_later(from, error.into()),
        };
        respooled.or_else(|error| replay.begin_later(from, error.into()))
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
