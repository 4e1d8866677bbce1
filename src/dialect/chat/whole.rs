//! Answers in one piece as one message.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;
use serde_json::{Map, Value};

use super::texts::Joined;
use super::{call, content, replay, show};
use crate::dialect::body::{self, Body};
use crate::dialect::raw::{Object, Patch};
use crate::dialect::{
    Broken, Ending, Items, Round, RoundCall, RoundFacts, Showing, SpliceSettings, Splicer, UsageStyle,
    is_event_stream, tally,
};

/// Whole answers as one whole answer.
pub struct Whole {
    injected: Arc<HashSet<String>>,
    settings: SpliceSettings,
    /// The answer under way.
    body: Body,
    /// The last answer that is complete.
    last: String,
    /// The fields that the client knows the answer by, as the first round had them.
    first: Vec<(&'static str, String)>,
    texts: Joined,
    /// The client's calls of the last round; `None` where the model called nothing.
    client_calls: Option<Vec<String>>,
    usages: Vec<Map<String, Value>>,
    facts: RoundFacts,
    finish: Option<String>,
    /// The last round left out a call.
    hides: bool,
}

impl Whole {
    /// A splicer that hides the calls of these tools.
    pub fn new(injected: Arc<HashSet<String>>, settings: SpliceSettings) -> Self {
        Self {
            injected,
            settings,
            body: Body::new(settings.max_answer),
            last: String::new(),
            first: Vec::new(),
            texts: Joined::default(),
            client_calls: None,
            usages: Vec::new(),
            facts: RoundFacts::default(),
            finish: None,
            hides: false,
        }
    }

    fn read_message(&mut self, message: &Object<'_>, round: &mut Round) {
        self.texts.add(message);
        let thoughts = message.string("reasoning_content").or_else(|| message.string("reasoning"));
        round.text = content::said(message);
        round.thoughts = thoughts.unwrap_or_default().into_owned();
        let calls = message.array("tool_calls");
        self.hides = false;
        self.client_calls = (!calls.is_empty()).then(Vec::new);
        for text in calls {
            let Some(call) = call::read(text) else { continue };
            let injected = self.injected.contains(&call.name) && !is_custom(text);
            round.calls.push(RoundCall { call, injected });
            if injected {
                self.hides = true;
            } else if let Some(visible) = &mut self.client_calls {
                visible.push(text.to_owned());
            }
        }
    }

    /// The last answer with what is true of all rounds in it.
    fn merged(&self, finish: Option<&str>) -> Option<String> {
        let text = self.last.as_str();
        let last = Object::parse(text).ok()?;
        let mut patch = Patch::default();
        for (key, first) in &self.first {
            patch.set(text, &last, key, first);
        }
        if self.usages.iter().any(|usage| !usage.is_empty()) {
            let last_input = self.settings.usage == UsageStyle::LastInput;
            patch.set(
                text,
                &last,
                "usage",
                &tally::openai_total(&self.usages, "prompt", "completion", last_input),
            );
        }
        let choice = last.array("choices").first().and_then(|choice| Object::parse(choice).ok())?;
        if let (Some(old), Some(finish)) = (choice.get("finish_reason"), finish) {
            patch.replace(text, old, finish);
        }
        let (message_text, message) = (choice.get("message")?, choice.object("message")?);
        let mut inner_patch = Patch::default();
        self.texts.set(message_text, &message, &mut inner_patch);
        match &self.client_calls {
            Some(calls) if calls.is_empty() => inner_patch.remove(message_text, &message, &["tool_calls"]),
            Some(calls) => {
                inner_patch.set(message_text, &message, "tool_calls", &format!("[{}]", calls.join(",")));
            }
            None => {}
        }
        patch.replace(text, message_text, inner_patch.apply(message_text));
        Some(patch.apply(text))
    }
}

impl Splicer for Whole {
    fn takes(&self, content_type: &str) -> bool {
        !is_event_stream(content_type)
    }

    fn feed(&mut self, bytes: &[u8], _out: &mut BytesMut) -> Result<(), Broken> {
        self.body.push(bytes)
    }

    fn end_round(&mut self, _out: &mut BytesMut) -> Result<Round, Broken> {
        let body = self.body.take()?;
        let answer = body::fields(&body)?;
        let usage: Map<String, Value> =
            answer.get("usage").and_then(|usage| serde_json::from_str(usage).ok()).unwrap_or_default();
        self.facts = RoundFacts {
            response_id: answer.string("id").unwrap_or_default().into_owned(),
            model: answer.string("model").unwrap_or_default().into_owned(),
            usage: tally::openai_classes(&usage, "prompt", "completion"),
        };
        self.usages.push(usage);
        if self.first.is_empty() {
            let kept =
                ["id", "created"].into_iter().filter_map(|key| Some((key, answer.get(key)?.to_owned())));
            self.first = kept.collect();
        }
        let mut round = Round { facts: self.facts.clone(), ..Round::default() };
        if let Some(choice) = answer.array("choices").first().and_then(|choice| Object::parse(choice).ok()) {
            self.finish = choice.string("finish_reason").map(Into::into);
            round.stop_reason.clone_from(&self.finish);
            round.wants_results =
                matches!(self.finish.as_deref(), Some("tool_calls" | "stop" | "function_call"));
            if let (Some(text), Some(message)) = (choice.get("message"), choice.object("message")) {
                self.read_message(&message, &mut round);
                round.items = Items(text.to_owned());
            }
        }
        round.envelope = replay::envelope(&answer, answer.get("usage"));
        self.last = body;
        Ok(round)
    }

    fn show(&mut self, showing: &Showing<'_>, _out: &mut BytesMut) {
        for line in show::show(showing, self.settings.form) {
            self.texts.add_content(&line);
        }
    }

    fn next_round(&mut self, _out: &mut BytesMut) {
        self.facts = RoundFacts::default();
    }

    fn has_begun(&self) -> bool {
        !self.usages.is_empty()
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        let untouched = self.usages.len() == 1 && !self.hides && ending == Ending::Natural;
        let shows_calls = self.client_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        let dangling = self.hides && !shows_calls && self.finish.as_deref() == Some("tool_calls");
        let finish = match ending {
            Ending::CutShort => Some("\"length\""),
            Ending::Natural if dangling => Some("\"stop\""),
            Ending::Natural => None,
        };
        let body = if untouched { None } else { self.merged(finish) };
        out.extend_from_slice(body.as_ref().unwrap_or(&self.last).as_bytes());
    }

    fn so_far(&self) -> Round {
        Round { facts: self.facts.clone(), ..Round::default() }
    }
}

fn is_custom(call: &str) -> bool {
    Object::parse(call).is_ok_and(|call| call.get("custom").is_some())
}
