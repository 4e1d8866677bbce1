//! What is told of the usage of several rounds.

use serde_json::{Map, Value};

use crate::dialect::{UsageStyle, tally};
use crate::domain::Usage;

/// The usage of one round as the provider wrote it: that of `message_start`, with what `message_delta` says
/// later in its place, for those figures are cumulative.
#[derive(Debug, Clone, Default)]
pub struct RoundUsage {
    fields: Map<String, Value>,
}

impl RoundUsage {
    /// Takes over a `usage` object; later figures replace earlier ones.
    pub fn update(&mut self, usage: &str) {
        let Ok(Value::Object(update)) = serde_json::from_str(usage) else { return };
        for (key, value) in update {
            if !value.is_null() || !self.fields.contains_key(&key) {
                self.fields.insert(key, value);
            }
        }
    }

    /// The object as one update would have it.
    pub fn to_json(&self) -> String {
        Value::Object(self.fields.clone()).to_string()
    }

    /// The figures by class.
    pub fn by_class(&self) -> Usage {
        let number = |key: &str| self.fields.get(key).and_then(Value::as_u64).unwrap_or(0);
        let nested = |outer: &str, key: &str| {
            self.fields.get(outer).and_then(|outer| outer.get(key)).and_then(Value::as_u64).unwrap_or(0)
        };
        let long = nested("cache_creation", "ephemeral_1h_input_tokens");
        Usage {
            input: number("input_tokens"),
            output: number("output_tokens"),
            cache_read: number("cache_read_input_tokens"),
            cache_write_short: number("cache_creation_input_tokens").saturating_sub(long),
            cache_write_long: long,
            reasoning: nested("output_tokens_details", "thinking_tokens"),
        }
    }

    /// The entries of `iterations` for this round: the provider's own, or one of type `message`.
    fn iterations(&self) -> Vec<Value> {
        if let Some(Value::Array(own)) = self.fields.get("iterations")
            && !own.is_empty()
        {
            return own.clone();
        }
        let mut entry = Map::from_iter([("type".to_owned(), Value::from("message"))]);
        for key in ["input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"]
        {
            entry.insert(key.to_owned(), self.fields.get(key).cloned().unwrap_or(Value::from(0)));
        }
        if let Some(creation) = self.fields.get("cache_creation") {
            entry.insert("cache_creation".to_owned(), creation.clone());
        }
        vec![Value::Object(entry)]
    }
}

/// What the client is told of several rounds: the last round's object with sums in the place of its numbers,
/// and one iteration a round (Claude Code sizes its context by the last).
pub fn total(rounds: &[RoundUsage], style: UsageStyle) -> String {
    let mut sum = Map::new();
    for round in rounds {
        let mut fields = round.fields.clone();
        if rounds.len() > 1 {
            fields.shift_remove("iterations");
        }
        tally::add(&mut sum, fields);
    }
    if style == UsageStyle::LastInput
        && let Some(last) = rounds.last()
    {
        for (key, value) in &last.fields {
            if key.contains("input") || key == "cache_creation" {
                sum.insert(key.clone(), value.clone());
            }
        }
    }
    if rounds.len() > 1 {
        let iterations = rounds.iter().flat_map(RoundUsage::iterations).collect();
        sum.insert("iterations".to_owned(), Value::Array(iterations));
    }
    Value::Object(sum).to_string()
}
