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

/// One way out. It is told of every record once; of those of one run, in the order in which they were committed.
pub trait Outlet: fmt::Debug + Send + Sync {
    /// Takes records that have just been committed. Never waits: what it cannot take at once, it counts as lost and
    /// says so.
    fn publish(&self, records: &[Published]);

    /// Takes a checkpoint that has just been made. Never waits.
    fn checkpoint(&self, _checkpoint: &Checkpoint) {}
}

/// All ways out.
#[derive(Debug, Clone, Default)]
pub struct Outlets(Arc<[Arc<dyn Outlet>]>);

impl Outlets {
    /// These.
    pub fn new(outlets: impl IntoIterator<Item = Arc<dyn Outlet>>) -> Self {
        Self(outlets.into_iter().collect())
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells all of records that have just been committed.
    pub fn publish(&self, records: &[Published]) {
        self.0.iter().for_each(|outlet| outlet.publish(records));
    }

    /// The same of rows that are nobody's request: what was closed, taken away or erased.
    pub fn publish_rows(&self, rows: impl IntoIterator<Item = Row>) {
        let records: Vec<_> =
            rows.into_iter().map(|row| Published { row, text: None, caller: None }).collect();
        self.publish(&records);
    }

    /// Tells all of a checkpoint that has just been made.
    pub fn checkpoint(&self, checkpoint: &Checkpoint) {
        self.0.iter().for_each(|outlet| outlet.checkpoint(checkpoint));
    }
}
