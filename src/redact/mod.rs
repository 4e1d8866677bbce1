//! Takes out of a text what must not be kept of it: addresses, numbers of cards, accounts and telephones, passwords
//! and keys. What is taken out leaves a word in brackets, such as `[email]` or `[key]`.
//!
//! It goes by what a thing looks like (`rules`) and whether it can be one (`checks`), so it finds no names and no
//! addresses of houses, and it lets UUIDs, digests and dates be. Time and memory grow with the text alone. JSON stays
//! JSON (`json`): there, whole strings and numbers are looked at, whatever they are written with.

mod checks;
mod json;
mod names;
mod rules;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

/// How many times JSON may stand as a string in JSON; what lies deeper is read as plain text.
const DEPTH: u8 = 6;

/// The text without what must not be kept; borrowed where there is nothing to take out. A second time changes nothing.
pub fn redact(text: &str) -> Cow<'_, str> {
    redact_to(text, DEPTH)
}

fn redact_to(text: &str, depth: u8) -> Cow<'_, str> {
    if depth > 0 && json::is_json(text) { json::redact(text, depth) } else { rules::redact(text) }
}
