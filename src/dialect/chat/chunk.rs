//! One chunk of a streamed answer.

use std::borrow::Cow;

use crate::dialect::raw::Object;
use crate::dialect::{Broken, Reported};

/// A chunk of a streamed answer, read once.
pub struct Chunk<'a> {
    /// The whole text, of which all below are slices.
    pub text: &'a str,
    pub fields: Object<'a>,
    /// The first choice. Where several were asked for, which no loop goes with, each chunk has one of them.
    pub choice: Option<Object<'a>>,
    /// What the choice adds.
    pub delta: Object<'a>,
}

impl<'a> Chunk<'a> {
    /// Reads a chunk; an error of the provider's, which has no choices, is none.
    pub fn read(text: &'a str) -> Result<Self, Broken> {
        let fields = Object::parse(text)
            .map_err(|error| Broken::unreadable("a chunk of the provider's stream", &error))?;
        if let Some(error) =
            fields.get("error").filter(|error| *error != "null" && fields.get("choices").is_none())
        {
            return Err(Broken::Reported(Reported::of(Some(error))));
        }
        let choice = fields.array("choices").first().and_then(|choice| Object::within(choice));
        let delta = choice.as_ref().and_then(|choice| choice.object("delta")).unwrap_or_default();
        Ok(Self { text, fields, choice, delta })
    }

    /// Why the model stopped, in the chunk that says so; some providers write "" in all others.
    pub fn finish(&self) -> Option<Cow<'a, str>> {
        self.choice.as_ref()?.string("finish_reason").filter(|finish| !finish.is_empty())
    }

    /// The usage that the chunk carries.
    pub fn usage(&self) -> Option<&'a str> {
        self.fields.get("usage").filter(|usage| *usage != "null")
    }

    /// Whether the delta has anything to say but these keys.
    pub fn says_more_than(&self, keys: &[&str]) -> bool {
        self.delta
            .fields
            .iter()
            .any(|field| !keys.contains(&&*field.key) && !matches!(field.value, "null" | "\"\"" | "[]"))
    }
}
