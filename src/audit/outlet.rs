//! Where records go besides the store: log lines, metrics, traces, webhooks.

use std::fmt;
use std::sync::Arc;

use crate::domain::Caller;
use crate::store::checkpoints::Checkpoint;
use crate::store::records::Row;

/// One record as it goes out. It is durable already.
#[derive(Debug, Clone)]
pub struct Published {
    /// The row.
    pub row: Row,
    /// The row's text, as far as it is kept: none where the store gets none, redacted where the store gets it redacted.
    pub text: Option<Arc<str>>,
    /// For whom; nobody, where the gateway did something by itself.
    pub caller: Option<Arc<Caller>>,
}

/// One way out. It is told of every record once, in the order in which they were committed.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// Takes records that have just been committed. Never waits: what it cannot take at once, it counts as lost and
    /// says so.
    fn publish(&self, records: &[Published]);

    /// Takes a checkpoint that has just been made. Never waits.
    fn checkpoint(&self, _checkpoint: &Checkpoint) {}
}
