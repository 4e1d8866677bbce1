//! Streamed rounds as one message.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::block::Block;
use super::events::{self, write_block};
use super::usage::{self, RoundUsage};
use super::{error, replay, show};
use crate::dialect::raw::{Object, Patch};
use crate::dialect::sse::{self, Frame, Framer, Tail};
use crate::dialect::{
    Broken, Ending, Items, Reported, Round, RoundCall, RoundFacts, Showing, SpliceSettings, Splicer,
    is_event_stream,
};
use crate::domain::{Failure, ToolCall};

/// Streamed rounds as one streamed message.
///
/// Frames go out as they came, but for: block indices after a hidden block or a first round, the start of
/// later rounds, the stop and usage at the end, and the blocks of injected calls, which are left out.
pub struct Stream {
    injected: Arc<HashSet<String>>,
    settings: SpliceSettings,
    framer: Framer,
    begun: bool,
    /// How many blocks the client has seen.
    client_blocks: u32,
    round: RoundState,
    /// The usage of all rounds, the one under way last.
    usages: Vec<RoundUsage>,
    /// The last round's `message_delta`, and all that came after it.
    held: Tail,
}

#[derive(Default)]
struct RoundState {
    blocks: BTreeMap<u64, Block>,
    response_id: String,
    model: String,
    /// What the answer says around its blocks, as far as it has.
    message: String,
    stop_reason: Option<String>,
    stopped: bool,
    /// A block of this round was left out.
    hides: bool,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", default, borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    index: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Stream {
    /// A splicer that hides the calls of these tools.
    pub fn new(injected: Arc<HashSet<String>>, settings: SpliceSettings) -> Self {
        Self {
            injected,
            settings,
            framer: Framer::new(settings.max_frame),
            begun: false,
            client_blocks: 0,
            round: RoundState::default(),
            usages: vec![RoundUsage::default()],
            held: Tail::new(settings.max_frame),
        }
    }

    fn frame(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), Broken> {
        let Some(data) = frame.json() else { return self.pass(frame, out) };
        let event: Event<'_> = serde_json::from_str(&data)
            .map_err(|error| Broken::unreadable("an event of the provider's stream", &error))?;
        match &*event.kind {
            "message_start" => self.message_start(&event, &frame, out),
            "content_block_start" => self.block_start(&event, &data, &frame, out),
            "content_block_delta" => self.block_delta(&event, &data, &frame, out),
            "content_block_stop" => self.block_stop(&event, &data, &frame, out),
            "message_delta" => {
                self.message_delta(&event, &data);
                self.held.push(frame.clone())?;
            }
            "message_stop" => {
                self.round.stopped = true;
                self.held.push(frame.clone())?;
            }
            "error" => {
                out.extend_from_slice(&frame.raw);
                return Err(Broken::Reported(Reported::of(event.error.map(RawValue::get))));
            }
            _ => return self.pass(frame.clone(), out),
        }
        Ok(())
    }

    /// Lets a frame go as it came, in its turn.
    fn pass(&mut self, frame: Frame, out: &mut BytesMut) -> Result<(), Broken> {
        if self.held.is_empty() {
            out.extend_from_slice(&frame.raw);
        } else {
            self.held.push(frame)?;
        }
        Ok(())
    }

    fn message_start(&mut self, event: &Event<'_>, frame: &Frame, out: &mut BytesMut) {
        event.message.map_or("{}", RawValue::get).clone_into(&mut self.round.message);
        if let Ok(message) = Object::parse(&self.round.message) {
            self.round.response_id = message.string("id").unwrap_or_default().into_owned();
            self.round.model = message.string("model").unwrap_or_default().into_owned();
            if let (Some(usage), Some(round)) = (message.get("usage"), self.usages.last_mut()) {
                round.update(usage);
            }
        }
        if !self.begun {
            self.begun = true;
            out.extend_from_slice(&frame.raw);
        }
    }

    fn block_start(&mut self, event: &Event<'_>, data: &str, frame: &Frame, out: &mut BytesMut) {
        let start = event.content_block.map_or("{}", RawValue::get);
        let hidden = self.is_injected_call(start);
        let client_index = (!hidden).then_some(self.client_blocks);
        self.round.hides |= hidden;
        self.round.blocks.insert(index(event), Block::new(start, client_index));
        if let Some(client_index) = client_index {
            self.client_blocks += 1;
            self.write_at(client_index, event, data, frame, out);
        }
    }

    fn block_delta(&mut self, event: &Event<'_>, data: &str, frame: &Frame, out: &mut BytesMut) {
        let Some(block) = self.round.blocks.get_mut(&index(event)) else { return };
        if let Some(delta) = event.delta {
            block.grow(delta.get());
        }
        if let Some(client_index) = block.client_index {
            self.write_at(client_index, event, data, frame, out);
        }
    }

    fn block_stop(&mut self, event: &Event<'_>, data: &str, frame: &Frame, out: &mut BytesMut) {
        let Some(block) = self.round.blocks.get_mut(&index(event)) else { return };
        block.open = false;
        if let Some(client_index) = block.client_index {
            self.write_at(client_index, event, data, frame, out);
        }
    }

    fn message_delta(&mut self, event: &Event<'_>, data: &str) {
        self.round.message = replay::grown(&self.round.message, data);
        if let (Some(usage), Some(round)) = (event.usage, self.usages.last_mut()) {
            round.update(usage.get());
        }
        let delta = event.delta.and_then(|delta| Object::parse(delta.get()).ok());
        if let Some(stop) = delta.and_then(|delta| delta.string("stop_reason").map(Into::into)) {
            self.round.stop_reason = Some(stop);
        }
    }

