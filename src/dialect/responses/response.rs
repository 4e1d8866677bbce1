//! The response that a client sees of several rounds.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::append;
use super::inject::adds_reasoning;
use super::item;
use super::request::is_stored;
use super::show;
use crate::dialect::raw::{Object, Patch};
use crate::dialect::{
    Reported, Request, Round, RoundCall, RoundFacts, Showing, SpliceSettings, UsageStyle, tally,
};
use crate::domain::{Form, IssuedId};

/// What the client sees of the provider's `response` objects, over all rounds.
pub struct View {
    /// The names of the injected tools.
    pub injected: Arc<HashSet<String>>,
    /// Sealed reasoning was asked for by the gateway alone.
    pub strips_seals: bool,
    stored: bool,
    last_input: bool,
    form: Form,
    /// The client's `previous_response_id`.
    previous: Option<String>,
    /// The first round's response, as it was when it was created or, in a whole answer, complete.
    first: Option<String>,
    /// The visible items of all rounds, as the client got them.
    pub output: Vec<String>,
    /// The usage of the rounds that are complete.
    usages: Vec<Map<String, Value>>,
    last_id: String,
    /// Injected calls of the last round, which have no output unless another round brings it.
    unanswered: Vec<String>,
}

impl View {
    /// The view of the client that sent this request.
    pub fn new(request: &Request, settings: SpliceSettings) -> Self {
        let previous = request.draft.object().get("previous_response_id").map(str::to_owned);
        Self {
            injected: Arc::clone(&request.injected),
            strips_seals: adds_reasoning(request),
            stored: is_stored(request),
            form: settings.form,
            last_input: settings.usage == UsageStyle::LastInput,
            previous,
            first: None,
            output: Vec::new(),
            usages: Vec::new(),
            last_id: String::new(),
            unanswered: Vec::new(),
        }
    }

    /// Takes note of a round's response, the first of which gives the client its id.
    pub fn begin(&mut self, response: &str) {
        if self.first.is_none() {
            self.first = Some(response.to_owned());
        }
    }

    /// Whether there is a first response.
    pub fn has_begun(&self) -> bool {
        self.first.is_some()
    }

    /// Whether other rounds may follow the first.
    pub fn may_loop(&self) -> bool {
        !self.injected.is_empty()
    }

    /// Whether no round is complete yet.
    pub fn in_first_round(&self) -> bool {
        self.usages.is_empty()
    }

    /// Whether a call of this item is the gateway's.
    pub fn hides(&self, item: &str) -> bool {
        self.may_loop()
            && Object::parse(item).is_ok_and(|item| {
                item::is_plain_function_call(&item)
                    && item.string("name").is_some_and(|name| self.injected.contains(&*name))
            })
    }

    /// An item as the client gets it.
    pub fn item(&self, item: &str) -> String {
        if self.strips_seals { item::without_seal(item) } else { item.to_owned() }
    }

    /// The items by which the client is shown the round's calls.
    pub fn shown(&self, showing: &Showing<'_>) -> Vec<String> {
        show::show(showing, self.form)
    }

    /// The calls among these items.
    pub fn calls(&self, items: &[String]) -> Vec<RoundCall> {
        let call = |text: &String| Some(RoundCall { call: item::call(text)?, injected: self.hides(text) });
        items.iter().filter_map(call).collect()
    }

    /// Ends a round: its items and what its final response says.
    pub fn end_round(&mut self, response: &str, items: &[String]) -> Round {
        let object = Object::parse(response).unwrap_or_default();
        let usage: Map<String, Value> =
            object.get("usage").and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
        let facts = facts(&object);
        self.last_id.clone_from(&facts.response_id);
        self.usages.push(usage);
        self.stored &= object.get("store") != Some("false");
        let calls = self.calls(items);
        let unanswered = calls.iter().filter(|call| call.injected).map(|call| call.call.id.clone());
        self.unanswered = unanswered.collect();
        let status = object.string("status").unwrap_or("completed".into()).into_owned();
        let reason =
            object.object("incomplete_details").and_then(|details| details.string("reason").map(Into::into));
        let thoughts: Vec<String> = items.iter().filter_map(|text| item::thought(text)).collect();
        let text = items.iter().filter_map(|text| item::text(text)).collect();
        let visible = items.iter().filter(|item| self.stored && !self.hides(item));
        let item_ids = visible.filter_map(|item| id_of(item)).collect();
        Round {
            calls,
            wants_results: status == "completed",
            stop_reason: Some(reason.unwrap_or(status)),
            thoughts: thoughts.join("\n"),
            text,
            item_ids,
            envelope: envelope(response, &object),
            items: append::items(self.stored, &facts.response_id, items),
            facts,
        }
    }

