//! Texts that several rounds add to.

use crate::dialect::raw::{self, Object, Patch};

/// The texts of a message that several rounds add to: what it says, and what the model thought, under the
/// names that providers use for it. The content comes first.
pub const TEXTS: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];

/// What stands between the texts of two rounds, escaped.
pub const SEPARATOR: &str = r"\n\n";

/// Puts a separator before the first text of a later round, in a stream.
#[derive(Debug, Default)]
pub struct Joints([Joint; TEXTS.len()]);

#[derive(Debug, Default)]
struct Joint {
    /// Text has gone out.
    sent: bool,
    /// Text has gone out in an earlier round, and none in this one.
    due: bool,
}

impl Joints {
    /// Another round begins.
    pub fn next_round(&mut self) {
        self.0.iter_mut().for_each(|joint| joint.due = joint.sent);
    }

    /// A text of the gateway's own, escaped, with what separates it from the content before it.
    pub fn separated(&mut self, text: &str) -> String {
        let [content, ..] = &mut self.0;
        let separator = if content.sent { SEPARATOR } else { "" };
        *content = Joint { sent: true, due: false };
        format!("{separator}{text}")
    }

    /// Takes note of a delta that goes to the client, and separates its texts from those of earlier rounds.
    pub fn join(&mut self, text: &str, delta: &Object<'_>, patch: &mut Patch) {
        for (key, joint) in TEXTS.iter().zip(&mut self.0) {
            let piece =
                delta.get(key).filter(|piece| raw::inner(piece).is_some_and(|piece| !piece.is_empty()));
            let Some(piece) = piece else { continue };
            if joint.due {
                patch.replace(text, &piece[..1], format!("\"{SEPARATOR}"));
            }
            *joint = Joint { sent: true, due: false };
        }
    }
}

/// The texts of all rounds' whole messages, still escaped.
#[derive(Debug, Default)]
pub struct Joined([String; TEXTS.len()]);

impl Joined {
    /// Takes a round's message.
    pub fn add(&mut self, message: &Object<'_>) {
        for (key, joined) in TEXTS.iter().zip(&mut self.0) {
            if let Some(text) = message.get(key).and_then(raw::inner) {
                push(joined, text);
            }
        }
    }

    /// Takes a text of the gateway's own, escaped.
    pub fn add_content(&mut self, text: &str) {
        let [content, ..] = &mut self.0;
        push(content, text);
    }

    /// Puts the texts into the last round's message.
    pub fn set(&self, text: &str, message: &Object<'_>, patch: &mut Patch) {
        for (key, joined) in TEXTS.iter().zip(&self.0).filter(|(_, joined)| !joined.is_empty()) {
            patch.set(text, message, key, &format!("\"{joined}\""));
        }
    }
}

fn push(joined: &mut String, text: &str) {
    if !joined.is_empty() && !text.is_empty() {
        joined.push_str(SEPARATOR);
    }
    joined.push_str(text);
}