    /// Writes a frame under the client's index of its block: as it came, where no block can be hidden.
    fn write_at(&self, client_index: u32, event: &Event<'_>, data: &str, frame: &Frame, out: &mut BytesMut) {
        let mut patch = Patch::default();
        if let Some(index) =
            event.index.filter(|index| !self.injected.is_empty() && index.get().parse() != Ok(client_index))
        {
            patch.replace(data, index.get(), client_index.to_string());
        }
        frame.write_patched(data, patch, out);
    }

    fn is_injected_call(&self, block: &str) -> bool {
        !self.injected.is_empty()
            && Object::parse(block).is_ok_and(|block| {
                block.get("type") == Some("\"tool_use\"")
                    && block.string("name").is_some_and(|name| self.injected.contains(&*name))
            })
    }

    /// The end as the last round had it, as far as that is true of the whole message.
    fn finish_naturally(&mut self, out: &mut BytesMut) {
        let is_all = self.usages.len() == 1 && !self.round.hides;
        let shows_calls =
            self.round.blocks.values().any(|block| block.is_tool_use() && block.client_index.is_some());
        let dangling = !shows_calls && self.round.stop_reason.as_deref() == Some("tool_use");
        for frame in self.held.take() {
            match frame.json().filter(|data| !is_all && is_message_delta(data)) {
                Some(delta) => {
                    frame.write_patched(&delta, self.ended(&delta, dangling.then_some("end_turn")), out);
                }
                None => out.extend_from_slice(&frame.raw),
            }
        }
    }

    fn cut_short(&mut self, out: &mut BytesMut) {
        for block in self.round.blocks.values().filter(|block| block.open) {
            if let Some(index) = block.client_index {
                sse::write("content_block_stop", &events::stop(index), out);
            }
        }
        let delta =
            r#"{"type":"message_delta","delta":{"stop_reason":null,"stop_sequence":null},"usage":{}}"#;
        sse::write("message_delta", &self.ended(delta, Some("max_tokens")).apply(delta), out);
        sse::write("message_stop", r#"{"type":"message_stop"}"#, out);
    }

    /// What becomes of a `message_delta`: the usage of all rounds, and this stop reason if one is given.
    fn ended(&self, delta: &str, stop: Option<&str>) -> Patch {
        let mut patch = Patch::default();
        let Ok(event) = Object::parse(delta) else { return patch };
        if let (Some(stop), Some(text), Some(inner)) = (stop, event.get("delta"), event.object("delta")) {
            let mut inner_patch = Patch::default();
            inner_patch.set(text, &inner, "stop_reason", &format!("\"{stop}\""));
            patch.replace(delta, text, inner_patch.apply(text));
        }
        patch.set(delta, &event, "usage", &usage::total(&self.usages, self.settings.usage));
        patch
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
        if !self.round.stopped && self.round.stop_reason.is_none() {
            return Err(Broken::Malformed("the provider's stream ended before its message did".to_owned()));
        }
        self.round.blocks.values_mut().for_each(|block| block.open = false);
        Ok(Round {
            wants_results: matches!(self.round.stop_reason.as_deref(), Some("tool_use" | "end_turn")),
            envelope: replay::envelope(&self.round.message, self.usages.last()),
            ..self.so_far()
        })
    }

    fn show(&mut self, showing: &Showing<'_>, out: &mut BytesMut) {
        for block in show::show(showing, self.settings.form) {
            write_block(self.client_blocks, &block, None, out);
            self.client_blocks += 1;
        }
    }

    fn next_round(&mut self, _out: &mut BytesMut) {
        self.round = RoundState::default();
        self.usages.push(RoundUsage::default());
        self.held.take();
    }

    fn has_begun(&self) -> bool {
        self.begun
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        sse::write("ping", r#"{"type":"ping"}"#, out);
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        match ending {
            Ending::Natural => self.finish_naturally(out),
            Ending::CutShort => self.cut_short(out),
        }
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        sse::write("error", &error::body(failure), out);
    }

    fn so_far(&self) -> Round {
        let blocks = || self.round.blocks.values();
        let complete = || blocks().filter(|block| !block.open);
        let call = |call: ToolCall| RoundCall { injected: self.injected.contains(&call.name), call };
        let items: Vec<String> = complete().filter_map(Block::render).collect();
        let thoughts: Vec<String> = blocks().filter_map(Block::thought).collect();
        Round {
            calls: complete().filter_map(Block::call).map(call).collect(),
            stop_reason: self.round.stop_reason.clone(),
            thoughts: thoughts.join("\n"),
            facts: RoundFacts {
                response_id: self.round.response_id.clone(),
                model: self.round.model.clone(),
                usage: self.usages.last().map(RoundUsage::by_class).unwrap_or_default(),
            },
            text: blocks().filter_map(Block::text).collect(),
            items: Items(format!("[{}]", items.join(","))),
            ..Round::default()
        }
    }
}

fn index(event: &Event<'_>) -> u64 {
    event.index.and_then(|index| index.get().parse().ok()).unwrap_or(0)
}

fn is_message_delta(data: &str) -> bool {
    Object::parse(data).is_ok_and(|event| event.get("type") == Some("\"message_delta\""))
}
