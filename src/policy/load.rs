//! From policy files to rules: every pattern is compiled, every test is run.

use std::collections::HashMap;

use regex::RegexSet;

use super::rules::{self, Rule, Rules};
use super::written::{Action, Effect, WrittenPolicy, WrittenRule, WrittenTest};
use super::{PolicyError, TestOutcome};
use crate::config::problem::{self, Problem};
use crate::config::yaml::{At, Place, Source};
use crate::config::{PolicySource, anchored, glob_to_regex};
use crate::domain::{Caller, ToolRef, ToolSettings};

/// A policy file that was read.
struct File {
    source: Source,
    written: WrittenPolicy,
}

/// Compiles the rules of all files and answers the tests of all files with them.
pub(super) fn load(sources: &[PolicySource]) -> Result<(Rules, Vec<TestOutcome>), PolicyError> {
    let mut problems = vec![];
    let files: Vec<File> = sources.iter().filter_map(|source| parse(source, &mut problems)).collect();
    refuse_duplicates(&files, &mut problems);
    let mut compiled = vec![];
    for file in &files {
        for rule in &file.written.rules {
            compiled.extend(compile(rule, &file.source, &mut problems));
        }
    }
    fail_with(&mut problems)?;
    let rules = Rules::new(compiled).map_err(|error| {
        PolicyError(format!("the tool patterns of all rules together are too large: {error}"))
    })?;
    let mut outcomes = vec![];
    for file in &files {
        for test in &file.written.tests {
            outcomes.extend(run(test, &rules, &file.source, &mut problems));
        }
    }
    fail_with(&mut problems)?;
    Ok((rules, outcomes))
}

fn fail_with(problems: &mut [Problem]) -> Result<(), PolicyError> {
    if problems.is_empty() {
        return Ok(());
    }
    problem::sort(problems);
    let mut text = String::new();
    problem::write_all(&mut text, problems)
        .map_err(|_| PolicyError("the problems cannot be written".into()))?;
    Err(PolicyError(text))
}

