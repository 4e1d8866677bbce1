//! How many streams a caller may listen to at once: they last, and so are counted apart from what runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::session::PER_CALLER;
use crate::domain::Caller;

/// Who listens without a session.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<HashMap<(String, String), Arc<Semaphore>>>);

impl Listeners {
    /// A place for one more stream of this caller, until it is dropped.
    pub(super) fn join(&self, caller: &Caller) -> Option<OwnedSemaphorePermit> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Each place that is taken holds on to its caller's.
        places.retain(|_, places| Arc::strong_count(places) > 1);
        let theirs = places.entry((caller.key.clone(), caller.user.clone()));
        let theirs = theirs.or_insert_with(|| Arc::new(Semaphore::new(PER_CALLER)));
        Arc::clone(theirs).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ToolSettings;

    fn caller(key: &str) -> Caller {
        let (groups, settings) = (Vec::new(), ToolSettings::default());
        Caller { key: key.into(), user: "user".into(), groups, settings }
    }

    #[test]
    fn each_caller_has_so_many_places_and_gets_them_back() {
        let listeners = Listeners::default();
        let mut places: Vec<_> = (0..PER_CALLER).map(|_| listeners.join(&caller("a")).unwrap()).collect();
        assert!(listeners.join(&caller("a")).is_none());
        assert!(listeners.join(&caller("b")).is_some());
        places.pop();
        assert!(listeners.join(&caller("a")).is_some());
        places.clear();
        let _other = listeners.join(&caller("b"));
        assert_eq!(listeners.0.lock().unwrap().len(), 1);
    }
}
