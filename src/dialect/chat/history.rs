use crate::dialect::canon::Canon;
use crate::dialect::raw::Object;
use crate::dialect::walk::{OpenTurn, Walk};
use crate::dialect::{History, Request};
use crate::domain::Digest;

use super::call;
use super::content::{self, Part};
use super::reasoning;

/// Fields that say how the answer is to be delivered and what becomes of it, but not what is asked.
const DELIVERY: [&str; 5] = ["stream", "stream_options", "metadata", "max_tokens", "max_completion_tokens"];

/// Reads the conversation: consecutive messages of the assistant's are one turn, consecutive results of tools
/// one element, in which their order does not count.
pub fn history(request: &Request) -> History {
    let object = request.draft.object();
    let tools = tools(&object);
    let mut reader = Reader::new(tools);
    for (place, text) in object.array("messages").into_iter().enumerate() {
        reader.message(place, text);
    }
    reader.answer();
    let (whole, turns) = reader.walk.finish();
    let end_user = object.string("safety_identifier").or_else(|| object.string("user"));
    History {
        whole,
        turns,
        beginning: reader.beginning.digest(),
        tools,
        request: request_digest(&object, whole),
        end_user: end_user.map(Into::into),
    }
}

struct Reader {
    walk: Walk,
    /// Results of tools, by the ids of their calls, that have not been answered by another message yet.
    results: Vec<(String, Digest)>,
    beginning: Canon,
    /// The user has spoken.
    begun: bool,
}

impl Reader {
    fn new(tools: Digest) -> Self {
        let mut beginning = Canon::of("beginning");
        beginning.part(tools);
        Self { walk: Walk::new(), results: Vec::new(), beginning, begun: false }
    }

    fn message(&mut self, place: usize, text: &str) {
        let message = Object::within(text).unwrap_or_default();
        let role = message.string("role").unwrap_or_default();
        if role == "tool" {
            let call = message.string("tool_call_id").unwrap_or_default().into_owned();
            return self.results.push((call, of_content("tool", &message)));
        }
        self.answer();
        match &*role {
            "assistant" => read_assistant(&message, self.walk.assistant(place)),
            "user" | "system" | "developer" => {
                let digest = of_content(&role, &message);
                if !self.begun {
                    self.beginning.part(digest);
                    self.begun = role == "user";
                }
                self.walk.other(digest);
            }
            _ => {
                let mut canon = Canon::of("other");
                canon.json(text);
                self.walk.other(canon.digest());
            }
        }
    }

    /// Takes in the results that have been read, which are complete now.
    fn answer(&mut self) {
        if self.results.is_empty() {
            return;
        }
        let mut canon = Canon::of("results");
        self.results.sort();
        for (call, result) in self.results.drain(..) {
            canon.word(&call);
            canon.part(result);
        }
        self.walk.other(canon.digest());
    }
}

fn read_assistant(message: &Object<'_>, turn: &mut OpenTurn) {
    for part in content::parts(message) {
        match part {
            Part::Text(text) => turn.text(&text),
            Part::Thinking => {}
            Part::Other(json) => turn.other(json),
        }
    }
    for call in message.array("tool_calls").into_iter().filter_map(call::read) {
        turn.call(&call.id, &call.name, &call.arguments);
    }
    for key in ["function_call", "audio"] {
        if let Some(value) = message.get(key).filter(|value| *value != "null") {
            turn.other(value);
        }
    }
    if reasoning::is_signed(message) {
        turn.thinking();
    }
}

/// What a message that is not the assistant's says: a string and one text part are the same, as are texts
/// in one part and in several.
fn of_content(role: &str, message: &Object<'_>) -> Digest {
    let mut canon = Canon::of(role);
    canon.word(&message.string("name").filter(|_| role != "tool").unwrap_or_default());
    let mut text = String::new();
    let take_text = |text: &mut String, canon: &mut Canon| {
        if !text.trim_ascii().is_empty() {
            canon.word("text");
            canon.text(text);
        }
        text.clear();
    };
    for part in content::parts(message) {
        match part {
            Part::Text(more) => text.push_str(&more),
            Part::Thinking => {}
            Part::Other(json) => {
                take_text(&mut text, &mut canon);
                canon.json(json);
            }
        }
    }
    take_text(&mut text, &mut canon);
    canon.digest()
}

fn tools(object: &Object<'_>) -> Digest {
    let mut canon = Canon::of("tools");
    for tool in object.array("tools") {
        canon.json(tool);
    }
    canon.digest()
}

fn request_digest(object: &Object<'_>, history: Digest) -> Digest {
    let counts = |key: &str| key != "messages" && !DELIVERY.contains(&key);
    let mut fields: Vec<_> = object.fields.iter().filter(|field| counts(&field.key)).collect();
    fields.sort_by(|a, b| a.key.cmp(&b.key));
    let mut canon = Canon::of("request");
    canon.part(history);
    for field in fields {
        canon.word(&field.key);
        canon.json(field.value);
    }
    canon.digest()
}
