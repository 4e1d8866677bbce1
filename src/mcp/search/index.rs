//! BM25F: BM25 over the fields of a tool, each with its weight and its own measure of length.
//!
//! Own, not the `bm25` crate: that one knows one text per document, so that a field's weight could only be had by
//! repeating its words, which makes the document longer than it is; and where documents score the same, its order
//! changes from one search to the next.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::synonyms;
use super::words::words;
use crate::domain::ToolDefinition;

/// How soon more of the same word counts no more.
const SATURATION: f32 = 1.2;

/// What is read of a question: a longer one is a document, not a question.
const MAX_QUESTION: usize = 1_000;
/// How many of its words are searched.
const MAX_WORDS: usize = 48;

/// How deep into a schema parameters are looked for.
const MAX_DEPTH: usize = 4;
/// How many words of one tool's parameters are indexed.
const MAX_PARAMETER_WORDS: usize = 400;

/// The fields of a tool, in the order of [`WEIGHTS`].
const FIELDS: usize = 4;

/// How much a word counts in each field, and how much the field's length tempers that.
const WEIGHTS: [(f32, f32); FIELDS] = [
    (4.0, 0.4), // the name
    (2.0, 0.0), // the server
    (1.5, 0.6), // the description
    (0.4, 0.7), // the parameters
];

/// All tools of a catalogue, by the words that tell what they do.
#[derive(Debug, Default)]
pub struct Index {
    /// For each word, the tools that have it, each with what the word adds to its score.
    postings: HashMap<String, Vec<(u32, f32)>>,
    names: Vec<String>,
}

/// The words of one tool, by field.
type Fields = [Vec<String>; FIELDS];

impl Index {
    /// Reads these tools, of which [`search`](Self::search) then tells by their places.
    pub fn new<'a>(tools: impl IntoIterator<Item = &'a ToolDefinition>) -> Self {
        let (mut documents, mut names) = (Vec::<Fields>::new(), Vec::new());
        for tool in tools {
            documents.push(fields(tool));
            names.push(tool.name.clone());
        }
        let mean = mean_lengths(&documents);
        let mut postings: HashMap<String, Vec<(u32, f32)>> = HashMap::new();
        for (place, document) in (0..).zip(&documents) {
            for (word, frequency) in frequencies(document, mean) {
                postings.entry(word.to_owned()).or_default().push((place, frequency));
            }
        }
        for tools in postings.values_mut() {
            let rarity = rarity(tools.len(), documents.len());
            for (_, score) in tools {
                *score = rarity * *score * (SATURATION + 1.0) / (*score + SATURATION);
            }
        }
        Self { postings, names }
    }

    /// The places of the tools that fit, the best first; the same for the same question, always.
    pub fn search(&self, question: &str) -> Vec<usize> {
        let question = cut(question, MAX_QUESTION);
        let mut scores: HashMap<u32, f32> = HashMap::new();
        for (word, weight) in asked(question) {
            for (place, score) in self.postings.get(&word).into_iter().flatten() {
                *scores.entry(*place).or_default() += weight * score;
            }
        }
        let mut found: Vec<(usize, f32)> =
            scores.into_iter().map(|(place, score)| (place as usize, score)).collect();
        let is_named = |place: usize| self.names[place] == question.trim();
        found.sort_by(|(a, score_a), (b, score_b)| {
            is_named(*b).cmp(&is_named(*a)).then(score_b.total_cmp(score_a)).then(a.cmp(b))
        });
        found.into_iter().map(|(place, _)| place).collect()
    }
}

/// What is looked for: the question's own words, and at less weight others that mean the same.
fn asked(question: &str) -> BTreeMap<String, f32> {
    let mut asked: BTreeMap<String, f32> = BTreeMap::new();
    let own = words(question);
    for word in own.iter().take(MAX_WORDS) {
        asked.insert(word.clone(), 1.0);
    }
    for (word, weight) in synonyms::of(&own) {
        asked.entry(word).or_insert(weight);
    }
    asked
}

fn fields(tool: &ToolDefinition) -> Fields {
    let mut parameters = Vec::new();
    if let Ok(schema) = serde_json::from_str(&tool.input_schema) {
        add_parameters(&schema, MAX_DEPTH, &mut parameters);
    }
    [words(&tool.source.tool), words(&tool.source.server), words(&tool.description), parameters]
}

