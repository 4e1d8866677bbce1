//! A client that holds a conversation as real ones do: it folds each answer, sends the turn back in the form
//! that it is used to, and answers the calls of its own tools.

use serde_json::{Value, json};

use crate::client::{Answer, Message, patiently, read};
use crate::wire::{Api, Call, Mode};
use crate::world::World;

/// The client's own tools.
pub const TOOLS: [&str; 2] = ["mine", "other"];

/// In which order a client sends things back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    AsCame,
    Reversed,
    /// Calls behind all else (Claude Code).
    Last,
}

/// What a client makes of the texts of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    #[default]
    AsCame,
    Trimmed,
    /// One text, with line breaks between those that came.
    Joined,
}

/// How a client of the responses API refers to what was before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Memory {
    /// It sends all items again; the provider stores nothing.
    #[default]
    Items,
    /// It sends all items again, although the provider stores them.
    StoredItems,
    /// `previous_response_id`, and what is new.
    Chain,
    /// `item_reference` for each item that the provider has.
    References,
}

/// What a client keeps of calls that ran on the server's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Native {
    #[default]
    Kept,
    /// Nothing (Codex, and opencode where the provider stores nothing).
    Dropped,
    /// The calls without their results (opencode in the messages API).
    CallsOnly,
}

/// How a client sends back what it got.
#[derive(Clone, Copy, Debug, Default)]
pub struct Habits {
    pub calls: Order,
    pub results: Order,
    pub texts: Texts,
    pub drops_thinking: bool,
    /// A text alone is a string where it came as blocks, blocks where it came as a string.
    pub other_form: bool,
    /// An assistant turn with text and calls becomes two messages.
    pub splits: bool,
    /// Each output follows its call (responses).
    pub interleaves: bool,
    /// Cache markers stand at the end of each request (messages).
    pub marks: bool,
    pub memory: Memory,
    pub native: Native,
    /// Arguments are written anew, and items have no ids (opencode).
    pub respells: bool,
}

/// A client in a conversation.
#[derive(Clone)]
pub struct Agent {
    pub api: Api,
    pub mode: Mode,
    pub habits: Habits,
    /// The request without its history.
    pub body: Value,
    /// What the client holds of the conversation.
    pub history: Vec<Value>,
    pub headers: Vec<(&'static str, String)>,
    /// The calls that wait for a result.
    pub open: Vec<Call>,
    /// The response to go on from, and how much of the history it holds.
    stored: Option<(String, usize)>,
    /// The newest answer.
    pub answer: Option<Answer>,
}

impl Agent {
    pub fn new(api: Api, mode: Mode) -> Self {
        Self::with(api, mode, Habits::default())
    }

