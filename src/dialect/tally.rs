//! Sums over usage objects as providers write them.

use serde_json::{Map, Value};

use crate::domain::Usage;

/// Adds number to number, through nested objects; what is no number is taken from the newer.
pub fn add(sum: &mut Map<String, Value>, more: Map<String, Value>) {
    for (key, value) in more {
        match (sum.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(more)) => add(inner, more),
            (Some(old @ Value::Number(_)), Value::Number(new)) => {
                *old = match (old.as_u64(), new.as_u64()) {
                    (Some(old), Some(new)) => Value::from(old.saturating_add(new)),
                    _ => Value::from(old.as_f64().unwrap_or(0.0) + new.as_f64().unwrap_or(0.0)),
                };
            }
            (Some(_), Value::Null) => {}
            (_, value) => {
                sum.insert(key, value);
            }
        }
    }
}

/// The classes of a usage object of `OpenAI`'s, whose input includes what was read from and written to caches.
///
/// `input` and `output` are the names that the API gives to these figures: `prompt` and `completion` in chat,
/// `input` and `output` in responses.
pub fn openai_classes(fields: &Map<String, Value>, input: &str, output: &str) -> Usage {
    let number = |key: String| fields.get(&key).and_then(Value::as_u64).unwrap_or(0);
    let detail = |side: &str, key: &str| {
        fields
            .get(&format!("{side}_tokens_details"))
            .and_then(|details| details.get(key))
            .cloned()
            .unwrap_or_default()
    };
    let cache_read = detail(input, "cached_tokens").as_u64().unwrap_or(0);
    let written = detail(input, "cache_write_tokens").as_u64().unwrap_or(0);
    let long = detail(input, "cache_write_tokens_details")
        .get("ttl_12h_tokens")
        .and_then(Value::as_u64)
        .unwrap_or(0);
    Usage {
        input: number(format!("{input}_tokens")).saturating_sub(cache_read).saturating_sub(written),
        output: number(format!("{output}_tokens")),
        cache_read,
        cache_write_short: written.saturating_sub(long),
        cache_write_long: long,
        reasoning: detail(output, "reasoning_tokens").as_u64().unwrap_or(0),
    }
}

/// The usage of several rounds in `OpenAI`'s form, as the client is told: sums, or the last round's input.
pub fn openai_total(rounds: &[Map<String, Value>], input: &str, output: &str, last_input: bool) -> String {
    let mut sum = Map::new();
    for round in rounds {
        add(&mut sum, round.clone());
    }
    if last_input && let Some(last) = rounds.last() {
        for key in [format!("{input}_tokens"), format!("{input}_tokens_details")] {
            if let Some(value) = last.get(&key) {
                sum.insert(key, value.clone());
            }
        }
        let number = |key: &str| sum.get(&format!("{key}_tokens")).and_then(Value::as_u64).unwrap_or(0);
        let total = number(input).saturating_add(number(output));
        sum.insert("total_tokens".to_owned(), Value::from(total));
    }
    Value::Object(sum).to_string()
}
