//! Turns of the history in the form in which they go up.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use super::append::{self, Elements};
use super::call;
use super::content;
use super::reasoning;
use super::strip;
use crate::dialect::raw::{self, Object, Patch, quote};
use crate::dialect::{EchoedTurn, History, Items, KeptRound, Request, Restoration, dense};

/// Puts turns of the history into the form in which they go up.
pub fn restore(request: &mut Request, history: &History, changes: &[(usize, Restoration<'_>)]) {
    let messages = request.draft.object().array("messages");
    let own: BTreeSet<usize> =
        changes.iter().filter_map(|(turn, _)| Some(history.turns.get(*turn)?.elements.start)).collect();
    let mut edits = Vec::new();
    for (turn, change) in changes {
        let Some(turn) = history.turns.get(*turn) else { continue };
        let (elements, new) = match change {
            Restoration::Stripped if !turn.has_thinking => continue,
            Restoration::Stripped => {
                let said = messages.get(turn.elements.clone()).unwrap_or_default();
                (turn.elements.clone(), strip::turn(said))
            }
            Restoration::Rounds { rounds, with_thinking } => {
                let echoed = Echoed { messages: &messages, turn, own: &own };
                let (elements, new) = restored(&echoed, rounds, *with_thinking);
                (elements, new.all())
            }
        };
        edits.push((elements, new));
    }
    request.draft.replace_elements("messages", edits);
}

/// What a client saw of an answer that broke off beyond these rounds, as one more round.
pub fn beyond(request: &Request, turn: &EchoedTurn, rounds: &[KeptRound]) -> Option<KeptRound> {
    let said = |text: &str| Object::within(text).map(|message| content::said(&message)).unwrap_or_default();
    let messages = request.draft.object().array("messages");
    let echoed: Vec<String> = messages.get(turn.elements.clone())?.iter().map(|text| said(text)).collect();
    let mut beyond = dense::beyond(&echoed, rounds.iter().map(|round| said(&round.items.0)));
    beyond.retain(|text| !text.trim_ascii().is_empty());
    let text = quote(beyond.join("\n\n").trim());
    let message = format!(r#"{{"role":"assistant","content":{text}}}"#);
    (!beyond.is_empty()).then(|| KeptRound::without_calls(Items(message)))
}

/// A turn as the client tells it, among all messages.
struct Echoed<'a> {
    messages: &'a [&'a str],
    turn: &'a EchoedTurn,
    /// Where the turns begin that have a change of their own.
    own: &'a BTreeSet<usize>,
}

/// What the client sent behind a turn that is part of it: results, and calls that it told of after results.
#[derive(Default)]
struct Following<'a> {
    /// Behind the last element that is.
    end: usize,
    /// Results for the client's calls of the turn, with the ids of the calls.
    answers: Vec<(String, &'a str)>,
    /// Results for other calls.
    others: Vec<&'a str>,
}

/// The elements that give way to a turn's rounds, and what comes into their place.
fn restored(echoed: &Echoed<'_>, rounds: &[KeptRound], with_thinking: bool) -> (Range<usize>, Elements) {
    let elements = echoed.turn.elements.clone();
    let Some((last, before)) = rounds.split_last() else { return (0..0, Elements::default()) };
    let mut messages: Vec<Cow<'_, str>> = rounds.iter().map(|round| message(round, with_thinking)).collect();
    if let Some(marker) = elements.end.checked_sub(1).and_then(|last| Marker::of(echoed.messages.get(last)?))
    {
        marker.put(&mut messages);
    }
    let mut new = Elements::default();
    for (message, round) in messages.iter().zip(before) {
        new.push_round(message, round);
        new.push_images(round);
    }
    if let Some(message) = messages.last() {
        new.push_round(message, last);
    }
    if !last.has_client_calls() {
        new.push_images(last);
        return (elements, new);
    }
    let following = echoed.following(last);
    following.answers.iter().for_each(|(_, answer)| new.push(answer));
    let mut answered: Vec<&str> = following.answers.iter().map(|(id, _)| &**id).collect();
    for call in last.calls.iter().filter(|call| call.result.is_none()) {
        match answered.iter().position(|id| *id == call.id) {
            Some(answer) => drop(answered.swap_remove(answer)),
            None => new.push(&append::no_result(&call.id).element),
        }
    }
    new.push_images(last);
    following.others.iter().for_each(|other| new.push(other));
    (elements.start..following.end, new)
}

fn message(round: &KeptRound, with_thinking: bool) -> Cow<'_, str> {
    if with_thinking { Cow::Borrowed(&round.items.0) } else { reasoning::unsigned(&round.items.0) }
}