    pub fn with(api: Api, mode: Mode, mut habits: Habits) -> Self {
        if api != Api::Responses {
            habits.memory = Memory::Items;
        }
        let mut body = api.request(mode, "", &TOOLS);
        body[history_key(api)] = json!([]);
        if api == Api::Responses {
            body["store"] = json!(habits.memory != Memory::Items);
            if habits.memory == Memory::Items && !habits.drops_thinking {
                body["include"] = json!(["reasoning.encrypted_content"]);
            }
        }
        let (history, headers, open) = (Vec::new(), Vec::new(), Vec::new());
        Self { api, mode, habits, body, history, headers, open, stored: None, answer: None }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Adds a message of the user's, behind results in the same message where the API wants that.
    pub fn prompt(&mut self, text: &str) -> &mut Self {
        match self
            .history
            .last_mut()
            .filter(|last| self.api == Api::Messages && last["role"] == "user" && last["content"].is_array())
        {
            Some(last) => {
                last["content"].as_array_mut().unwrap().push(json!({"type": "text", "text": text}));
            }
            None => self.history.push(json!({"role": "user", "content": text})),
        }
        self
    }

    /// Adds a result for each call that waits for one.
    pub fn results(&mut self) -> &mut Self {
        let mut ids: Vec<String> = self.open.iter().map(|call| call.id.clone()).collect();
        if self.habits.results == Order::Reversed {
            ids.reverse();
        }
        self.results_of(&ids.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Adds results for these calls; those of the other calls never come.
    pub fn results_of(&mut self, ids: &[&str]) -> &mut Self {
        self.open.clear();
        match self.api {
            Api::Messages if ids.is_empty() => {}
            Api::Messages => {
                let block =
                    |id: &&str| json!({"type": "tool_result", "tool_use_id": id, "content": result(id)});
                let blocks: Vec<Value> = ids.iter().map(block).collect();
                self.history.push(json!({"role": "user", "content": blocks}));
            }
            Api::Chat => self.history.extend(
                ids.iter().map(|id| json!({"role": "tool", "tool_call_id": id, "content": result(id)})),
            ),
            Api::Responses => ids.iter().for_each(|id| self.add_output(id)),
        }
        self
    }

    fn add_output(&mut self, id: &str) {
        let output = json!({"type": "function_call_output", "call_id": id, "output": result(id)});
        let call =
            self.history.iter().position(|item| item["type"] == "function_call" && item["call_id"] == id);
        match call.filter(|_| self.habits.interleaves && self.stored.is_none()) {
            Some(at) => self.history.insert(at + 1, output),
            None => self.history.push(output),
        }
    }

    /// The request as it stands now.
    pub fn request(&self) -> Value {
        let mut body = self.body.clone();
        let from = self.stored.as_ref().map_or(0, |(_, length)| *length);
        body[history_key(self.api)] = self.history[from..].to_vec().into();
        if let Some((id, _)) = &self.stored {
            body["previous_response_id"] = json!(id);
        }
        if self.habits.marks && self.api == Api::Messages {
            mark(&mut body);
        }
        body
    }

    /// Sends the request without taking the answer.
    pub async fn ask(&self, world: &World) -> Answer {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = self.request().to_string();
        patiently("the answer", world.post(self.api.path(), request, &headers)).await
    }

    /// Sends the request, and takes the answer into the conversation.
    pub async fn send(&mut self, world: &World) -> Message {
        let answer = self.ask(world).await;
        self.take(answer)
    }

    /// A user's turn to its end: the prompt, then results as long as there are calls. All messages that came.
    pub async fn turn(&mut self, world: &World, prompt: &str) -> Vec<Message> {
        let mut messages = vec![self.prompt(prompt).send(world).await];
        while !self.open.is_empty() {
            messages.push(self.results().send(world).await);
        }
        messages
    }

    /// Takes an answer into the conversation.
    pub fn take(&mut self, answer: Answer) -> Message {
        let whole = answer.whole(self.api, self.mode);
        let message = read(self.api, &whole);
        self.open.clone_from(&message.calls);
        let echo = match self.api {
            Api::Messages => self.messages_turn(&whole["content"]),
            Api::Chat => self.chat_turn(&whole["choices"][0]["message"]),
            Api::Responses => self.response_items(&whole["output"]),
        };
        self.history.extend(echo);
        if self.habits.memory == Memory::Chain {
            self.stored = Some((message.id.clone(), self.history.len()));
        }
        self.answer = Some(answer);
        message
    }

    fn messages_turn(&self, content: &Value) -> Vec<Value> {
        let mut blocks = content.as_array().unwrap().clone();
        if self.habits.drops_thinking {
            blocks.retain(|block| block["type"] != "thinking");
        }
        self.drop_native(&mut blocks);
        self.change_texts(&mut blocks, "text", "\n\n");
        self.reorder(&mut blocks, "tool_use");
        let turn = |content: Vec<Value>| json!({"role": "assistant", "content": content});
        if let [only] = blocks.as_slice()
            && only["type"] == "text"
            && self.habits.other_form
        {
            return vec![json!({"role": "assistant", "content": only["text"]})];
        }
        let first_call = blocks.iter().position(|block| block["type"] == "tool_use");
        match first_call.filter(|at| *at > 0 && self.habits.splits) {
            Some(at) => {
                let calls = blocks.split_off(at);
                vec![turn(blocks), turn(calls)]
            }
            None => vec![turn(blocks)],
        }
    }

    fn drop_native(&self, elements: &mut Vec<Value>) {
        let is_dropped = |element: &Value| match (self.habits.native, element["type"].as_str()) {
            (Native::Dropped, Some("mcp_tool_use" | "mcp_call" | "mcp_list_tools" | "mcp_tool_result")) => {
                true
            }
            (Native::CallsOnly, kind) => kind == Some("mcp_tool_result"),
            _ => false,
        };
        elements.retain(|element| !is_dropped(element));
    }

    fn chat_turn(&self, message: &Value) -> Vec<Value> {
        let mut turn = json!({"role": "assistant", "content": message["content"]});
        if let Some(text) = turn["content"].as_str() {
            let text = if self.habits.texts == Texts::AsCame { text } else { text.trim() };
            let blocks = json!([{"type": "text", "text": text}]);
            turn["content"] = if self.habits.other_form { blocks } else { json!(text) };
        }
        if !self.habits.drops_thinking && !message["reasoning_content"].is_null() {
            turn["reasoning_content"] = message["reasoning_content"].clone();
        }
        let Some(mut calls) = message["tool_calls"].as_array().cloned() else { return vec![turn] };
        if self.habits.calls == Order::Reversed {
            calls.reverse();
        }
        if self.habits.respells {
            for call in &mut calls {
                respell(&mut call["function"]["arguments"]);
            }
        }
        if self.habits.splits && !turn["content"].is_null() {
            return vec![turn, json!({"role": "assistant", "content": null, "tool_calls": calls})];
        }
        turn["tool_calls"] = calls.into();
        vec![turn]
    }

    fn response_items(&self, output: &Value) -> Vec<Value> {
        let mut items = output.as_array().unwrap().clone();
        if self.habits.memory == Memory::References {
            return items.iter().map(|item| json!({"type": "item_reference", "id": item["id"]})).collect();
        }
        if self.habits.drops_thinking {
            items.retain(|item| item["type"] != "reasoning");
            // An item that is known by its id would ask for its reasoning.
            for item in &mut items {
                item.as_object_mut().unwrap().shift_remove("id");
            }
            if self.habits.other_form {
                let text = |item: &Value| json!({"role": "assistant", "content": item["content"][0]["text"]});
                let messages = items.iter_mut().filter(|item| item["type"] == "message");
                messages.for_each(|item| *item = text(item));
            }
        }
        if self.habits.respells && self.habits.memory == Memory::Items {
            for item in &mut items {
                item.as_object_mut().unwrap().retain(|key, _| key != "id" && key != "status");
                if let Some(arguments) = item.get_mut("arguments") {
                    respell(arguments);
                }
            }
        }
        self.drop_native(&mut items);
        self.reorder(&mut items, "function_call");
        items
    }

    fn change_texts(&self, blocks: &mut Vec<Value>, kind: &str, between: &str) {
        let is_text = |block: &Value| block["type"] == kind;
        match self.habits.texts {
            Texts::AsCame => {}
            Texts::Trimmed => {
                for block in blocks.iter_mut().filter(|block| is_text(block)) {
                    block["text"] = json!(block["text"].as_str().unwrap().trim());
                }
            }
            Texts::Joined => {
                let texts: Vec<String> = blocks
                    .iter()
                    .filter(|block| is_text(block))
                    .map(|block| block["text"].as_str().unwrap().trim().to_owned())
                    .collect();
                if let Some(at) = blocks.iter().position(is_text) {
                    blocks[at]["text"] = json!(texts.join(between));
                    let mut place = 0;
                    blocks.retain(|block| {
                        place += 1;
                        place == at + 1 || !is_text(block)
                    });
                }
            }
        }
    }

    /// Changes the order of the calls, but for one that is bound to the reasoning before it.
    fn reorder(&self, items: &mut Vec<Value>, kind: &str) {
        let is_movable = |at: usize, items: &[Value]| {
            items[at]["type"] == kind && !(at > 0 && items[at - 1]["type"] == "reasoning")
        };
        let places: Vec<usize> = (0..items.len()).filter(|at| is_movable(*at, items)).collect();
        match self.habits.calls {
            Order::AsCame => {}
            Order::Reversed => {
                let calls: Vec<Value> = places.iter().map(|at| items[*at].clone()).collect();
                for (at, call) in places.iter().zip(calls.into_iter().rev()) {
                    items[*at] = call;
                }
            }
            Order::Last => {
                let calls: Vec<Value> = places.iter().rev().map(|at| items.remove(*at)).collect();
                items.extend(calls.into_iter().rev());
            }
        }
    }
}

/// Writes arguments as another JSON library would: with its own spaces and order of keys.
fn respell(arguments: &mut Value) {
    let parsed = arguments.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(Value::Object(fields)) = parsed {
        let reversed: serde_json::Map<String, Value> = fields.into_iter().rev().collect();
        *arguments = json!(serde_json::to_string_pretty(&reversed).unwrap());
    }
}

/// What the client's tools answer.
pub fn result(id: &str) -> String {
    format!("the client's result of {id}")
}

fn history_key(api: Api) -> &'static str {
    if api == Api::Responses { "input" } else { "messages" }
}

/// Puts a cache marker on the last block of the system prompt and on that of the last message.
fn mark(body: &mut Value) {
    let marker = json!({"type": "ephemeral"});
    if let Some(block) = body["system"].as_array_mut().and_then(|blocks| blocks.last_mut()) {
        block["cache_control"] = marker.clone();
    }
    let Some(last) = body["messages"].as_array_mut().and_then(|messages| messages.last_mut()) else { return };
    if let Some(text) = last["content"].as_str() {
        last["content"] = json!([{"type": "text", "text": text}]);
    }
    if let Some(block) = last["content"].as_array_mut().and_then(|blocks| blocks.last_mut()) {
        block["cache_control"] = marker;
    }
}