/// The names of a schema's properties, what is said of them, and the words that they may be.
fn add_parameters(schema: &Value, depth: usize, into: &mut Vec<String>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if into.len() > MAX_PARAMETER_WORDS || depth == 0 {
            return;
        }
        into.extend(words(name));
        if let Some(description) = property.get("description").and_then(Value::as_str) {
            into.extend(words(description));
        }
        let values = property.get("enum").and_then(Value::as_array);
        into.extend(values.into_iter().flatten().filter_map(Value::as_str).flat_map(words));
        add_parameters(property, depth - 1, into);
        if let Some(items) = property.get("items") {
            add_parameters(items, depth - 1, into);
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a catalogue has thousands of words, not millions of millions"
)]
fn mean_lengths(documents: &[Fields]) -> [f32; FIELDS] {
    let count = documents.len().max(1) as f32;
    std::array::from_fn(|field| {
        let total: usize = documents.iter().map(|document| document[field].len()).sum();
        (total as f32 / count).max(1.0)
    })
}

/// How often each word stands in a tool, by the weights and lengths of the fields.
#[expect(clippy::cast_precision_loss, reason = "a field has hundreds of words")]
fn frequencies(document: &Fields, mean: [f32; FIELDS]) -> BTreeMap<&str, f32> {
    let mut frequencies: BTreeMap<&str, f32> = BTreeMap::new();
    for ((words, mean), (weight, temper)) in document.iter().zip(mean).zip(WEIGHTS) {
        let length = 1.0 - temper + temper * words.len() as f32 / mean;
        for word in words {
            *frequencies.entry(word).or_default() += weight / length;
        }
    }
    frequencies
}

/// How much a word says that so many of all tools have; never nothing.
#[expect(clippy::cast_precision_loss, reason = "there are thousands of tools")]
fn rarity(having: usize, all: usize) -> f32 {
    let (having, all) = (having as f32, all as f32);
    (1.0 + (all - having + 0.5) / (having + 0.5)).ln()
}

fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Digest, Repeat, ToolRef};

    fn tool(source: &str, description: &str, schema: &str) -> ToolDefinition {
        let (server, tool) = source.split_once('/').unwrap();
        ToolDefinition {
            name: format!("{server}__{tool}"),
            source: ToolRef { server: server.into(), tool: tool.into() },
            server_url: String::new(),
            description: description.into(),
            input_schema: schema.into(),
            read_only: false,
            repeat: Repeat::default(),
            timeout: Duration::ZERO,
            digest: Digest::default(),
        }
    }

    fn found<'a>(tools: &'a [ToolDefinition], question: &str) -> Vec<&'a str> {
        Index::new(tools).search(question).into_iter().map(|place| tools[place].name.as_str()).collect()
    }

    #[test]
    fn a_name_counts_more_than_a_description_and_that_more_than_parameters() {
        let tools = [
            tool("a/one", "Works.", r#"{"properties":{"q":{"description":"an invoice"}}}"#),
            tool("a/two", "Works with an invoice.", "{}"),
            tool("a/invoice", "Works.", "{}"),
            tool("a/other", "Works.", "{}"),
        ];
        assert_eq!(found(&tools, "invoices"), ["a__invoice", "a__two", "a__one"]);
        assert!(found(&tools, "weather").is_empty());
        assert!(found(&[], "weather").is_empty());
    }

    #[test]
    fn what_scores_the_same_comes_in_the_catalogues_order_always() {
        let tools: Vec<_> = (0..50).map(|n| tool(&format!("s{n:02}/get"), "Reads.", "{}")).collect();
        let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
        for _ in 0..5 {
            assert_eq!(found(&tools, "get"), names);
        }
    }

    #[test]
    fn a_tool_that_is_named_comes_first() {
        let tools = [tool("a/get_get", "a__get a__get", "{}"), tool("a/get", "Reads.", "{}")];
        assert_eq!(found(&tools, " a__get ")[0], "a__get");
    }

    #[test]
    fn parameters_are_found_at_any_depth_that_people_use() {
        let schema = r#"{"properties":{"filter":{"properties":{"assignee":{}}},
            "rows":{"items":{"properties":{"colour":{"enum":["crimson"]}}}}}}"#;
        let tools = [tool("a/x", "", schema), tool("a/y", "", "no json")];
        for question in ["assignee", "colours", "crimson"] {
            assert_eq!(found(&tools, question), ["a__x"]);
        }
    }

    #[test]
    fn a_long_question_costs_no_more_than_a_short_one() {
        let tools = [tool("a/get", "Reads.", "{}")];
        let question = format!("get {}é", "word ".repeat(100_000));
        assert_eq!(found(&tools, &question), ["a__get"]);
        assert!(found(&tools, &format!("{} get", "filler ".repeat(300))).is_empty());
    }
}
