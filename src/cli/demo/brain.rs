use serde_json::{Map, Value};

/// What the demo model knows of a request, whatever API it came by.
#[derive(Debug, Default)]
pub struct Turn {
    /// What the user wrote last.
    pub prompt: String,
    /// The tools that it may call: name, description, input schema.
    pub tools: Vec<(String, String, Value)>,
    /// What a tool said, if the last message is a tool's result.
    pub result: Option<String>,
}

/// What the demo model says.
#[derive(Debug)]
pub struct Reply {
    /// Its text.
    pub text: String,
    /// The tool that it calls: name and arguments.
    pub call: Option<(String, Value)>,
}

/// Answers without any intelligence: picks the tool that shares most words with the prompt, and reports what
/// it said.
pub fn think(turn: &Turn) -> Reply {
    if let Some(result) = &turn.result {
        let text = format!(
            "The tool answered:\n\n{result}\n\n(I am Toolgate's demo model, not an LLM: I picked that tool by the words of your message.)"
        );
        return Reply { text, call: None };
    }
    let words = words(&turn.prompt);
    let best = turn.tools.iter().map(|tool| (score(tool, &words), tool)).max_by_key(|(score, _)| *score);
    match best {
        Some((score, (name, _, schema))) if score > 0 => {
            Reply { text: "Let me look that up.".to_owned(), call: Some((name.clone(), arguments(schema, &turn.prompt))) }
        }
        _ => Reply {
            text: "I am Toolgate's demo model, not an LLM: I call a tool when your message has words of its name or description. Try \"search my notes for onboarding\".".to_owned(),
            call: None,
        },
    }
}

/// Words in the name count more than words in the description.
fn score((name, description, _): &(String, String, Value), prompt: &[String]) -> usize {
    let (in_name, in_description) = (words(name), words(description));
    prompt
        .iter()
        .map(|word| 3 * usize::from(in_name.contains(word)) + usize::from(in_description.contains(word)))
        .sum()
}

fn words(text: &str) -> Vec<String> {
    const NOISE: &[&str] =
        &["the", "a", "an", "my", "for", "to", "of", "in", "and", "please", "is", "me", "with"];
    text.split(|c: char| !c.is_alphanumeric())
        .map(str::to_lowercase)
        .filter(|word| !word.is_empty() && !NOISE.contains(&word.as_str()))
        .collect()
}

/// Fills the required arguments from the prompt's words and numbers.
fn arguments(schema: &Value, prompt: &str) -> Value {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut numbers = prompt.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|text| !text.is_empty());
    let mut arguments = Map::new();
    for name in required {
        let property = &schema["properties"][name];
        let value = match property["type"].as_str() {
            Some("integer") => {
                Value::from(numbers.next().and_then(|text| text.parse().ok()).unwrap_or(1_i64))
            }
            Some("number") => {
                Value::from(numbers.next().and_then(|text| text.parse().ok()).unwrap_or(1.0_f64))
            }
            Some("boolean") => Value::from(true),
            _ => Value::from(text_argument(property, prompt, &arguments)),
        };
        arguments.insert(name.to_owned(), value);
    }
    Value::Object(arguments)
}

/// One of the allowed words that the prompt has and no other argument took, or what the prompt is about.
fn text_argument(property: &Value, prompt: &str, taken: &Map<String, Value>) -> String {
    let lower = prompt.to_lowercase();
    let allowed: Vec<&str> =
        property["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !allowed.is_empty() {
        let is_free = |word: &&&str| !taken.values().any(|value| value.as_str() == Some(**word));
        let named = allowed.iter().filter(is_free).find(|word| lower.contains(&word.to_lowercase()));
        return (*named.or_else(|| allowed.iter().find(is_free)).unwrap_or(&allowed[0])).to_owned();
    }
    let about = lower.rsplit_once(" for ").map_or(lower.as_str(), |(_, about)| about);
    words(about).join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tool_with_the_prompts_words_is_called() {
        let schema =
            json!({"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]});
        let turn = Turn {
            prompt: "Search my notes for the release checklist, please.".into(),
            tools: vec![
                ("x__convert".into(), "Converts units".into(), json!({})),
                ("x__search_notes".into(), "Finds notes".into(), schema),
            ],
            result: None,
        };
        let call = think(&turn).call.unwrap();
        assert_eq!(call, ("x__search_notes".to_owned(), json!({"query": "release checklist"})));
    }
}
