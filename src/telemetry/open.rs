//! What an outlet remembers of the interceptions that run: what their later records do not say again.

use std::collections::HashMap;

use crate::domain::InterceptionId;

/// More interceptions than this do not run at once, unless their ends are never told.
const MOST: usize = 65_536;

/// Something for each interception that runs; bounded.
#[derive(Debug)]
pub(super) struct Open<T>(HashMap<InterceptionId, T>);

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> Open<T> {
    /// Remembers it; false where there is no room, or it is known already.
    pub(super) fn insert(&mut self, id: InterceptionId, what: T) -> bool {
        if self.0.len() >= MOST || self.0.contains_key(&id) {
            return false;
        }
        self.0.insert(id, what);
        true
    }

    pub(super) fn get(&self, id: InterceptionId) -> Option<&T> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: InterceptionId) -> Option<&mut T> {
        self.0.get_mut(&id)
    }

    pub(super) fn remove(&mut self, id: InterceptionId) -> Option<T> {
        self.0.remove(&id)
    }
}
