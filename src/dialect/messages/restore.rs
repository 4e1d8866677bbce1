//! Turns of the history in the form in which they go up.

use std::collections::BTreeSet;
use std::ops::Range;

use super::answers::Answers;
use super::append::{assistant, turn};
use super::message::{Message, Part, brings_servers, messages, text_block};
use super::strip;
use crate::dialect::raw::{self, Patch};
use crate::dialect::{EchoedTurn, History, Items, KeptRound, Request, Restoration, dense};

/// Puts turns of the history into the form in which they go up.
pub fn restore(request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]) {
    let object = request.draft.object();
    let echo = Echoed { messages: &messages(&object), history, changes };
    let mut replaced = Vec::with_capacity(changes.len());
    for (number, change) in changes {
        let Some(turn) = history.turns.get(*number) else { continue };
        let (elements, new) = match change {
            Restoration::Rounds { rounds, with_thinking } => echo.rounds(*number, rounds, *with_thinking),
            Restoration::Stripped => {
                let said = &echo.messages[turn.elements.clone()];
                (turn.elements.clone(), strip::turn(said, brings_servers(&object)))
            }
        };
        replaced.push((elements, new));
    }
    let without_thinking = if echo.breaks_a_loop() { strip::without_thinking(&object) } else { Vec::new() };
    request.draft.replace_elements("messages", replaced);
    for (key, value) in without_thinking {
        request.draft.set(key, value);
    }
}

/// What a client saw of an answer that broke off beyond these rounds, as one more round.
pub fn beyond(request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound> {
    let text_of = |block: &str| {
        let part = Part::read(block);
        if part.kind == "text" { part.string("text").into_owned() } else { String::new() }
    };
    let object = request.draft.object();
    let messages = messages(&object);
    let blocks: Vec<_> = messages.get(turn.elements.clone())?.iter().flat_map(Message::part_texts).collect();
    let texts: Vec<String> = blocks.iter().map(|block| text_of(block)).collect();
    let told = rounds.iter().flat_map(|round| raw::elements(&round.items.0).unwrap_or_default()).map(text_of);
    let beyond = dense::beyond(&texts, told).into_iter().zip(&texts).zip(blocks);
    let items: Vec<String> = beyond
        .filter(|((rest, _), _)| !rest.trim_ascii().is_empty())
        .map(
            |((rest, text), block)| {
                if rest == *text { Part::read(&block).unmarked() } else { text_block(rest) }
            },
        )
        .collect();
    (!items.is_empty()).then(|| KeptRound::without_calls(Items(format!("[{}]", items.join(",")))))
}

/// A history and what is to become of it.
struct Echoed<'e, 'a> {
    messages: &'e [Message<'a>],
    history: &'e History,
    changes: &'e [(usize, Restoration<'e>)],
}

impl<'a> Echoed<'_, 'a> {
    /// Which elements a turn's rounds stand for, and the elements that they are: the turn, and what answers
    /// its last round.
    fn rounds(
        &self,
        number: usize,
        rounds: &[KeptRound],
        with_thinking: bool,
    ) -> (Range<usize>, Vec<String>) {
        let mut elements = self.history.turns[number].elements.clone();
        let stripped: Vec<KeptRound>;
        let rounds = if with_thinking {
            rounds
        } else {
            stripped = rounds.iter().map(strip::round).collect();
            &stripped
        };
        let Some((last, before)) = rounds.split_last() else { return (elements.clone(), Vec::new()) };
        let mut new: Vec<String> = before.iter().flat_map(turn).collect();
        let said = &self.messages[elements.clone()];
        let marker = said.last().and_then(Message::marker);
        let last = KeptRound { items: marked(&last.items, marker), calls: last.calls.clone() };
        if last.has_client_calls() {
            new.push(assistant(&last.items));
            let answers = self.answers(number, &last);
            elements.end = answers.end;
            new.push(answers.write(&last));
            new.extend(answers.passed.iter().map(|message| message.json.to_owned()));
        } else {
            new.extend(turn(&last));
        }
        (elements, new)
    }

    /// Gathers what the client says to the calls of a turn's last round: in the message behind the turn, and
    /// further on where it told call by call.
    fn answers<'s>(&'s self, number: usize, round: &'s KeptRound) -> Answers<'a, 's> {
        let echoed = &self.history.turns[number];
        let calls = round.calls.iter().filter(|call| call.result.is_none());
        let mut answers = Answers::new(echoed.elements.end, calls.map(|call| call.id.as_str()).collect());
        let mut untold: BTreeSet<&str> = answers.open.clone();
        untold.retain(|id| !echoed.visible.calls.contains(*id));
        let (mut at, mut between) = (answers.end, Vec::new());
        while let Some(message) = self.messages.get(at) {
            if message.is_assistant() {
                let Some(end) = self.more_calls(at, &mut untold) else { break };
                at = end;
            } else if message.role == "user" {
                let is_next = at == echoed.elements.end;
                if !is_next && !answers.are_in(message) {
                    break;
                }
                if is_next {
                    answers.message = Some(message);
                }
                answers.take(message, round);
                at += 1;
            } else {
                between.push(message);
                at += 1;
                continue;
            }
            answers.end = at;
            answers.passed.append(&mut between);
        }
        answers
    }

    /// Where the turn at this index ends, if it does nothing but tell of calls of an earlier one.
    fn more_calls(&self, at: usize, untold: &mut BTreeSet<&str>) -> Option<usize> {
        let number = self.history.turns.iter().position(|turn| turn.elements.start == at)?;
        let turn = &self.history.turns[number];
        let seen = &turn.visible;
        let is_part = !seen.calls.is_empty()
            && seen.text.is_empty()
            && seen.calls.iter().all(|id| untold.contains(id.as_str()))
            && self.changes.iter().all(|(changed, _)| *changed != number);
        if !is_part {
            return None;
        }
        untold.retain(|id| !seen.calls.contains(*id));
        Some(turn.elements.end)
    }

    /// Whether a turn of the tool loop that goes on loses its thinking.
    fn breaks_a_loop(&self) -> bool {
        let has_results = |message: &Message<'_>| message.parts().any(|part| part.kind == "tool_result");
        let mut next = self.messages.len();
        for (number, turn) in self.history.turns.iter().enumerate().rev() {
            let change =
                self.changes.iter().find(|(changed, _)| *changed == number).map(|(_, change)| change);
            let calls = matches!(change, Some(Restoration::Rounds { rounds, .. })
                if rounds.last().is_some_and(|round| !round.calls.is_empty()));
            if !calls && !self.messages[turn.elements.end..next].iter().any(has_results) {
                return false;
            }
            let loses = match change {
                None => false,
                Some(Restoration::Stripped) => turn.has_thinking,
                Some(Restoration::Rounds { with_thinking, rounds, .. }) => {
                    !with_thinking && rounds.iter().any(|round| strip::round(round) != *round)
                }
            };
            if loses {
                return true;
            }
            next = turn.elements.start;
        }
        false
    }
}

/// The items with the client's cache marker on the last block that takes one.
fn marked(items: &Items, marker: Option<&str>) -> Items {
    let Some(marker) = marker else { return items.clone() };
    let mut parts = raw::elements(&items.0).unwrap_or_default().into_iter().rev().map(Part::read);
    let Some(last) = parts.find(|part| !part.is_thinking()) else { return items.clone() };
    let mut patch = Patch::default();
    let mut inner = Patch::default();
    inner.set(last.json, &last.fields, "cache_control", marker);
    patch.replace(&items.0, last.json, inner.apply(last.json));
    Items(patch.apply(&items.0))
}
