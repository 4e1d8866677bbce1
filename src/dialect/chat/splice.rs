use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Map, Value};

use super::call::{CallPieces, Owner};
use super::error;
use super::message::Message;
use crate::dialect::raw::{Object, Patch, inner};
use crate::dialect::sse::{self, Frame, Framer};
use crate::dialect::{
    Broken, Ending, Items, Round, RoundCall, RoundFacts, SpliceSettings, Splicer, UsageStyle,
    is_event_stream, tally,
};
use crate::domain::Failure;

/// What stands between the texts of two rounds.
pub const SEPARATOR: &str = r"\n\n";

/// Streamed rounds as one streamed completion.
///
/// Chunks go out as they came, but for: the id, time and role of later rounds, pieces of injected calls, which are
/// left out, the indices of the client's calls after them, and the finish and usage, which come once.
pub struct Stream {
    injected: Arc<HashSet<String>>,
    wants_usage: bool,
    settings: SpliceSettings,
    framer: Framer,
    /// The data of the very first chunk.
    first: Option<String>,
    role_sent: bool,
    /// Text has gone out in an earlier round, and none in this one.
    separator_due: bool,
    text_sent: bool,
    client_calls: u32,
    round: RoundState,
    /// The usage of all rounds, the one under way last.
    usages: Vec<Map<String, Value>>,
    /// The last round's finish, usage and end, held back until the end.
    held: Vec<Frame>,
}

#[derive(Default)]
struct RoundState {
    message: Message,
    response_id: String,
    model: String,
    finish: Option<String>,
    hides: bool,
}

impl Stream {
    /// A splicer that hides the calls of these tools, and the usage from clients that did not ask for it.
    pub fn new(injected: Arc<HashSet<String>>, wants_usage: bool, settings: SpliceSettings) -> Self {
        Self {
            injected,
            wants_usage,
            settings,
            framer: Framer::new(settings.max_frame),
            first: None,
            role_sent: false,
            separator_due: false,
            text_sent: false,
            client_calls: 0,
            round: RoundState::default(),
            usages: vec![Map::new()],
            held: Vec::new(),
        }
    }

    fn frame(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), Broken> {
        let Some(data) = frame.data() else {
            out.extend_from_slice(&frame.raw);
            return Ok(());
        };
        if !data.starts_with('{') {
            self.hold(frame, out);
            return Ok(());
        }
        let chunk = Object::parse(&data).map_err(|error| {
            Broken::Malformed(format!("a chunk of the provider's stream is unreadable: {error}"))
        })?;
        if let Some(error) =
            chunk.get("error").filter(|error| *error != "null" && chunk.get("choices").is_none())
        {
            out.extend_from_slice(&frame.raw);
            let message = Object::parse(error).ok().and_then(|error| error.string("message").map(Into::into));
            return Err(Broken::Reported(message.unwrap_or_else(|| error.to_owned())));
        }
        let has_usage = self.note_facts(&chunk);
        if self.first.is_none() {
            self.first = Some(data.clone());
        }
        let choice = chunk.array("choices").first().and_then(|choice| Object::parse(choice).ok());
        if let Some(delta) = choice.as_ref().and_then(|choice| choice.object("delta")) {
            self.round.message.grow(&delta);
            self.grow_calls(&delta);
        }
        let finish = choice.as_ref().and_then(|choice| choice.string("finish_reason").map(Into::into));
        let ends = finish.is_some();
        self.round.finish = finish.or(self.round.finish.take());
        if self.may_loop() && (ends || (choice.is_none() && has_usage)) {
            self.held.push(frame);
            return Ok(());
        }
        let edited = self.edit(&data, None, None);
        write(edited, &data, &frame, out);
        Ok(())
    }

    /// Whether other rounds may follow; several choices (`n > 1`), which end one by one, never loop.
    fn may_loop(&self) -> bool {
        !self.injected.is_empty()
    }

    fn hold(&mut self, frame: Frame, out: &mut BytesMut) {
        if self.may_loop() {
            self.held.push(frame);
        } else {
            out.extend_from_slice(&frame.raw);
        }
    }

    /// Notes what the records need of a chunk; tells whether it carries usage.
    fn note_facts(&mut self, chunk: &Object<'_>) -> bool {
        if self.round.response_id.is_empty() {
            self.round.response_id = chunk.string("id").unwrap_or_default().into_owned();
            self.round.model = chunk.string("model").unwrap_or_default().into_owned();
        }
        let usage =
            chunk.get("usage").and_then(|usage| serde_json::from_str::<Map<String, Value>>(usage).ok());
        let has_usage = usage.is_some();
        if let (Some(usage), Some(round)) = (usage, self.usages.last_mut()) {
            // Some providers send a running total in each chunk: the last one counts.
            *round = usage;
        }
        has_usage
    }

