//! Whose the calls of a streamed round are, which their names tell: a call waits while its name may go on.

use std::collections::HashSet;
use std::sync::Arc;

use super::call::{CallPieces, Owner, Piece};
use crate::dialect::raw::{self, Object};

/// Tells the gateway's calls from the client's, which get indices of their own.
pub struct Owners {
    injected: Arc<HashSet<String>>,
    client_calls: u32,
}

impl Owners {
    /// The calls of these tools are the gateway's.
    pub fn new(injected: Arc<HashSet<String>>) -> Self {
        Self { injected, client_calls: 0 }
    }

    /// Whether any call can be the gateway's.
    pub fn has_injected(&self) -> bool {
        !self.injected.is_empty()
    }

    /// Takes the pieces of calls in a delta, and gives the client's part of them under the client's indices;
    /// `None` if that is the whole as it stands.
    pub fn take(&mut self, calls: &mut Vec<CallPieces>, delta: &Object<'_>) -> Option<Vec<String>> {
        let pieces = delta.get("tool_calls").and_then(raw::elements)?;
        let mut visible = Vec::new();
        let mut changes = false;
        for piece in pieces.into_iter().map(Piece::read) {
            let (known, before) = (calls.len(), visible.len());
            let position = CallPieces::gather(calls, &piece);
            if position == known {
                // Where another call begins, the names of those before it are complete.
                self.settle_each(&mut calls[..position], &mut visible);
            }
            let call = &mut calls[position];
            self.settle(call, true);
            call.release(Some(&piece), &mut visible);
            let as_it_stands = matches!(call.owner, Owner::Client(index) if piece.is_at(index));
            changes |= !as_it_stands || visible.len() != before + 1;
        }
        (changes && self.has_injected()).then_some(visible)
    }

    /// Gives the client's pieces of the calls whose names could have gone on until the very end.
    pub fn settle_all(&mut self, calls: &mut [CallPieces]) -> Vec<String> {
        let mut visible = Vec::new();
        self.settle_each(calls, &mut visible);
        visible
    }

    fn settle_each(&mut self, calls: &mut [CallPieces], visible: &mut Vec<String>) {
        for call in calls {
            self.settle(call, false);
            call.release(None, visible);
        }
    }

    /// Finds out whose a call is, unless more of its name may come.
    fn settle(&mut self, call: &mut CallPieces, open: bool) {
        if call.owner != Owner::Unknown {
            return;
        }
        let (name, is_function) = (call.name(), call.is_function());
        let may_become_ours = || self.injected.iter().any(|injected| injected.starts_with(name));
        if is_function && open && call.is_naming() && may_become_ours() {
            return;
        }
        if is_function && self.injected.contains(name) {
            call.owner = Owner::Gateway;
        } else {
            call.owner = Owner::Client(self.client_calls);
            self.client_calls += 1;
        }
    }
}