fn parse(source: &PolicySource, problems: &mut Vec<Problem>) -> Option<File> {
    let source = Source::new(&source.path, &source.text);
    match source.parse() {
        Ok(written) => Some(File { source, written }),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

fn refuse_duplicates(files: &[File], problems: &mut Vec<Problem>) {
    let mut first: HashMap<&str, (&Source, Place)> = HashMap::new();
    for file in files {
        for At { value: name, place } in file.written.rules.iter().map(|rule| &rule.name) {
            if let Some((source, at)) = first.get(name.as_str()) {
                let what = format!("a second rule is called `{name}`");
                let problem = Problem::new(&file.source, Some(*place), what);
                problems.push(problem.note("the first one is at", source, *at));
            } else {
                first.insert(name, (&file.source, *place));
            }
        }
    }
}

/// The rule, and its tool patterns as regular expressions.
fn compile(
    written: &WrittenRule,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Option<(Rule, Vec<String>)> {
    let before = problems.len();
    if written.name.value.trim().is_empty() {
        problems.push(Problem::new(
            source,
            Some(written.name.place),
            "a rule needs a name, which the records show",
        ));
    }
    let [users, groups, keys] = [&written.users, &written.groups, &written.keys]
        .map(|list| list.as_ref().map(|list| names(list, source, problems)));
    let tools = patterns(&written.tools, "tool", tool_pattern, source, problems);
    let actions = match &written.actions {
        Some(list) if list.value.is_empty() => {
            problems.push(empty_list(list.place, "action", source).help(
                "leave the field out to mean `see_tool` and `call_tool`; a rule that denies then means all",
            ));
            vec![]
        }
        Some(list) => list.value.clone(),
        // Who may do nothing may not administer either; who may use is not said to administer, or to read records.
        None if written.effect == Effect::Deny => Action::ALL.to_vec(),
        None => Action::USE.to_vec(),
    };
    let servers: Vec<String> =
        written.tools.value.iter().filter_map(|glob| server_pattern(&glob.value)).collect();
    // Each compiled as part of a whole pattern, or is told as such.
    let servers = rules::set(&servers).unwrap_or_default();
    let rule = Rule {
        name: written.name.value.clone(),
        effect: written.effect,
        users: users.flatten(),
        groups: groups.flatten(),
        keys: keys.flatten(),
        actions,
        servers,
    };
    (problems.len() == before).then_some((rule, tools))
}

/// A list of globs over users, groups or keys; `None` only beside a problem.
fn names(list: &At<Vec<At<String>>>, source: &Source, problems: &mut Vec<Problem>) -> Option<RegexSet> {
    let regexes = patterns(list, "caller", |glob| glob_to_regex(glob, "(?s:.)"), source, problems);
    match rules::set(&regexes) {
        Ok(set) => Some(set),
        Err(error) => {
            problems.push(Problem::new(
                source,
                Some(list.place),
                format!("these patterns do not compile: {error}"),
            ));
            None
        }
    }
}

fn patterns(
    list: &At<Vec<At<String>>>,
    whom: &str,
    translate: impl Fn(&str) -> Result<String, String>,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Vec<String> {
    if list.value.is_empty() {
        problems.push(empty_list(list.place, whom, source));
    }
    let compiles = |regex: String| match regex::Regex::new(&regex) {
        Ok(_) => Ok(regex),
        Err(_) => Err("this is not a pattern: is a range the wrong way round?".to_owned()),
    };
    let mut regexes = vec![];
    for glob in &list.value {
        match translate(&glob.value).map(|regex| anchored(&regex)).and_then(compiles) {
            Ok(regex) => regexes.push(regex),
            Err(why) => problems.push(Problem::new(source, Some(glob.place), why)),
        }
    }
    regexes
}

fn empty_list(place: Place, whom: &str, source: &Source) -> Problem {
    Problem::new(source, Some(place), format!("an empty list matches no {whom}, so the rule does nothing"))
        .help("leave the field out, or write `[\"*\"]`, to match any")
}

/// `server/tool`: a wildcard in the server's part never reaches over the slash.
fn tool_pattern(glob: &str) -> Result<String, String> {
    if glob == "*" {
        return Ok("(?s:.)*".into());
    }
    let Some((server, tool)) = glob.split_once('/') else {
        return Err(format!(
            "expected `server/tool`: write `{glob}/*` for a whole server, `*/{glob}` for any server"
        ));
    };
    Ok(format!("{}/{}", glob_to_regex(server, "[^/]")?, glob_to_regex(tool, "(?s:.)")?))
}

/// The server's part of a tool pattern.
fn server_pattern(glob: &str) -> Option<String> {
    let server = if glob == "*" { glob } else { glob.split_once('/')?.0 };
    glob_to_regex(server, "[^/]").ok().map(|regex| anchored(&regex))
}

/// Asks the question of a test; a wrong answer is a problem.
fn run(
    test: &At<WrittenTest>,
    rules: &Rules,
    source: &Source,
    problems: &mut Vec<Problem>,
) -> Option<TestOutcome> {
    let WrittenTest { caller, tool, action, expect } = &test.value;
    let Some((server, name)) = tool.value.split_once('/') else {
        problems.push(Problem::new(source, Some(tool.place), "expected `server/tool`"));
        return None;
    };
    let caller = Caller {
        key: caller.key.clone(),
        user: caller.user.clone(),
        groups: caller.groups.clone(),
        settings: ToolSettings::default(),
    };
    let tool_ref = ToolRef { server: server.into(), tool: name.into() };
    let answer = rules.decide(&caller, *action, &tool_ref);
    let why = match &answer {
        Ok(rule) => format!("rule `{rule}` allows it"),
        Err(Some(rule)) => format!("rule `{rule}` denies it"),
        Err(None) => "no rule allows it".into(),
    };
    if answer.is_ok() == (*expect == Effect::Allow) {
        let question = format!("{} {} {}", caller.user, action.name(), tool.value);
        return Some(TestOutcome { path: source.path.clone(), line: test.place.line, question, why });
    }
    let expected = if *expect == Effect::Allow { "allow" } else { "deny" };
    problems.push(Problem::new(
        source,
        Some(tool.place),
        format!("this test expects `{expected}`, but {why}"),
    ));
    None
}
