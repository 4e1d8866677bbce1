//! A turn that nobody can vouch for, without what its provider would refuse.

use std::borrow::Cow;

use super::{content, reasoning};
use crate::dialect::raw::Object;

/// A turn without signed thinking, and without the messages that had nothing else.
pub fn turn(said: &[&str]) -> Vec<String> {
    said.iter().filter_map(|text| message(text)).collect()
}

fn message(text: &str) -> Option<String> {
    match reasoning::unsigned(text) {
        Cow::Borrowed(text) => Some(text.to_owned()),
        Cow::Owned(text) => {
            let message = Object::within(&text).unwrap_or_default();
            let stays = content::says_something(&message) || !message.array("tool_calls").is_empty();
            stays.then_some(text)
        }
    }
}
