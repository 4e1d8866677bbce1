//! Thinking that its provider signs.

use std::borrow::Cow;

use crate::dialect::raw::{Object, Patch};

/// Lists of what the model thought, under the names that routers between the APIs use.
const LISTS: [&str; 2] = ["reasoning_details", "thinking_blocks"];

/// Whether a message has thinking with a signature or a seal, which its provider takes back in its place alone.
///
/// Plain `reasoning_content` binds nothing, and some providers demand it back while their tools run.
pub fn is_signed(message: &Object<'_>) -> bool {
    LISTS.iter().any(|key| is_signed_list(message, key))
}

/// A message without its signed thinking.
pub fn unsigned(message: &str) -> Cow<'_, str> {
    let Some(object) = Object::within(message) else { return Cow::Borrowed(message) };
    let signed: Vec<&str> = LISTS.into_iter().filter(|key| is_signed_list(&object, key)).collect();
    if signed.is_empty() {
        return Cow::Borrowed(message);
    }
    let mut patch = Patch::default();
    patch.remove(message, &object, &signed);
    Cow::Owned(patch.apply(message))
}

fn is_signed_list(message: &Object<'_>, key: &str) -> bool {
    let is_signed = |thought: &str| {
        let proof = |thought: Object<'_>| {
            ["signature", "data"].iter().any(|key| thought.string(key).is_some_and(|proof| !proof.is_empty()))
        };
        Object::within(thought).is_some_and(proof)
    };
    message.array(key).into_iter().any(is_signed)
}
