//! How well `find_tools` finds: 200 questions as agents ask them, over the tools of 20 real servers, one of which has
//! 1,083. `recall/queries.tsv` has a question a line, and the tools that do what it asks; `recall/README.md` says where
//! the definitions are from.
//!
//! `cargo test --test it recall -- --nocapture` prints the figures.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, json};
use toolgate::domain::{Repeat, ToolDefinition, ToolRef};
use toolgate::mcp::search::Index;

const QUERIES: &str = include_str!("recall/queries.tsv");
const TOOLS: &str = include_str!("recall/tools.json");

/// Name, description, names of parameters.
type Listed = (String, String, Vec<String>);

fn definitions() -> Vec<ToolDefinition> {
    let servers: BTreeMap<String, Vec<Listed>> = serde_json::from_str(TOOLS).unwrap();
    let of_server = |(server, tools): (String, Vec<Listed>)| {
        tools.into_iter().map(move |(tool, description, parameters)| {
            let properties: Map<_, _> =
                parameters.into_iter().map(|parameter| (parameter, json!({"type": "string"}))).collect();
            ToolDefinition {
                name: format!("{server}__{tool}"),
                source: ToolRef { server: server.clone(), tool },
                server_url: String::new(),
                description,
                input_schema: json!({"type": "object", "properties": properties}).to_string(),
                read_only: false,
                repeat: Repeat::default(),
                timeout: Duration::from_secs(1),
            }
        })
    };
    servers.into_iter().flat_map(of_server).collect()
}

/// The place of the first right tool among those found, from 0; `None` where none is found.
fn rank(index: &Index, tools: &[ToolDefinition], question: &str, right: &[&str]) -> Option<usize> {
    index.search(question).into_iter().position(|place| right.contains(&&*tools[place].source.to_string()))
}

#[test]
fn most_questions_are_answered_by_the_first_tools_found() {
    let tools = definitions();
    assert_eq!(tools.len(), 1319);
    let index = Index::new(&tools);
    let questions: Vec<(&str, Vec<&str>)> = QUERIES
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(question, right)| (question, right.split(' ').collect()))
        .collect();
    assert_eq!(questions.len(), 200);
    let known = |tool: &&str| tools.iter().any(|known| known.source.to_string() == *tool);
    assert!(questions.iter().flat_map(|(_, right)| right).all(|tool| known(&tool)));

    let ranks: Vec<Option<usize>> =
        questions.iter().map(|(question, right)| rank(&index, &tools, question, right)).collect();
    for ((question, right), rank) in questions.iter().zip(&ranks) {
        if rank.is_none_or(|rank| rank >= 5) {
            println!("{rank:?}: {question} ({})", right[0]);
        }
    }
    let recall = |at: usize| ranks.iter().flatten().filter(|rank| **rank < at).count() * 100 / ranks.len();
    println!("recall@1 {} %, @5 {} %, @10 {} %, of {} tools", recall(1), recall(5), recall(10), tools.len());
    assert!(recall(5) >= 70, "recall@5 is {} %", recall(5));
}
