//! Streamed rounds as one message.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Map, Value};

use super::call::{CallPieces, Owner};
use super::chunk::Chunk;
use super::message::Message;
use super::owners::Owners;
use super::texts::{Joints, SEPARATOR};
use super::{content, replay, show};
use crate::dialect::raw::{Object, Patch};
use crate::dialect::sse::{self, Frame, Framer, Tail};
use crate::dialect::{
    Broken, Ending, Items, Round, RoundCall, RoundFacts, Showing, SpliceSettings, Splicer, UsageStyle,
};
use crate::dialect::{is_event_stream, openai, tally};
use crate::domain::Failure;

/// The finish reason of a chunk that does not end its choice.
const GOES_ON: &str = "null";

/// Streamed rounds as one streamed completion.
///
/// Chunks go out as they came, but for: the id, time and role of later rounds, pieces of injected calls, which are
/// left out, the indices of the client's calls after them, and the finish and usage, which come once.
pub struct Stream {
    owners: Owners,
    wants_usage: bool,
    settings: SpliceSettings,
    framer: Framer,
    /// The data of the first chunk, or of the first that has an id.
    first: Option<String>,
    role_sent: bool,
    joints: Joints,
    round: RoundState,
    /// The usage of all rounds, the one under way last.
    usages: Vec<Map<String, Value>>,
    /// The last round's finish, and all that came after it.
    held: Tail,
}

#[derive(Default)]
struct RoundState {
    message: Message,
    /// The first chunk, or the first that has an id.
    head: String,
    response_id: String,
    model: String,
    finish: Option<String>,
}

/// What a chunk says in the place of what the provider said.
#[derive(Default, Clone, Copy)]
struct Change<'a> {
    finish: Option<&'a str>,
    usage: Option<&'a str>,
    /// The pieces of the client's calls; `None` where they are all that the chunk has.
    pieces: Option<&'a [String]>,
}

impl Stream {
    /// A splicer that hides the calls of these tools, and the usage from clients that did not ask for it.
    pub fn new(injected: Arc<HashSet<String>>, wants_usage: bool, settings: SpliceSettings) -> Self {
        Self {
            owners: Owners::new(injected),
            wants_usage,
            settings,
            framer: Framer::new(settings.max_frame),
            first: None,
            role_sent: false,
            joints: Joints::default(),
            round: RoundState::default(),
            usages: vec![Map::new()],
            held: Tail::new(settings.max_frame),
        }
    }

    fn frame(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), Broken> {
        let Some(text) = frame.json() else {
            if self.may_loop() && frame.data().is_some() {
                self.held.push(frame)?;
            } else {
                out.extend_from_slice(&frame.raw);
            }
            return Ok(());
        };
        let chunk = Chunk::read(&text).inspect_err(|error| {
            if matches!(error, Broken::Reported(_)) {
                out.extend_from_slice(&frame.raw);
            }
        })?;
        self.note_facts(&chunk);
        self.round.message.grow(&chunk);
        let pieces = self.owners.take(&mut self.round.message.calls, &chunk.delta);
        if let Some(finish) = chunk.finish() {
            self.round.finish = Some(finish.into_owned());
        }
        let is_end = self.round.finish.is_some() || (chunk.choice.is_none() && chunk.usage().is_some());
        if self.may_loop() && is_end {
            let mut patch = Patch::default();
            if set_pieces(&chunk, pieces.as_deref(), &mut patch) {
                patch.remove(&text, &chunk.delta, &["tool_calls"]);
            }
            self.held.push(frame.patched(&text, patch))?;
        } else if let Some(patch) =
            self.edit(&chunk, Change { pieces: pieces.as_deref(), ..Change::default() })
        {
            frame.write_patched(&text, patch, out);
        }
        Ok(())
    }

    /// Whether other rounds may follow; several choices (`n > 1`), which end one by one, never loop.
    fn may_loop(&self) -> bool {
        self.owners.has_injected()
    }

    fn is_later_round(&self) -> bool {
        self.usages.len() > 1
    }

    /// Notes what the records need of a chunk.
    fn note_facts(&mut self, chunk: &Chunk<'_>) {
        // Azure's first chunk has neither id nor choices.
        let id = chunk.fields.string("id").unwrap_or_default();
        if self.round.response_id.is_empty() && (self.round.head.is_empty() || !id.is_empty()) {
            chunk.text.clone_into(&mut self.round.head);
            self.round.response_id = id.into_owned();
            self.round.model = chunk.fields.string("model").unwrap_or_default().into_owned();
            if !self.is_later_round() {
                self.first = Some(chunk.text.to_owned());
            }
        }
        let usage = chunk.usage().and_then(|usage| serde_json::from_str(usage).ok());
        if let (Some(usage), Some(round)) = (usage, self.usages.last_mut()) {
            // Some providers send a running total in each chunk: the last one counts.
            *round = usage;
        }
    }

