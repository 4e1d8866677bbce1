//! A provider that answers from a plan, and is as strict as the real ones: it answers 400 to whatever one of
//! them would refuse, and keeps the reason.
//!
//! Where a conversation stands it tells from the request alone, so one model can play many at once: the
//! last planned prompt in the history says which turn it is, the rounds seen since then which round comes
//! next. Prompts, texts of one turn and ids of calls therefore have to differ.

mod binding;
mod chat;
mod messages;
mod responses;
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::provider::{Model, Received, Reply};
use crate::wire::{Api, Mode, Say};

/// The names of injected tools begin so.
pub const INJECTED: &str = "srv__";

/// The model; clones share what they know.
#[derive(Clone, Default)]
pub struct StrictModel {
    state: Arc<Mutex<State>>,
    forgiving: bool,
}

#[derive(Default)]
struct State {
    turns: Vec<Turn>,
    issued: Vec<Issued>,
    /// The items of each stored response with all that was before it.
    stored: HashMap<String, Vec<Value>>,
    refusals: Vec<String>,
}

/// What the model says after a prompt, round by round.
struct Turn {
    prompt: String,
    rounds: Vec<Say>,
}

/// A round that went out.
struct Issued {
    /// All that stood before it, as [`units`] has it.
    prefix: Vec<Value>,
    items: Vec<Value>,
}

impl StrictModel {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes back a turn with injected calls also where its thinking was left out: for histories that were
    /// edited or lost.
    pub fn forgiving() -> Self {
        Self { forgiving: true, ..Self::default() }
    }

    /// Plans what is said, round by round, after a user message that has this text in it.
    pub fn plan(&self, prompt: &str, rounds: &[Say]) -> &Self {
        let turn = Turn { prompt: prompt.to_owned(), rounds: rounds.to_vec() };
        self.state.lock().unwrap().turns.push(turn);
        self
    }

    /// All that stood before each answer to this prompt or to what followed it in its conversation.
    pub fn seen(&self, prompt: &str) -> Vec<Vec<Value>> {
        let state = self.state.lock().unwrap();
        let says = |units: &Vec<Value>| units.iter().any(|unit| unit.to_string().contains(prompt));
        state.issued.iter().map(|round| round.prefix.clone()).filter(says).collect()
    }

    /// Begins anew, for the next of many conversations.
    pub fn forget_refusals(&self) {
        self.state.lock().unwrap().refusals.clear();
    }

    /// Why requests were refused.
    pub fn refusals(&self) -> Vec<String> {
        self.state.lock().unwrap().refusals.clone()
    }
}

impl Model for StrictModel {
    fn answer(&self, request: &Received) -> Reply {
        let api = Api::of(&request.path);
        let mut state = self.state.lock().unwrap();
        if request.path.ends_with("/count_tokens") {
            let tokens = units(api, &request.json(), &[]).len() + request.history(api).len();
            return Reply::new(200, "application/json", json!({ "input_tokens": tokens }).to_string());
        }
        match state.answer(api, &request.json(), self.forgiving) {
            Ok(reply) => reply,
            Err(reason) => {
                state.refusals.push(format!("{reason}\nin {}", request.json()));
                refusal(api, &reason)
            }
        }
    }
}

impl State {
    fn answer(&mut self, api: Api, body: &Value, forgiving: bool) -> Result<Reply, String> {
        let history = match api {
            Api::Messages | Api::Chat => body["messages"].as_array().ok_or("no messages")?.clone(),
            Api::Responses => responses::history(body, &self.stored)?,
        };
        match api {
            Api::Messages => messages::check(body, &history)?,
            Api::Chat => chat::check(&history)?,
            Api::Responses => responses::check(body, &history, &self.stored)?,
        }
        let units = units(api, body, &history);
        binding::check_thoughts(api, &units, &self.issued)?;
        binding::check_injected(api, &units, &self.issued, forgiving)?;
        if api == Api::Messages && body["thinking"]["type"] == "enabled" {
            messages::check_begins_with_thinking(&history, &self.issued)?;
        }
        let mut say = self.next(api, &history)?;
        say.unsealed = api == Api::Responses && !responses::wants_seals(body);
        let whole = api.whole(&say);
        let items = output_units(api, &whole);
        if api == Api::Responses && body["store"] != false {
            let output = whole["output"].as_array().unwrap();
            self.stored.insert(say.id.clone(), history.iter().chain(output).cloned().collect());
        }
        self.issued.push(Issued { prefix: units, items });
        let mode = if body["stream"] == true { Mode::Streamed } else { Mode::Whole };
        Ok(Reply::say(api, mode, &say))
    }

