//! Answers in one piece as one message.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::BytesMut;

use super::usage::{self, RoundUsage};
use super::{block, replay, show};
use crate::dialect::body::{self, Body};
use crate::dialect::raw::{Object, Patch, string};
use crate::dialect::{
    Broken, Ending, Items, Round, RoundCall, RoundFacts, Showing, SpliceSettings, Splicer, is_event_stream,
};
use crate::domain::ToolCall;

/// Whole answers as one whole answer.
pub struct Whole {
    injected: Arc<HashSet<String>>,
    settings: SpliceSettings,
    /// The answer under way.
    body: Body,
    /// The last answer that is complete.
    last: String,
    first_id: Option<String>,
    /// What the client sees of all rounds.
    content: Vec<String>,
    usages: Vec<RoundUsage>,
    facts: RoundFacts,
    stop_reason: Option<String>,
    /// The last round left out a block.
    hides: bool,
    /// Where the client's calls of the last round begin in `content`, if it has any.
    client_calls: Option<usize>,
}

impl Whole {
    /// A splicer that hides the calls of these tools.
    pub fn new(injected: Arc<HashSet<String>>, settings: SpliceSettings) -> Self {
        Self {
            injected,
            settings,
            body: Body::new(settings.max_answer),
            last: String::new(),
            first_id: None,
            content: Vec::new(),
            usages: Vec::new(),
            facts: RoundFacts::default(),
            stop_reason: None,
            hides: false,
            client_calls: None,
        }
    }

    fn read_block(&mut self, text: &str, round: &mut Round, items: &mut Vec<String>) {
        if !block::is_empty_text(text) {
            items.push(text.to_owned());
        }
        let Ok(block) = Object::parse(text) else { return };
        match block.string("type").as_deref() {
            Some("tool_use") => {
                let field = |key| block.string(key).unwrap_or_default().into_owned();
                let arguments = block.get("input").unwrap_or("{}").to_owned();
                let call = ToolCall { id: field("id"), name: field("name"), arguments };
                let injected = self.injected.contains(&call.name);
                round.calls.push(RoundCall { call, injected });
                if injected {
                    self.hides = true;
                    return;
                }
                self.client_calls.get_or_insert(self.content.len());
            }
            Some("thinking") => {
                if !round.thoughts.is_empty() {
                    round.thoughts.push('\n');
                }
                round.thoughts.push_str(&block.string("thinking").unwrap_or_default());
            }
            Some("text") => round.text.push_str(&block.string("text").unwrap_or_default()),
            _ => {}
        }
        self.content.push(text.to_owned());
    }

    /// The last answer with what is true of all rounds in it.
    fn merged(&self, stop: Option<&str>) -> Option<String> {
        let last = Object::parse(&self.last).ok()?;
        let mut patch = Patch::default();
        patch.set(&self.last, &last, "id", self.first_id.as_deref()?);
        patch.set(&self.last, &last, "content", &format!("[{}]", self.content.join(",")));
        if let Some(stop) = stop {
            patch.set(&self.last, &last, "stop_reason", &format!("\"{stop}\""));
        }
        patch.set(&self.last, &last, "usage", &usage::total(&self.usages, self.settings.usage));
        Some(patch.apply(&self.last))
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
        let mut usage = RoundUsage::default();
        usage.update(answer.get("usage").unwrap_or("{}"));
        self.facts = RoundFacts {
            response_id: answer.string("id").unwrap_or_default().into_owned(),
            model: answer.string("model").unwrap_or_default().into_owned(),
            usage: usage.by_class(),
        };
        self.usages.push(usage);
        self.first_id.get_or_insert_with(|| answer.get("id").unwrap_or("null").to_owned());
        let mut round = Round { facts: self.facts.clone(), ..Round::default() };
        let mut items = Vec::new();
        (self.hides, self.client_calls) = (false, None);
        for block in answer.array("content") {
            self.read_block(block, &mut round, &mut items);
        }
        round.items = Items(format!("[{}]", items.join(",")));
        self.stop_reason = answer.get("stop_reason").and_then(string).map(Into::into);
        round.stop_reason.clone_from(&self.stop_reason);
        round.wants_results = matches!(round.stop_reason.as_deref(), Some("tool_use" | "end_turn"));
        round.envelope = replay::envelope(&body, self.usages.last());
        self.last = body;
        Ok(round)
    }

    fn show(&mut self, showing: &Showing<'_>, _out: &mut BytesMut) {
        let at = self.client_calls.unwrap_or(self.content.len());
        self.content.splice(at..at, show::show(showing, self.settings.form));
    }

    fn next_round(&mut self, _out: &mut BytesMut) {
        self.facts = RoundFacts::default();
    }

    fn has_begun(&self) -> bool {
        self.first_id.is_some()
    }

    fn finish(&mut self, ending: Ending, out: &mut BytesMut) {
        let untouched = self.usages.len() == 1 && !self.hides && ending == Ending::Natural;
        let dangling = self.client_calls.is_none() && self.stop_reason.as_deref() == Some("tool_use");
        let stop = match ending {
            Ending::CutShort => Some("max_tokens"),
            Ending::Natural if dangling => Some("end_turn"),
            Ending::Natural => None,
        };
        let body = if untouched { None } else { self.merged(stop) };
        out.extend_from_slice(body.as_ref().unwrap_or(&self.last).as_bytes());
    }

    fn so_far(&self) -> Round {
        Round { facts: self.facts.clone(), ..Round::default() }
    }
}
