//! A round that is over, as a provider would answer it again.

use bytes::{Bytes, BytesMut};

use super::events::write_block;
use super::message::Part;
use super::usage::RoundUsage;
use crate::dialect::raw::{self, Object, Patch};
use crate::dialect::{Delivery, Round, sse};

/// A round as the provider would answer it again.
pub fn replay(round: &Round, delivery: Delivery) -> Bytes {
    match delivery {
        Delivery::Whole => whole(round),
        Delivery::Streamed => streamed(round),
    }
}

/// What an answer says around its content: the message without its blocks, with the usage of it all.
pub fn envelope(message: &str, usage: Option<&RoundUsage>) -> String {
    let Ok(fields) = Object::parse(message) else { return String::new() };
    let mut patch = Patch::default();
    if let Some(usage) = usage {
        patch.set(message, &fields, "usage", &usage.to_json());
    }
    patch.set(message, &fields, "content", "[]");
    patch.apply(message)
}

/// A message with what a `message_delta` says of it; the usage is left to those who sum it up.
pub fn grown(message: &str, event: &str) -> String {
    let (Ok(fields), Ok(event)) = (Object::parse(message), Object::parse(event)) else {
        return message.to_owned();
    };
    let delta = event.object("delta").unwrap_or_default();
    let around = event.fields.iter().filter(|field| !matches!(&*field.key, "type" | "delta" | "usage"));
    let mut patch = Patch::default();
    for field in delta.fields.iter().chain(around) {
        patch.set(message, &fields, &field.key, field.value);
    }
    patch.apply(message)
}

fn whole(round: &Round) -> Bytes {
    let Ok(fields) = Object::parse(&round.envelope) else { return Bytes::new() };
    let mut patch = Patch::default();
    patch.set(&round.envelope, &fields, "content", &round.items.0);
    patch.apply(&round.envelope).into()
}

fn streamed(round: &Round) -> Bytes {
    let Ok(envelope) = Object::parse(&round.envelope) else { return Bytes::new() };
    let mut out = BytesMut::new();
    let mut message = Patch::default();
    for key in ["stop_reason", "stop_sequence"] {
        message.set(&round.envelope, &envelope, key, "null");
    }
    let message = message.apply(&round.envelope);
    sse::write("message_start", &format!(r#"{{"type":"message_start","message":{message}}}"#), &mut out);
    let blocks = raw::elements(&round.items.0).unwrap_or_default();
    for (index, block) in (0..).zip(blocks) {
        let id = Part::read(block).string("id").into_owned();
        let call = round.calls.iter().find(|call| call.call.id == id);
        write_block(index, block, call.map(|call| call.call.arguments.as_str()), &mut out);
    }
    let ends =
        envelope.fields.iter().filter(|field| field.key.starts_with("stop_") || field.key == "container");
    let delta: Vec<String> = ends.map(|field| format!("{}:{}", field.raw_key, field.value)).collect();
    let usage = envelope.get("usage").unwrap_or("{}");
    let delta = format!(r#"{{"type":"message_delta","delta":{{{}}},"usage":{usage}}}"#, delta.join(","));
    sse::write("message_delta", &delta, &mut out);
    sse::write("message_stop", r#"{"type":"message_stop"}"#, &mut out);
    out.freeze()
}