    fn grow_calls(&mut self, delta: &Object<'_>) {
        for piece in delta.array("tool_calls") {
            let at = position(&mut self.round.message.calls, piece);
            let more_name = self.round.message.calls[at].grow(piece);
            let has_arguments = !self.round.message.calls[at].call().arguments.is_empty();
            self.settle(at, more_name && !has_arguments);
        }
    }

    /// Finds out whose a call is, unless more of its name may come.
    fn settle(&mut self, at: usize, open: bool) {
        let call = &mut self.round.message.calls[at];
        if call.owner != Owner::Unknown {
            return;
        }
        let name = call.name();
        if call.is_function() && open && self.injected.iter().any(|injected| injected.starts_with(name)) {
            return;
        }
        if call.is_function() && self.injected.contains(name) {
            call.owner = Owner::Gateway;
            self.round.hides = true;
        } else {
            call.owner = Owner::Client(self.client_calls);
            self.client_calls += 1;
        }
    }

    /// What the client gets of a chunk: `None` for nothing at all, else the changed data, which is empty where
    /// nothing has to change.
    fn edit(&mut self, data: &str, finish: Option<&str>, usage: Option<&str>) -> Option<String> {
        let chunk = Object::parse(data).ok()?;
        let later = self.usages.len() > 1;
        let mut patch = Patch::default();
        for name in ["id", "created"].into_iter().filter(|_| later) {
            if let (Some(value), Some(first)) = (chunk.get(name), self.first_value(name)) {
                patch.replace(data, value, first);
            }
        }
        match (chunk.get("usage"), usage) {
            (Some(_), _) if !self.wants_usage => patch.remove(data, &chunk, &["usage"]),
            (Some(old), Some(new)) if old != "null" => patch.replace(data, old, new),
            (Some(old), None) if later && old != "null" => patch.replace(data, old, "null"),
            _ => {}
        }
        let choice = chunk.array("choices").first().and_then(|choice| Object::parse(choice).ok());
        let Some(choice) = choice else {
            return (chunk.get("usage").is_none_or(|usage| usage == "null") || self.wants_usage)
                .then(|| patch.apply_if_any(data));
        };
        if let (Some(finish), Some(old)) = (finish, choice.get("finish_reason")) {
            patch.replace(data, old, finish);
        }
        let still_ends =
            finish != Some("null") && choice.get("finish_reason").is_some_and(|finish| finish != "null");
        let delta = choice.object("delta").unwrap_or(Object { fields: Vec::new() });
        let shows = self.edit_delta(data, &delta, later, &mut patch);
        (shows || still_ends).then(|| patch.apply_if_any(data))
    }

    /// Edits a delta; tells whether anything in it is worth sending.
    fn edit_delta(&mut self, data: &str, delta: &Object<'_>, later: bool, patch: &mut Patch) -> bool {
        let mut gone = Vec::new();
        if delta.get("role").is_some() {
            if later && self.role_sent {
                gone.push("role");
            }
            self.role_sent = true;
        }
        if let Some(content) =
            delta.get("content").filter(|content| inner(content).is_some_and(|text| !text.is_empty()))
        {
            if self.separator_due {
                patch.replace(data, &content[..1], format!("\"{SEPARATOR}"));
            }
            self.separator_due = false;
            self.text_sent = true;
        }
        if let Some(calls) = delta.get("tool_calls").filter(|calls| calls.starts_with('[')) {
            match self.visible_pieces(calls) {
                None => {}
                Some(pieces) if pieces.is_empty() => gone.push("tool_calls"),
                Some(pieces) => patch.replace(data, calls, format!("[{}]", pieces.join(","))),
            }
        }
        patch.remove(data, delta, &gone);
        let is_left = |field: &crate::dialect::raw::Field<'_>| {
            !gone.contains(&&*field.key) && (!later || !matches!(field.value, "null" | "\"\""))
        };
        (gone.is_empty() && !later) || delta.fields.iter().any(is_left)
    }

    /// The client's part of a chunk's pieces of calls, under the client's indices; `None` if that is the whole
    /// as it stands.
    fn visible_pieces(&mut self, calls: &str) -> Option<Vec<String>> {
        let pieces = crate::dialect::raw::elements(calls)?;
        let mut visible = Vec::new();
        let mut changed = false;
        for piece in &pieces {
            let at = position(&mut self.round.message.calls, piece);
            let call = &mut self.round.message.calls[at];
            let Owner::Client(index) = call.owner else {
                changed = true;
                if call.owner == Owner::Unknown {
                    call.wait(piece);
                }
                continue;
            };
            let waited = call.take_waiting();
            changed |= !waited.is_empty() || u64::from(index) != call.index;
            visible.extend(waited.iter().map(|waited| at_index(waited, index)));
            visible.push(at_index(piece, index));
        }
        changed.then_some(visible)
    }

    /// The value of a field of the very first chunk.
    fn first_value(&self, name: &str) -> Option<String> {
        let first = self.first.as_deref().and_then(|first| Object::parse(first).ok())?;
        first.get(name).map(str::to_owned)
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

    fn total_usage(&self) -> String {
        tally::openai_total(
            &self.usages,
            "prompt",
            "completion",
            self.settings.usage == UsageStyle::LastInput,
        )
    }

    fn cut_short(&self, out: &mut BytesMut) {
        let choices = r#"[{"index":0,"delta":{},"finish_reason":"length"}]"#;
        sse::write_data(&self.own_chunk(choices, None), out);
        if self.wants_usage && self.usages.iter().any(|usage| !usage.is_empty()) {
            sse::write_data(&self.own_chunk("[]", Some(&self.total_usage())), out);
        }
        sse::write_data("[DONE]", out);
    }
}

