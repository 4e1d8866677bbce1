//! Turns of the history in the form in which they go up.

use std::collections::HashSet;
use std::ops::Range;

use super::element::{Element, Kind};
use super::{append, item, strip};
use crate::dialect::{EchoedTurn, History, KeptRound, Request, Restoration, dense};

/// Puts turns of the history, by their numbers, into the form in which they go up.
pub fn restore(request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]) {
    let input = Input::of(request);
    let mut edits = Vec::new();
    for (number, change) in changes {
        let Some(turn) = history.turns.get(*number).filter(|turn| turn.elements.end <= input.elements.len())
        else {
            continue;
        };
        match change {
            Restoration::Rounds { rounds, with_thinking } => {
                let mut elements: Vec<String> =
                    rounds.iter().flat_map(|round| append::elements(round, *with_thinking)).collect();
                if let Some(last) = rounds.last() {
                    let pieces = input.pieces(turn, history, last);
                    let answered = input.answered(turn.elements.end, &pieces);
                    elements.extend(append::owed(last, |call| answered.contains(call)));
                    edits.extend(pieces.into_iter().map(|piece| (piece, Vec::new())));
                }
                edits.push((turn.elements.clone(), elements));
            }
            Restoration::Stripped => {
                let said = &input.elements[turn.elements.clone()];
                edits.push((turn.elements.clone(), strip::turn(said)));
            }
        }
    }
    request.draft.replace_elements("input", edits);
}

/// What a client saw of an answer that broke off beyond these rounds, as one more round.
pub fn beyond(request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound> {
    let input = Input::of(request);
    let is_said = |element: &&Element<'_>| element.kind == Kind::Message && !element.is_line();
    let said = input.elements.get(turn.elements.clone())?.iter().filter(is_said);
    let said: Vec<String> = said.map(|element| item::said(&element.fields)).collect();
    let beyond = dense::beyond(&said, rounds.iter().map(append::text)).into_iter().map(str::trim_ascii_start);
    let items: Vec<String> = beyond.filter(|text| !text.is_empty()).map(item::spoken).collect();
    (!items.is_empty()).then(|| KeptRound::without_calls(append::items(false, "", &items)))
}

/// The elements of a request's `input`, for a closer look than the history takes.
struct Input<'a> {
    elements: Vec<Element<'a>>,
}

impl<'a> Input<'a> {
    fn of(request: &'a Request) -> Self {
        let has_mcp = !request.tools.mcp_servers.is_empty();
        let elements = request.draft.object().array("input").into_iter();
        Self { elements: elements.map(|text| Element::read(text, has_mcp)).collect() }
    }

    /// Later turns that are pieces of this one: clients may tell each call with its output.
    fn pieces(&self, turn: &EchoedTurn, history: &History, last: &KeptRound) -> Vec<Range<usize>> {
        let mut left: HashSet<&str> =
            last.calls.iter().filter(|call| call.result.is_none()).map(|call| &*call.id).collect();
        for call in &turn.visible.calls {
            left.remove(&**call);
        }
        let (mut pieces, mut at) = (Vec::new(), turn.elements.end);
        while let Some(next) = self.elements.get(at) {
            if next.kind == Kind::Output {
                at += 1;
                continue;
            }
            let calls_left = |later: &&EchoedTurn| {
                let calls = &later.visible.calls;
                later.elements.start == at
                    && !calls.is_empty()
                    && calls.iter().all(|call| left.contains(&**call))
            };
            let Some(piece) = history.turns.iter().find(calls_left) else { break };
            for call in &piece.visible.calls {
                left.remove(&**call);
            }
            pieces.push(piece.elements.clone());
            at = piece.elements.end;
        }
        pieces
    }

    /// The calls that are answered from here on, until a call takes up the id again.
    fn answered(&self, from: usize, pieces: &[Range<usize>]) -> HashSet<String> {
        let (mut answered, mut taken) = (HashSet::new(), HashSet::new());
        for (index, element) in self.elements.iter().enumerate().skip(from) {
            let Some(call) = element.fields.string("call_id") else { continue };
            match element.kind {
                Kind::Call if !pieces.iter().any(|piece| piece.contains(&index)) => {
                    taken.insert(call);
                }
                Kind::Output if !taken.contains(&call) => {
                    answered.insert(call.into_owned());
                }
                _ => {}
            }
        }
        answered
    }
}