    /// What the client gets of a chunk, as changes to it; `None` if that is nothing at all.
    fn edit(&mut self, chunk: &Chunk<'_>, change: Change<'_>) -> Option<Patch> {
        let (text, later) = (chunk.text, self.is_later_round());
        let mut patch = Patch::default();
        match (chunk.usage(), change.usage) {
            _ if !self.wants_usage => patch.remove(text, &chunk.fields, &["usage"]),
            (Some(old), Some(new)) => patch.replace(text, old, new),
            (Some(old), None) if later => patch.replace(text, old, "null"),
            _ => {}
        }
        if later {
            self.set_first_values(chunk, &mut patch);
        }
        let Some(choice) = &chunk.choice else {
            return (self.wants_usage || chunk.usage().is_none()).then_some(patch);
        };
        if !self.may_loop() {
            return Some(patch);
        }
        if let (Some(finish), Some(old)) = (change.finish, choice.get("finish_reason")) {
            patch.replace(text, old, finish);
        }
        let goes_on = change.finish == Some(GOES_ON);
        let mut gone = Vec::new();
        if (later || goes_on) && self.role_sent {
            gone.push("role");
        }
        if set_pieces(chunk, change.pieces, &mut patch) {
            gone.push("tool_calls");
        }
        patch.remove(text, &chunk.delta, &gone);
        let ends =
            !goes_on && (chunk.finish().is_some() || (change.usage.is_some() && chunk.usage().is_some()));
        let is_as_it_came = !later && !goes_on && gone.is_empty();
        if !ends && !is_as_it_came && !chunk.says_more_than(&gone) {
            return None;
        }
        self.role_sent |= chunk.delta.get("role").is_some();
        self.joints.join(text, &chunk.delta, &mut patch);
        Some(patch)
    }

    /// Gives a chunk of a later round the id and the time of the first one.
    fn set_first_values(&self, chunk: &Chunk<'_>, patch: &mut Patch) {
        let Some(first) = self.first.as_deref().and_then(Object::within) else { return };
        for key in ["id", "created"] {
            if let (Some(old), Some(first)) = (chunk.fields.get(key), first.get(key)) {
                patch.replace(chunk.text, old, first);
            }
        }
    }

    /// A chunk of the gateway's own, with the first chunk's id, model and the like.
    fn own_chunk(&self, choices: &str, usage: Option<&str>) -> String {
        let first = self.first.as_deref().unwrap_or("{}");
        let Ok(object) = Object::parse(first) else { return String::new() };
        let mut patch = Patch::default();
        patch.set(first, &object, "choices", choices);
        match usage {
            Some(usage) => patch.set(first, &object, "usage", usage),
            None => patch.remove(first, &object, &["usage"]),
        }
        patch.apply(first)
    }

    /// The usage of all rounds for a client that wants it, where any is known.
    fn total_usage(&self) -> Option<String> {
        let last_input = self.settings.usage == UsageStyle::LastInput;
        let is_known = self.wants_usage && self.usages.iter().any(|usage| !usage.is_empty());
        is_known.then(|| tally::openai_total(&self.usages, "prompt", "completion", last_input))
    }

