use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use crate::dialect::raw::{self, Object};
use crate::dialect::{EchoedTurn, History, KeptRound, Request, Restoration, Visible};

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
            Restoration::Rounds { rounds, in_place, cut } => {
                let mut elements: Vec<String> =
                    rounds.iter().flat_map(|round| append::elements(round, *in_place)).collect();
                if let Some(last) = rounds.last() {
                    let pieces = input.pieces(turn, history, last);
                    let answered = input.answered(turn.elements.end, &pieces);
                    elements.extend(append::owed(last, |call| answered.contains(call)));
                    edits.extend(pieces.into_iter().map(|piece| (input.gap(&piece), String::new())));
                }
                if *cut {
                    elements.extend(input.beyond(&turn.elements, rounds));
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

impl<'a> Element<'a> {
    fn id(&self) -> Cow<'a, str> {
        self.fields.string("id").unwrap_or_default()
    }

    /// Whether it is a line of the gateway's about a call.
    fn is_line(&self) -> bool {
        self.id().starts_with(OWN_LINE)
    }
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

    /// What the assistant says in a turn beyond what it says in these rounds, after which its answer broke off.
    fn beyond(&self, places: &Range<usize>, rounds: &[KeptRound]) -> Vec<String> {
        let mut told = Visible::default();
        for round in rounds {
            told.add_text(&append::text(round));
        }
        let (mut told, mut beyond) = (&*told.text, Vec::new());
        let is_said = |element: &&Element<'_>| element.kind == Kind::Message && !element.is_line();
        for element in self.elements[places.clone()].iter().filter(is_said) {
            let text = item::said(&element.fields);
            let mut dense = Visible::default();
            dense.add_text(&text);
            if let Some(rest) = told.strip_prefix(&*dense.text) {
                told = rest;
            } else if dense.text.starts_with(told) {
                beyond.push(item::spoken(after(&text, told.chars().count())));
                told = "";
            }
        }
        beyond
    }

    /// What stays of a turn that nobody can vouch for.
    fn bare(&self, places: &Range<usize>) -> Vec<String> {
        let elements = &self.elements[places.clone()];
        let loses_reasoning = elements.iter().any(|element| element.kind == Kind::Reasoning);
        let bare = |element: &Element<'_>| match element.kind {
            Kind::Reasoning | Kind::Seal | Kind::Listing => None,
            Kind::Reference if element::is_own(&element.id()) => None,
            Kind::Message if element.is_line() => None,
            Kind::Claim => Some(claimed(&Claim::read(&element.fields))),
            _ if loses_reasoning => Some(item::without_id(element.text)),
            _ => Some(element.text.to_owned()),
        };
        elements.iter().filter_map(bare).collect()
    }
}

/// A text without so many of its first characters, in which white space does not count.
fn after(text: &str, count: usize) -> &str {
    let mut dense = text.char_indices().filter(|(_, c)| !c.is_ascii_whitespace()).skip(count);
    dense.next().map_or("", |(start, _)| &text[start..])
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
