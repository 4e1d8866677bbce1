//! A round that is over, as a provider would answer it again.

use bytes::{Bytes, BytesMut};

use super::message;
use crate::dialect::raw::{self, Object, Patch};
use crate::dialect::{Delivery, Round, sse};

/// The fields of an answer, or of a chunk of one, around what the model said; `usage` in the place of its own.
pub fn envelope(fields: &Object<'_>, usage: Option<&str>) -> String {
    let mut around = Fields::default();
    for field in fields.fields.iter().filter(|field| !matches!(&*field.key, "object" | "choices" | "usage")) {
        around.add(field.raw_key, field.value);
    }
    if let Some(usage) = usage {
        around.add("\"usage\"", usage);
    }
    around.object()
}

/// A round that is over, as a provider would answer it again.
pub fn replay(round: &Round, delivery: Delivery) -> Bytes {
    let envelope = Object::parse(&round.envelope).unwrap_or_default();
    let answer = |kind: &str, choices: &str, usage: Option<&str>| {
        let mut answer = Fields::default();
        for field in envelope.fields.iter().filter(|field| field.key != "usage") {
            answer.add(field.raw_key, field.value);
        }
        answer.add("\"object\"", &raw::quote(kind));
        answer.add("\"choices\"", choices);
        if let Some(usage) = usage {
            answer.add("\"usage\"", usage);
        }
        answer.object()
    };
    let choice = |key: &str, said: &str, finish: Option<&str>| {
        let finish = finish.map_or_else(|| "null".to_owned(), raw::quote);
        format!(r#"[{{"index":0,"{key}":{said},"logprobs":null,"finish_reason":{finish}}}]"#)
    };
    let (usage, finish) = (envelope.get("usage"), round.stop_reason.as_deref());
    if delivery == Delivery::Whole {
        return answer("chat.completion", &choice("message", &round.items.0, finish), usage).into();
    }
    let chunk = |choices: &str, usage: Option<&str>| answer("chat.completion.chunk", choices, usage);
    let mut out = BytesMut::new();
    sse::write_data(&chunk(&choice("delta", &delta(&round.items.0), None), None), &mut out);
    sse::write_data(&chunk(&choice("delta", "{}", finish.or(Some("stop"))), None), &mut out);
    if usage.is_some() {
        sse::write_data(&chunk("[]", usage), &mut out);
    }
    sse::write_data("[DONE]", &mut out);
    out.freeze()
}

/// A message as a delta; calls that cannot be told apart otherwise get their indices.
fn delta(message: &str) -> String {
    let object = Object::within(message).unwrap_or_default();
    let mut patch = Patch::default();
    if !message::is_whole(&object) {
        for (index, call) in object.array("tool_calls").into_iter().enumerate() {
            if let Some(fields) = Object::within(call) {
                patch.set(message, &fields, "index", &index.to_string());
            }
        }
    }
    patch.apply(message)
}

/// An object under way.
#[derive(Default)]
struct Fields(String);

impl Fields {
    fn add(&mut self, raw_key: &str, value: &str) {
        self.0.extend([if self.0.is_empty() { "{" } else { "," }, raw_key, ":", value]);
    }

    fn object(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}
