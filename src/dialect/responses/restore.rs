use std::collections::HashSet;
use std::ops::Range;

use crate::dialect::raw::{self, Object};
use crate::dialect::{EchoedTurn, History, KeptRound, Request, Restoration};

use super::element::{self, Claim, Kind, OWN_LINE};
use super::{append, item};

/// How much of a claim's arguments, and of its result, is told.
const TOLD: usize = 4000;

/// Puts turns of the history, by their numbers, into the form in which they go up.
pub fn restore(request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]) {
    if changes.is_empty() {
        return;
    }
    let input = Input::of(request);
    let mut edits = Vec::new();
    for (number, change) in changes {
        let Some(turn) = history.turns.get(*number).filter(|turn| turn.elements.end <= input.elements.len())
        else {
            continue;
        };
        match change {
            Restoration::Rounds { rounds, in_place, .. } => {
                let mut elements: Vec<String> =
                    rounds.iter().flat_map(|round| append::elements(round, *in_place)).collect();
                if let Some(last) = rounds.last() {
                    let pieces = input.pieces(turn, history, last);
                    let answered = input.answered(turn.elements.end, &pieces);
                    elements.extend(append::owed(last, |call| answered.contains(call)));
                    edits.extend(pieces.into_iter().map(|piece| (input.gap(&piece), String::new())));
                }
                edits.push(input.edit(&turn.elements, &elements));
            }
            Restoration::Bare => edits.push(input.edit(&turn.elements, &input.bare(&turn.elements))),
        }
    }
    for (span, new) in edits {
        request.draft.replace(span, new);
    }
}

/// The elements of a request's `input`, for a closer look than the history takes.
struct Input<'a> {
    text: &'a str,
    elements: Vec<Element<'a>>,
}

struct Element<'a> {
    text: &'a str,
    fields: Object<'a>,
    kind: Kind,
}

impl<'a> Input<'a> {
    fn of(request: &'a Request) -> Self {
        let has_mcp = !request.tools.mcp_servers.is_empty();
        let element = |text: &'a str| {
            let fields = Object::within(text).unwrap_or_default();
            Element { text, kind: Kind::of(&fields, has_mcp), fields }
        };
        let elements = request.draft.object().array("input").into_iter().map(element).collect();
        Self { text: request.draft.text(), elements }
    }

    /// Where elements stand.
    fn span(&self, places: &Range<usize>) -> Range<usize> {
        let bound = |place: usize| raw::span_in(self.text, self.elements[place].text);
        bound(places.start).start..bound(places.end - 1).end
    }

    /// Where elements stand, with one of the commas around them.
    fn gap(&self, places: &Range<usize>) -> Range<usize> {
        let mut span = self.span(places);
        if let Some(before) = places.start.checked_sub(1) {
            span.start = raw::span_in(self.text, self.elements[before].text).end;
        } else if let Some(next) = self.elements.get(places.end) {
            span.end = raw::span_in(self.text, next.text).start;
        }
        span
    }

    /// Puts these in the place of elements. An input does not become empty by it.
    fn edit(&self, places: &Range<usize>, new: &[String]) -> (Range<usize>, String) {
        let span = self.span(places);
        if !new.is_empty() {
            return (span, new.join(","));
        }
        if places.len() == self.elements.len() {
            return (span.clone(), self.text[span].to_owned());
        }
        (self.gap(places), String::new())
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
        for (place, element) in self.elements.iter().enumerate().skip(from) {
            let Some(call) = element.fields.string("call_id") else { continue };
            match element.kind {
                Kind::Call if !pieces.iter().any(|piece| piece.contains(&place)) => {
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

    /// What stays of a turn that nobody can vouch for.
    fn bare(&self, places: &Range<usize>) -> Vec<String> {
        let elements = &self.elements[places.clone()];
        let loses_reasoning = elements.iter().any(|element| element.kind == Kind::Reasoning);
        let bare = |element: &Element<'_>| {
            let is_own = || element.fields.string("id").is_some_and(|id| element::is_own(&id));
            match element.kind {
                Kind::Reasoning | Kind::Seal | Kind::Listing => None,
                Kind::Reference if is_own() => None,
                Kind::Message if element.fields.string("id").is_some_and(|id| id.starts_with(OWN_LINE)) => {
                    None
                }
                Kind::Claim => Some(claimed(&Claim::read(&element.fields))),
                _ if loses_reasoning => Some(item::without_id(element.text)),
                _ => Some(element.text.to_owned()),
            }
        };
        elements.iter().filter_map(bare).collect()
    }
}

/// A claim as a plain text of the assistant's.
fn claimed(claim: &Claim) -> String {
    let (said, tool) = (if claim.is_error { "failed with" } else { "returned" }, &claim.tool);
    let (arguments, result) = (bounded(&claim.arguments), bounded(&claim.result));
    item::spoken(&format!("[{tool} was called with {arguments} and is said to have {said}: {result}]"))
}

fn bounded(text: &str) -> String {
    match text.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