    /// A response object in the middle of the stream: under the client's ids, with the client's tools.
    pub fn opening(&self, response: &str) -> String {
        let Ok(object) = Object::parse(response) else { return response.to_owned() };
        let mut patch = Patch::default();
        self.own_fields(response, &object, &mut patch);
        patch.apply(response)
    }

    /// The last response object, with what is true of all rounds; `status` in its place where one is given,
    /// with the fields that go with it.
    pub fn closing(&self, response: &str, status: Option<(&str, &[(&str, String)])>) -> String {
        let Ok(object) = Object::parse(response) else { return response.to_owned() };
        let mut patch = Patch::default();
        self.own_fields(response, &object, &mut patch);
        if self.may_loop() || status.is_some() {
            patch.set(response, &object, "output", &format!("[{}]", self.output.join(",")));
        }
        let is_sum = self.usages.len() > 1 || status.is_some();
        if is_sum && self.usages.iter().any(|usage| !usage.is_empty()) {
            let usage = tally::openai_total(&self.usages, "input", "output", self.last_input);
            patch.set(response, &object, "usage", &usage);
        }
        let mut closed = patch.apply(response);
        if let Some((status, fields)) = status {
            closed = with_status(&closed, status, fields);
        }
        closed
    }

    /// The first round's response, for an end that the provider has not written.
    pub fn first(&self) -> &str {
        self.first.as_deref().unwrap_or("{}")
    }

    /// Whether the provider's closing response can go out as it came.
    pub fn is_untouched(&self) -> bool {
        !self.may_loop() && self.previous.is_none()
    }

    /// The ids that the client got, each with what stands for it upstream.
    pub fn issued_ids(&self) -> Vec<IssuedId> {
        if !self.stored {
            return Vec::new();
        }
        let items = self.output.iter().filter_map(|item| id_of(item));
        let items = items.map(|id| IssuedId { upstream: id.clone(), id, unanswered: Vec::new() });
        let response = self.first.as_deref().and_then(id_of).map(|id| IssuedId {
            id,
            upstream: self.last_id.clone(),
            unanswered: self.unanswered.clone(),
        });
        response.into_iter().chain(items).collect()
    }

    /// What is the first round's, or the client's own: id, time, tools, choice and predecessor.
    fn own_fields(&self, text: &str, response: &Object<'_>, patch: &mut Patch) {
        let first = self.first.as_deref().and_then(|first| Object::parse(first).ok());
        for key in ["id", "created_at", "tool_choice", "previous_response_id"] {
            let own = match key {
                "previous_response_id" => self.previous.as_deref().or(Some("null")),
                _ => first.as_ref().and_then(|first| first.get(key)),
            };
            if let (Some(old), Some(own)) = (response.get(key), own)
                && old != own
            {
                patch.replace(text, old, own);
            }
        }
        if let Some(tools) = response.get("tools").filter(|_| self.may_loop()) {
            let own: Vec<&str> =
                response.array("tools").into_iter().filter(|tool| !self.is_injected(tool)).collect();
            patch.replace(text, tools, format!("[{}]", own.join(",")));
        }
    }

    fn is_injected(&self, tool: &str) -> bool {
        Object::parse(tool).is_ok_and(|tool| {
            tool.get("type") == Some("\"function\"")
                && tool.string("name").is_some_and(|name| self.injected.contains(&*name))
        })
    }
}

fn id_of(text: &str) -> Option<String> {
    Some(Object::parse(text).ok()?.string("id")?.into_owned())
}

/// What the records keep of a response object.
pub fn facts(response: &Object<'_>) -> RoundFacts {
    let usage: Map<String, Value> =
        response.get("usage").and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
    RoundFacts {
        response_id: response.string("id").unwrap_or_default().into_owned(),
        model: response.string("model").unwrap_or_default().into_owned(),
        usage: tally::openai_classes(&usage, "input", "output"),
    }
}

/// A response without its items.
fn envelope(text: &str, response: &Object<'_>) -> String {
    let mut patch = Patch::default();
    patch.remove(text, response, &["output"]);
    patch.apply(text)
}

/// What went wrong with a response of the status `failed`; `None` for any other.
pub fn response_error(response: &str) -> Option<Reported> {
    let response = Object::parse(response).ok()?;
    (response.get("status") == Some("\"failed\"")).then(|| Reported::of(response.get("error")))
}

/// A response with another status, and with the fields that go with it.
pub fn with_status(response: &str, status: &str, fields: &[(&str, String)]) -> String {
    let mut text = response.to_owned();
    let status = format!("\"{status}\"");
    let fields = std::iter::once(("status", status.as_str()))
        .chain(fields.iter().map(|(key, value)| (*key, value.as_str())));
    for (key, value) in fields {
        let Ok(object) = Object::parse(&text) else { break };
        let mut patch = Patch::default();
        patch.set(&text, &object, key, value);
        text = patch.apply(&text);
    }
    text
}