impl<'a> Echoed<'a> {
    /// What belongs to a turn that ended with this round.
    ///
    /// Where a client tells calls one by one, each with its result behind it, the later calls of the turn look
    /// like turns of their own. An id that the turn has told already begins another: some providers use the
    /// same ids again.
    fn following(&self, last: &KeptRound) -> Following<'a> {
        let mine = |id: &str| last.calls.iter().any(|call| call.result.is_none() && call.id == id);
        let mut told = self.turn.visible.calls.clone();
        let mut found = Following { end: self.turn.elements.end, ..Following::default() };
        while let Some(text) = self.messages.get(found.end).copied() {
            let Some(message) = Object::within(text) else { break };
            match message.string("role").as_deref() {
                Some("tool") => {
                    let id = message.string("tool_call_id").unwrap_or_default().into_owned();
                    if mine(&id) { found.answers.push((id, text)) } else { found.others.push(text) }
                }
                Some("assistant") if !self.own.contains(&found.end) && !content::says_something(&message) => {
                    let calls = message.array("tool_calls").into_iter().filter_map(call::read);
                    let ids: Vec<String> = calls.map(|call| call.id).collect();
                    if ids.is_empty() || !ids.iter().all(|id| mine(id) && !told.contains(id)) {
                        break;
                    }
                    told.extend(ids);
                }
                _ => break,
            }
            found.end += 1;
        }
        found
    }
}

/// A cache marker that a client put on a turn of the assistant's.
struct Marker<'a> {
    /// Its value.
    value: &'a str,
    /// It stands on the message, not on a part of its content.
    on_message: bool,
}

impl<'a> Marker<'a> {
    const KEY: &'static str = "cache_control";

    /// The marker on a message, or on its last part.
    fn of(message: &'a str) -> Option<Self> {
        let of = |object: Object<'a>| object.get(Self::KEY).filter(|value| *value != "null");
        let message = Object::within(message)?;
        let part = message.array("content").last().copied().and_then(Object::within);
        of(message)
            .map(|value| Self { value, on_message: true })
            .or_else(|| part.and_then(of).map(|value| Self { value, on_message: false }))
    }

    /// Marks the last message that can carry the marker in this place.
    fn put(&self, messages: &mut [Cow<'_, str>]) {
        for message in messages.iter_mut().rev() {
            if let Some(marked) = self.marked(message) {
                *message = Cow::Owned(marked);
                return;
            }
        }
    }

    fn marked(&self, text: &str) -> Option<String> {
        let message = Object::within(text)?;
        let mut patch = Patch::default();
        if self.on_message {
            patch.set(text, &message, Self::KEY, self.value);
            return Some(patch.apply(text));
        }
        let content = message.get("content")?;
        if let Some(last) = raw::elements(content).and_then(|parts| parts.last().copied()) {
            patch.set(text, &Object::within(last)?, Self::KEY, self.value);
        } else if content.starts_with('"') && content != "\"\"" {
            let part = format!(r#"[{{"type":"text","text":{content},"{}":{}}}]"#, Self::KEY, self.value);
            patch.replace(text, content, part);
        } else {
            return None;
        }
        Some(patch.apply(text))
    }
}
