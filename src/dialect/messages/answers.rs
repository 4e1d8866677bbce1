//! What a client says to the calls of a round.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use super::append::{no_result, user};
use super::message::{Message, Part};
use crate::dialect::KeptRound;
use crate::dialect::raw::Patch;

/// What a client says to the calls of a round.
pub struct Answers<'a, 'e> {
    /// The message behind the turn, if the user speaks there.
    pub message: Option<&'e Message<'a>>,
    /// The client's calls that have no result yet.
    pub open: BTreeSet<&'e str>,
    results: Vec<Cow<'a, str>>,
    rest: Vec<Cow<'a, str>>,
    /// Messages of others that stood between.
    pub passed: Vec<&'e Message<'a>>,
    /// Where the elements end that say all this.
    pub end: usize,
}

impl<'a, 'e> Answers<'a, 'e> {
    /// Nothing has been said to these calls yet; their turn ends here.
    pub fn new(end: usize, open: BTreeSet<&'e str>) -> Self {
        Self { message: None, open, results: Vec::new(), rest: Vec::new(), passed: Vec::new(), end }
    }

    /// Whether this message answers a call that has no result yet.
    pub fn are_in(&self, message: &Message<'_>) -> bool {
        message
            .parts()
            .any(|part| part.kind == "tool_result" && self.open.contains(&*part.string("tool_use_id")))
    }

    /// Takes in what a message says.
    pub fn take(&mut self, message: &Message<'a>, round: &KeptRound) {
        let own: HashSet<&str> =
            round.calls.iter().filter(|call| call.result.is_some()).map(|call| call.id.as_str()).collect();
        for text in message.part_texts() {
            let part = Part::read(&text);
            let id = if part.kind == "tool_result" { part.string("tool_use_id") } else { Cow::Borrowed("") };
            if self.open.remove(&*id) {
                self.results.push(text);
            } else if !own.contains(&*id) {
                self.rest.push(text);
            }
        }
    }

    /// The message that answers the round: the gateway's results, then the client's, then what else it says.
    pub fn write(&self, round: &KeptRound) -> String {
        let own = round.calls.iter().filter_map(|call| match &call.result {
            Some(result) => Some(Cow::Borrowed(result.element.as_str())),
            None if self.open.contains(call.id.as_str()) => Some(Cow::Owned(no_result(&call.id).element)),
            None => None,
        });
        let blocks: Vec<Cow<'_, str>> =
            own.chain(self.results.iter().cloned()).chain(self.rest.iter().cloned()).collect();
        let blocks = blocks.join(",");
        let Some(message) = self.message else { return user(&blocks) };
        let mut patch = Patch::default();
        patch.set(message.json, &message.fields, "content", &format!("[{blocks}]"));
        patch.apply(message.json)
    }
}