impl Splicer for Stream {
    fn takes(&self, content_type: &str) -> bool {
        is_event_stream(content_type)
    }

    fn feed(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Broken> {
        self.framer.push(bytes);
        while let Some(frame) =
            self.framer.next_frame().map_err(|error| Broken::Malformed(error.to_string()))?
        {
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
        (0..self.round.message.calls.len()).for_each(|at| self.settle(at, false));
        let call =
            |pieces: &CallPieces| RoundCall { call: pieces.call(), injected: pieces.owner == Owner::Gateway };
        Ok(Round {
            calls: self.round.message.calls.iter().map(call).collect(),
            wants_results: matches!(
                self.round.finish.as_deref(),
                Some("tool_calls" | "stop" | "function_call")
            ),
            stop_reason: self.round.finish.clone(),
            thoughts: self.round.message.thoughts(),
            facts: self.so_far(),
            items: Items(self.round.message.render()),
        })
    }

    fn next_round(&mut self, out: &mut BytesMut) {
        for frame in std::mem::take(&mut self.held) {
            // A finish that came in one chunk with content must not take the content with it.
            if let Some(data) =
                frame.data().filter(|data| data.starts_with('{') && data.contains("\"delta\""))
            {
                let edited = self.edit(&data, Some("null"), Some("null"));
                let shows = edited.as_deref().is_some_and(|edited| !edited.contains("\"delta\":{}"));
                write(edited.filter(|_| shows), &data, &frame, out);
            }
        }
        self.separator_due = self.text_sent;
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
        let dangling = self.round.hides && !shows_calls && self.round.finish.as_deref() == Some("tool_calls");
        let usage = (self.usages.len() > 1).then(|| self.total_usage());
        for frame in std::mem::take(&mut self.held) {
            let Some(data) = frame.data().filter(|data| data.starts_with('{')) else {
                out.extend_from_slice(&frame.raw);
                continue;
            };
            let edited = self.edit(&data, dangling.then_some("\"stop\""), usage.as_deref());
            write(edited, &data, &frame, out);
        }
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        sse::write_data(&error::body(failure), out);
    }

    fn so_far(&self) -> RoundFacts {
        let usage = self.usages.last().map(|usage| tally::openai_classes(usage, "prompt", "completion"));
        RoundFacts {
            response_id: self.round.response_id.clone(),
            model: self.round.model.clone(),
            usage: usage.unwrap_or_default(),
        }
    }
}

/// Where the call of a piece stands, which is added where the piece is its first. Sloppy providers leave out
/// the index: then an id that is new begins a call.
fn position(calls: &mut Vec<CallPieces>, piece: &str) -> usize {
    let object = Object::parse(piece).unwrap_or(Object { fields: Vec::new() });
    let id = object.string("id").filter(|id| !id.is_empty());
    let known = match object.number("index") {
        Some(index) => calls.iter().position(|call| call.index == index),
        None => match &id {
            Some(id) => calls.iter().position(|call| call.call().id == **id),
            None => calls.len().checked_sub(1),
        },
    };
    known.unwrap_or_else(|| {
        let index = object.number("index").unwrap_or(calls.len() as u64);
        calls.push(CallPieces::new(index, piece));
        calls.len() - 1
    })
}

/// A piece of a call under the client's index.
fn at_index(piece: &str, index: u32) -> String {
    let Ok(object) = Object::parse(piece) else { return piece.to_owned() };
    let mut patch = Patch::default();
    patch.set(piece, &object, "index", &index.to_string());
    patch.apply(piece)
}

/// Writes what [`Stream::edit`] left of a frame.
fn write(edited: Option<String>, data: &str, frame: &Frame, out: &mut BytesMut) {
    match edited {
        None => {}
        Some(edited) if edited.is_empty() || edited == data => out.extend_from_slice(&frame.raw),
        Some(edited) => frame.write_with(&edited, out),
    }
}
