//! Streamed rounds as one message.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::BytesMut;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::response::{View, facts, response_error};
use super::{append, events, item};
use crate::dialect::raw::{self, Object, Patch, quote};
use crate::dialect::sse::{self, Frame, Framer, Tail};
use crate::dialect::{
    Broken, Ending, Reported, Round, RoundFacts, Showing, SpliceSettings, Splicer, is_event_stream,
};
use crate::domain::{Failure, IssuedId};

/// Streamed rounds as one streamed response.
///
/// Events go out as they came, but for: sequence numbers and output indices after something was left out, the
/// items of injected calls, the lifecycle events of later rounds, and what response objects say of the tools,
/// ids, output and usage.
pub struct Stream {
    view: View,
    framer: Framer,
    /// The next sequence number that the client expects; `None` until the provider's first.
    sequence: Option<u64>,
    /// How many items the client has seen.
    client_items: u64,
    round: RoundState,
    /// The last round's final event, and all that came after it.
    held: Tail,
}

#[derive(Default)]
struct RoundState {
    items: BTreeMap<u64, Item>,
    facts: RoundFacts,
    /// The last `response` object of the round.
    response: String,
    is_over: bool,
}

struct Item {
    /// Where the client sees it; `None` for a call of an injected tool.
    client_index: Option<u64>,
    added: String,
    done: Option<String>,
    /// Text or arguments gathered while the item is open, still escaped.
    text: String,
}

impl Item {
    /// What a message says, as far as it goes; empty for any other item.
    fn text(&self) -> String {
        match &self.done {
            Some(done) => item::text(done).unwrap_or_default(),
            None if item::text(&self.added).is_some() => raw::unescape(&self.text),
            None => String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", default, borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    sequence_number: Option<&'a RawValue>,
    #[serde(borrow)]
    output_index: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
}

impl Stream {
    /// A splicer for the client with this view.
    pub fn new(view: View, settings: SpliceSettings) -> Self {
        Self {
            view,
            framer: Framer::new(settings.max_frame),
            sequence: None,
            client_items: 0,
            round: RoundState::default(),
            held: Tail::new(settings.max_frame),
        }
    }

    fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), Broken> {
        if !self.held.is_empty() {
            return Ok(self.held.push(frame.clone())?);
        }
        let Some(data) = frame.json() else {
            out.extend_from_slice(&frame.raw);
            return Ok(());
        };
        let event: Event<'_> = serde_json::from_str(&data)
            .map_err(|error| Broken::unreadable("an event of the provider's stream", &error))?;
        let mut patch = Patch::default();
        match &*event.kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                if !self.lifecycle(&event, &data, &mut patch) {
                    return Ok(());
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" => {
                event.response.map_or("{}", RawValue::get).clone_into(&mut self.round.response);
                self.round.is_over = true;
                self.held.push(frame.clone())?;
                return Ok(());
            }
            "error" => {
                self.send(&event, &data, patch, frame, out);
                return Err(Broken::Reported(Reported::of(Some(&data))));
            }
            _ => {
                if !self.item_event(&event, &data, &mut patch) {
                    return Ok(());
                }
            }
        }
        self.send(&event, &data, patch, frame, out);
        Ok(())
    }

    /// Handles the events before the first item; tells whether the client gets this one.
    fn lifecycle(&mut self, event: &Event<'_>, data: &str, patch: &mut Patch) -> bool {
        let response = event.response.map_or("{}", RawValue::get);
        if self.round.response.is_empty() {
            self.round.facts = Object::parse(response).map(|response| facts(&response)).unwrap_or_default();
        }
        response.clone_into(&mut self.round.response);
        let first_round = self.view.in_first_round();
        self.view.begin(response);
        if first_round && !self.view.is_untouched() {
            patch.replace(data, response, self.view.opening(response));
        }
        first_round
    }

    /// Handles the events of an item; tells whether the client gets this one.
    fn item_event(&mut self, event: &Event<'_>, data: &str, patch: &mut Patch) -> bool {
        let Some(index_text) = event.output_index.map(RawValue::get) else { return true };
        let index: u64 = index_text.parse().unwrap_or(0);
        if event.kind == "response.output_item.added" || !self.round.items.contains_key(&index) {
            self.add_item(index, event.item.map_or("{}", RawValue::get));
        }
        let Some(item) = self.round.items.get_mut(&index) else { return false };
        if matches!(&*event.kind, "response.output_text.delta" | "response.function_call_arguments.delta") {
            item.text.push_str(event.delta.and_then(|delta| raw::inner(delta.get())).unwrap_or_default());
        }
        let client_index = item.client_index;
        if let (true, Some(done)) = (event.kind == "response.output_item.done", event.item) {
            item.done = Some(done.get().to_owned());
            if client_index.is_some() {
                let visible = self.view.item(done.get());
                patch.replace(data, done.get(), visible.as_str());
                self.view.output.push(visible);
            }
        } else if let (true, Some(added)) = (self.view.strips_seals, event.item)
            && added.get().contains("encrypted_content")
        {
            patch.replace(data, added.get(), self.view.item(added.get()));
        }
        if let Some(client_index) = client_index
            && client_index != index
            && self.view.may_loop()
        {
            patch.replace(data, index_text, client_index.to_string());
        }
        client_index.is_some()
    }

    fn add_item(&mut self, index: u64, added: &str) {
        let client_index = (!self.view.hides(added)).then_some(self.client_items);
        self.client_items += u64::from(client_index.is_some());
        let item = Item { client_index, added: added.to_owned(), done: None, text: String::new() };
        self.round.items.insert(index, item);
    }

