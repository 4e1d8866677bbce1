//! How well `find_tools` finds: 200 questions as agents ask them, over the tools of 20 real servers, one of which has
//! 1,083. `recall/README.md` says what is in the files.
//!
//! `cargo test --test it recall -- --nocapture` prints the figures. With `RECALL_TOOLS=FILE` it asks whole definitions:
//! a JSON object of servers, each with the tools that it lists.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use serde_json::{Map, Value, json};
use toolgate::domain::{Digest, Repeat, ToolDefinition, ToolRef};
use toolgate::mcp::search::Index;

const QUERIES: &str = include_str!("recall/queries.tsv");
const TOOLS: &str = include_str!("recall/tools.json");

/// The definitions that are asked, and whether they are whole.
fn definitions() -> (Vec<ToolDefinition>, bool) {
    let whole = std::env::var_os("RECALL_TOOLS").map(|path| std::fs::read_to_string(path).unwrap());
    let servers: BTreeMap<String, Vec<Value>> =
        serde_json::from_str(whole.as_deref().unwrap_or(TOOLS)).unwrap();
    let of_server = |(server, tools): (String, Vec<Value>)| {
        tools.into_iter().map(move |tool| definition(&server, &tool)).collect::<Vec<_>>()
    };
    (servers.into_iter().flat_map(of_server).collect(), whole.is_some())
}

/// A tool as its server lists it, or in short: name, description, names of parameters.
fn definition(server: &str, listed: &Value) -> ToolDefinition {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (tool, description, schema) = match listed {
        Value::Array(short) => {
            let parameters = short[2].as_array().unwrap().iter().map(|name| (text(name), json!({})));
            let schema = json!({"properties": parameters.collect::<Map<_, _>>()});
            (text(&short[0]), text(&short[1]), schema)
        }
        tool => (text(&tool["name"]), text(&tool["description"]), tool["inputSchema"].clone()),
    };
    ToolDefinition {
        name: format!("{server}__{tool}"),
        source: ToolRef { server: server.to_owned(), tool },
        server_url: String::new(),
        description,
        input_schema: schema.to_string(),
        read_only: false,
        repeat: Repeat::default(),
        timeout: Duration::from_secs(1),
        digest: Digest::default(),
    }
}

/// The place of the first right tool among those found, from 0; `None` where none is found.
fn rank(index: &Index, tools: &[ToolDefinition], question: &str, right: &[&str]) -> Option<usize> {
    index.search(question).into_iter().position(|place| right.contains(&&*tools[place].source.to_string()))
}

#[test]
fn most_questions_are_answered_by_the_first_tools_found() {
    let (tools, are_whole) = definitions();
    assert_eq!(tools.len(), 1319);
    let index = Index::new(&tools);
    let questions: Vec<(&str, Vec<&str>)> = QUERIES
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(question, right)| (question, right.split(' ').collect()))
        .collect();
    assert_eq!(questions.len(), 200);
    let known: HashSet<String> = tools.iter().map(|tool| tool.source.to_string()).collect();
    assert!(questions.iter().flat_map(|(_, right)| right).all(|tool| known.contains(*tool)));

    let ranks: Vec<Option<usize>> =
        questions.iter().map(|(question, right)| rank(&index, &tools, question, right)).collect();
    for ((question, right), rank) in questions.iter().zip(&ranks) {
        if rank.is_none_or(|rank| rank >= 5) {
            println!("{rank:?}: {question} ({})", right[0]);
        }
    }
    let recall = |at: usize| ranks.iter().flatten().filter(|rank| **rank < at).count() * 100 / ranks.len();
    let what = if are_whole { "whole" } else { "short" };
    println!(
        "recall@1 {} %, @5 {} %, @10 {} % of {} questions over {} {what} definitions",
        recall(1),
        recall(5),
        recall(10),
        ranks.len(),
        tools.len()
    );
    assert!(recall(5) >= 70, "recall@5 is {} %", recall(5));
}