    fn cut_short(&self, out: &mut BytesMut) {
        let delta = if self.role_sent { "{}" } else { r#"{"role":"assistant"}"# };
        let choices = format!(r#"[{{"index":0,"delta":{delta},"finish_reason":"length"}}]"#);
        sse::write_data(&self.own_chunk(&choices, None), out);
        if let Some(usage) = self.total_usage() {
            sse::write_data(&self.own_chunk("[]", Some(&usage)), out);
        }
        sse::write_data("[DONE]", out);
    }

    /// Gives the client the calls whose names could have gone on until the very end.
    fn settle_all(&mut self, out: &mut BytesMut) {
        let visible = self.owners.settle_all(&mut self.round.message.calls);
        if !visible.is_empty() {
            self.write_delta(&format!(r#"{{"tool_calls":[{}]}}"#, visible.join(",")), out);
        }
    }

    fn write_delta(&self, delta: &str, out: &mut BytesMut) {
        let choices = format!(r#"[{{"index":0,"delta":{delta},"finish_reason":null}}]"#);
        sse::write_data(&self.own_chunk(&choices, None), out);
    }

    /// Writes what the end that is held back has of content, which must not go with it where it does not
    /// count, and gives what is left of it.
    fn release_content(&mut self, out: &mut BytesMut) -> Vec<Frame> {
        let mut left = self.held.take();
        for frame in &mut left {
            let Some(text) = frame.json() else { continue };
            let Ok(chunk) = Chunk::read(&text) else { continue };
            let Some(choice) = &chunk.choice else { continue };
            let change = Change { finish: Some(GOES_ON), usage: Some("null"), pieces: None };
            if let Some(patch) = self.edit(&chunk, change) {
                frame.write_patched(&text, patch, out);
            }
            let mut patch = Patch::default();
            for (key, empty) in [("delta", "{}"), ("logprobs", "null")] {
                if let Some(said) = choice.get(key) {
                    patch.replace(&text, said, empty);
                }
            }
            let rest = frame.patched(&text, patch);
            *frame = rest;
        }
        left
    }

    /// The role for a chunk of the gateway's own, unless the client has it.
    fn role_if_due(&mut self) -> &'static str {
        if std::mem::replace(&mut self.role_sent, true) { "" } else { r#""role":"assistant","# }
    }

    fn envelope(&self) -> String {
        let usage = self.usages.last().filter(|usage| !usage.is_empty());
        let usage = usage.map(|usage| Value::Object(usage.clone()).to_string());
        replay::envelope(&Object::within(&self.round.head).unwrap_or_default(), usage.as_deref())
    }
}

impl Splicer for Stream {
    fn takes(&self, content_type: &str) -> bool {
        is_event_stream(content_type)
    }

    fn feed(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Broken> {
        self.framer.push(bytes);
        while let Some(frame) = self.framer.next_frame()? {
            self.frame(frame, out)?;
        }
        Ok(())
    }

    fn end_round(&mut self, out: &mut BytesMut) -> Result<Round, Broken> {
        if let Some(frame) = self.framer.rest() {
            self.frame(frame, out)?;
        }
        if self.round.finish.is_none() {
            return Err(Broken::Malformed("the provider's stream ended before its answer did".to_owned()));
        }
        self.settle_all(out);
        let call =
            |pieces: &CallPieces| RoundCall { call: pieces.call(), injected: pieces.owner == Owner::Gateway };
        Ok(Round {
            calls: self.round.message.calls.iter().map(call).collect(),
            wants_results: matches!(
                self.round.finish.as_deref(),
                Some("tool_calls" | "stop" | "function_call")
            ),
            items: Items(self.round.message.render()),
            envelope: self.envelope(),
            ..self.so_far()
        })
    }

    fn show(&mut self, showing: &Showing<'_>, out: &mut BytesMut) {
        let lines = show::show(showing, self.settings.form);
        if lines.is_empty() {
            return;
        }
        for frame in self.release_content(out) {
            // What has been held back before fits again: it has only lost something.
            if self.held.push(frame).is_err() {
                break;
            }
        }
        let (role, content) = (self.role_if_due(), self.joints.separated(&lines.join(SEPARATOR)));
        let delta = format!(r#"{{{role}"content":"{content}"}}"#);
        self.write_delta(&delta, out);
    }

    fn next_round(&mut self, out: &mut BytesMut) {
        self.release_content(out);
        self.joints.next_round();
        self.round = RoundState::default();
        self.usages.push(Map::new());
    }

    fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b": keep-alive\n\n");
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        if ending == Ending::CutShort {
            return self.cut_short(out);
        }
        let shows_calls = self.round.message.calls.iter().any(|call| matches!(call.owner, Owner::Client(_)));
        let hides = self.round.message.calls.iter().any(|call| call.owner == Owner::Gateway);
        let dangling = hides && !shows_calls && self.round.finish.as_deref() == Some("tool_calls");
        let usage = self.total_usage().filter(|_| self.is_later_round());
        let mut untold = usage.as_deref();
        for frame in self.held.take() {
            let text = frame.json();
            let Some(chunk) = text.as_deref().and_then(|text| Chunk::read(text).ok()) else {
                if let Some(usage) = untold.take() {
                    sse::write_data(&self.own_chunk("[]", Some(usage)), out);
                }
                out.extend_from_slice(&frame.raw);
                continue;
            };
            if chunk.usage().is_some() {
                untold = None;
            }
            let change =
                Change { finish: dangling.then_some("\"stop\""), usage: usage.as_deref(), pieces: None };
            if let Some(patch) = self.edit(&chunk, change) {
                frame.write_patched(chunk.text, patch, out);
            }
        }
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        sse::write_data(&openai::error_body(failure), out);
    }

    fn so_far(&self) -> Round {
        let usage = self.usages.last().map(|usage| tally::openai_classes(usage, "prompt", "completion"));
        let message = self.round.message.render();
        Round {
            stop_reason: self.round.finish.clone(),
            thoughts: self.round.message.thoughts(),
            facts: RoundFacts {
                response_id: self.round.response_id.clone(),
                model: self.round.model.clone(),
                usage: usage.unwrap_or_default(),
            },
            text: Object::parse(&message).map(|message| content::said(&message)).unwrap_or_default(),
            ..Round::default()
        }
    }
}

/// Puts the client's part of the pieces of calls into a chunk; tells whether nothing is left of them.
fn set_pieces(chunk: &Chunk<'_>, pieces: Option<&[String]>, patch: &mut Patch) -> bool {
    let (Some(pieces), Some(all)) = (pieces, chunk.delta.get("tool_calls")) else { return false };
    if !pieces.is_empty() {
        patch.replace(chunk.text, all, format!("[{}]", pieces.join(",")));
    }
    pieces.is_empty()
}