    /// What comes next in the plan after this history.
    fn next(&self, api: Api, history: &[Value]) -> Result<Say, String> {
        let (at, turn) = history
            .iter()
            .enumerate()
            .rev()
            .filter(|(_, element)| element["role"] == "user")
            .find_map(|(at, element)| {
                let said = texts(element);
                Some((at, self.turns.iter().rev().find(|turn| said.contains(&turn.prompt))?))
            })
            .ok_or("the test planned nothing for this prompt")?;
        let answered: Vec<String> = history[at..]
            .iter()
            .filter(|element| is_the_models(api, element))
            .map(Value::to_string)
            .collect();
        let has = |text: &str| answered.iter().any(|element| element.contains(text));
        let was_said = |round: &Say| {
            let text = json!(round.text.concat()).to_string();
            round.calls.iter().any(|call| has(&json!(call.id).to_string()))
                || (text.len() > 2 && has(&text[1..text.len() - 1]))
        };
        let next = turn.rounds.iter().rposition(was_said).map_or(0, |last| last + 1);
        turn.rounds
            .get(next)
            .cloned()
            .ok_or_else(|| "the test planned no more rounds for this prompt".to_owned())
    }
}

impl Api {
    /// The API that is served at this path.
    pub fn of(path: &str) -> Self {
        if path.ends_with("/chat/completions") {
            Self::Chat
        } else if path.ends_with("/responses") {
            Self::Responses
        } else {
            Self::Messages
        }
    }
}

fn refusal(api: Api, reason: &str) -> Reply {
    let error = json!({"type": "invalid_request_error", "message": reason, "code": null, "param": null});
    let body =
        if api == Api::Messages { json!({"type": "error", "error": error}) } else { json!({"error": error}) };
    Reply::error(400, &body.to_string())
}

fn is_the_models(api: Api, element: &Value) -> bool {
    match api {
        Api::Messages | Api::Chat => element["role"] == "assistant",
        Api::Responses => {
            element["role"] == "assistant"
                || matches!(element["type"].as_str(), Some("function_call" | "reasoning"))
        }
    }
}

/// The texts of a message, one a line.
fn texts(message: &Value) -> String {
    match &message["content"] {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// All that a model sees of a request, in order: its instructions, the tools, then block by block (messages),
/// message by message (chat) or item by item (responses), without cache markers.
pub fn units(api: Api, body: &Value, history: &[Value]) -> Vec<Value> {
    let mut units = match api {
        Api::Messages => messages::system(body),
        Api::Chat => Vec::new(),
        Api::Responses => vec![body["instructions"].clone()],
    };
    units.extend(body["tools"].as_array().into_iter().flatten().cloned());
    units.extend(history.iter().flat_map(|element| match api {
        Api::Messages => messages::blocks(element),
        Api::Chat => vec![without_nulls(element)],
        Api::Responses => vec![element.clone()],
    }));
    units.iter().map(without_markers).collect()
}

/// The units that an answer adds to the history.
fn output_units(api: Api, whole: &Value) -> Vec<Value> {
    match api {
        Api::Messages => messages::blocks(whole),
        Api::Chat => vec![without_nulls(&whole["choices"][0]["message"])],
        Api::Responses => whole["output"].as_array().unwrap().clone(),
    }
}

/// A value without cache markers, however deep.
pub fn without_markers(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, _)| *key != "cache_control")
            .map(|(key, value)| (key.clone(), without_markers(value)))
            .collect(),
        Value::Array(elements) => elements.iter().map(without_markers).collect(),
        other => other.clone(),
    }
}

fn without_nulls(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    fields.map(|(key, value)| (key.clone(), value.clone())).collect()
}
