//! What an outlet remembers of the interceptions that run: what their later records do not say again.

use std::collections::BTreeMap;

use crate::domain::InterceptionId;

/// More interceptions than this do not run at once.
const MOST: usize = 65_536;
/// None runs so long: wall clocks and time-outs are a day at most. Milliseconds.
const LONGEST: u64 = 2 * 24 * 60 * 60 * 1_000;

/// Something for each interception that runs. Not every end is told: one may be lost on its way. So the oldest make
/// room; ids sort by time.
#[derive(Debug)]
pub(super) struct Open<T>(BTreeMap<InterceptionId, T>);

impl<T> Default for Open<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Open<T> {
    /// Remembers it, and gives back what made room for it: what cannot run any more, and the oldest where there are too
    /// many.
    pub(super) fn insert(&mut self, id: InterceptionId, what: T) -> Vec<T> {
        self.0.insert(id, what);
        let mut gone = Vec::new();
        while self.0.first_key_value().is_some_and(|(oldest, _)| {
            self.0.len() > MOST || oldest.made_at_ms().saturating_add(LONGEST) < id.made_at_ms()
        }) {
            gone.extend(self.remove_oldest());
        }
        gone
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

    pub(super) fn remove_oldest(&mut self) -> Option<T> {
        self.0.pop_first().map(|(_, what)| what)
    }

    /// How many run.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The n-th id that was made at this time.
    fn id(ms: u64, n: usize) -> InterceptionId {
        let bits = u128::from(ms) << 80 | 0x7000_8000_0000_0000_0000 | n as u128;
        uuid::Uuid::from_u128(bits).to_string().parse().unwrap()
    }

    #[test]
    fn an_end_that_is_never_told_leaves_nothing_for_ever() {
        let mut open = Open::default();
        for n in 0..MOST {
            assert!(open.insert(id(1_000, n), n).is_empty());
        }
        assert_eq!(open.insert(id(1_001, 0), MOST), [0], "the oldest makes room");
        assert!(open.get(id(1_000, 0)).is_none() && open.get(id(1_001, 0)).is_some());
        assert_eq!(open.insert(id(1_000 + LONGEST, 0), 7).len(), 1, "who is old may still run");
        assert_eq!(open.insert(id(1_001 + LONGEST, 0), 8).len(), MOST - 2);
        assert_eq!(open.len(), 3);
    }
}
