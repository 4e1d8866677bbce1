//! A round that is over, as a provider would answer it again.

use bytes::{Bytes, BytesMut};

use super::events;
use super::response::with_status;
use crate::dialect::raw::{Object, Patch};
use crate::dialect::{Delivery, Round, sse};

/// The answer of a round that is over, as a provider would give it again.
pub fn replay(round: &Round, delivery: Delivery) -> Bytes {
    let kept = Object::parse(&round.items.0).unwrap_or_default();
    let last = with_output(&round.envelope, kept.get("output").unwrap_or("[]"));
    if delivery == Delivery::Whole {
        return last.into();
    }
    let first =
        with_status(&with_output(&round.envelope, "[]"), "in_progress", &[("usage", "null".to_owned())]);
    let status = Object::parse(&round.envelope).ok().and_then(|response| response.string("status"));
    let end = match status.as_deref() {
        Some("incomplete") => "response.incomplete",
        Some("failed") => "response.failed",
        _ => "response.completed",
    };
    let response = |response: &str| format!(r#","response":{response}"#);
    let items = kept.array("output").into_iter().zip(0..);
    let events = ["response.created", "response.in_progress"]
        .into_iter()
        .map(|kind| (kind, response(&first)))
        .chain(items.flat_map(|(item, index)| events::of_item(item, index)))
        .chain([(end, response(&last))]);
    let mut out = BytesMut::new();
    for (sequence, (kind, fields)) in events.enumerate() {
        let data = format!(r#"{{"type":"{kind}","sequence_number":{sequence}{fields}}}"#);
        sse::write(kind, &data, &mut out);
    }
    out.freeze()
}

fn with_output(envelope: &str, output: &str) -> String {
    let Ok(object) = Object::parse(envelope) else { return envelope.to_owned() };
    let mut patch = Patch::default();
    patch.set(envelope, &object, "output", output);
    patch.apply(envelope)
}