    /// Sends a frame under the client's next sequence number.
    fn send(&mut self, event: &Event<'_>, data: &str, mut patch: Patch, frame: &Frame, out: &mut BytesMut) {
        if let Some(text) = event.sequence_number.map(RawValue::get) {
            let theirs: u64 = text.parse().unwrap_or(0);
            let ours = *self.sequence.get_or_insert(theirs);
            if ours != theirs {
                patch.replace(data, text, ours.to_string());
            }
            self.sequence = Some(ours + 1);
        }
        frame.write_patched(data, patch, out);
    }

    /// Sends an event of the gateway's own; `fields` are the JSON fields after type and sequence number.
    fn send_own(&mut self, kind: &str, fields: &str, out: &mut BytesMut) {
        let sequence = self.sequence.unwrap_or(0);
        self.sequence = Some(sequence + 1);
        sse::write(kind, &format!(r#"{{"type":"{kind}","sequence_number":{sequence}{fields}}}"#), out);
    }

    /// The complete items of the round, in order: as their events told, or as the final response lists them.
    fn round_items(&self) -> Vec<String> {
        let done: Option<Vec<String>> = self.round.items.values().map(|item| item.done.clone()).collect();
        let listed = || {
            Object::parse(&self.round.response)
                .map(|response| response.array("output").into_iter().map(str::to_owned).collect())
        };
        match done {
            Some(done) if !done.is_empty() => done,
            _ => listed().unwrap_or_default(),
        }
    }

    /// Closes what is open in the provider's stead.
    fn close_items(&mut self, out: &mut BytesMut) {
        let items = std::mem::take(&mut self.round.items);
        for item in items.values().filter(|item| item.done.is_none()) {
            if let Some(index) = item.client_index {
                let cut = self.view.item(&item::cut_short(&item.added, &item.text));
                self.send_own(
                    "response.output_item.done",
                    &format!(r#","output_index":{index},"item":{cut}"#),
                    out,
                );
                self.view.output.push(cut);
            }
        }
        self.round.items = items;
    }
}

impl Splicer for Stream {
    fn takes(&self, content_type: &str) -> bool {
        is_event_stream(content_type)
    }

    fn feed(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Broken> {
        self.framer.push(bytes);
        while let Some(frame) = self.framer.next_frame()? {
            self.frame(&frame, out)?;
        }
        Ok(())
    }

    fn end_round(&mut self, out: &mut BytesMut) -> Result<Round, Broken> {
        if let Some(frame) = self.framer.rest() {
            self.frame(&frame, out)?;
        }
        if !self.round.is_over {
            return Err(Broken::Malformed("the provider's stream ended before its response did".to_owned()));
        }
        let items = self.round_items();
        let response = std::mem::take(&mut self.round.response);
        self.view.begin(&response);
        let round = self.view.end_round(&response, &items);
        self.round.response = response;
        self.round.facts = round.facts.clone();
        if let Some(error) = response_error(&self.round.response) {
            self.finish(Ending::Natural, out);
            return Err(Broken::Reported(error));
        }
        Ok(round)
    }

    fn show(&mut self, showing: &Showing<'_>, out: &mut BytesMut) {
        for item in self.view.shown(showing) {
            for (kind, fields) in events::of_item(&item, self.client_items) {
                self.send_own(kind, &fields, out);
            }
            self.client_items += 1;
            self.view.output.push(item);
        }
    }

    fn next_round(&mut self, _out: &mut BytesMut) {
        self.round = RoundState::default();
        self.held.take();
    }

    fn has_begun(&self) -> bool {
        self.view.has_begun()
    }

    fn keep_alive(&mut self, out: &mut BytesMut) {
        // Before `response.created`, SDKs fail on any other event.
        if self.view.has_begun() {
            self.send_own("keepalive", "", out);
        }
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        if ending == Ending::CutShort {
            self.close_items(out);
            let base = if self.round.response.is_empty() { self.view.first() } else { &self.round.response };
            let details = [("incomplete_details", r#"{"reason":"max_output_tokens"}"#.to_owned())];
            let response = self.view.closing(base, Some(("incomplete", &details)));
            return self.send_own("response.incomplete", &format!(r#","response":{response}"#), out);
        }
        for frame in self.held.take() {
            let data = frame.json();
            let event = data.as_deref().and_then(|data| serde_json::from_str::<Event<'_>>(data).ok());
            let (Some(data), Some(event)) = (&data, event) else {
                out.extend_from_slice(&frame.raw);
                continue;
            };
            let mut patch = Patch::default();
            if let Some(response) = event.response.map(RawValue::get).filter(|_| !self.view.is_untouched()) {
                patch.replace(data, response, self.view.closing(response, None));
            }
            self.send(&event, data, patch, &frame, out);
        }
    }

    fn fail(&mut self, failure: &Failure, out: &mut BytesMut) {
        if !self.view.has_begun() {
            let message = quote(&failure.message);
            return self.send_own(
                "error",
                &format!(r#","code":"server_error","message":{message},"param":null"#),
                out,
            );
        }
        self.close_items(out);
        let error = format!(r#"{{"code":"server_error","message":{}}}"#, quote(&failure.message));
        let response = self.view.closing(self.view.first(), Some(("failed", &[("error", error)])));
        self.send_own("response.failed", &format!(r#","response":{response}"#), out);
    }

    fn so_far(&self) -> Round {
        let items = || self.round.items.values();
        let done: Vec<String> = items().filter_map(|item| item.done.clone()).collect();
        let thoughts: Vec<String> = done.iter().filter_map(|item| item::thought(item)).collect();
        Round {
            calls: self.view.calls(&done),
            items: append::items(false, "", &done),
            facts: self.round.facts.clone(),
            text: items().map(Item::text).collect(),
            thoughts: thoughts.join("\n"),
            ..Round::default()
        }
    }

    fn issued_ids(&self) -> Vec<IssuedId> {
        self.view.issued_ids()
    }
}
