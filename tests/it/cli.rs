//! The commands, as a person at a terminal meets them.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use toolgate::store::queries;

use crate::client::{Answer, patiently};
use crate::mcp_server::{McpServer, text};
use crate::process::{ConfigFolder, PROGRAM, Process};
use crate::provider::Provider;
use crate::wire::{Api, Mode, say};
use crate::world::{PROVIDER_KEY, World, until};

/// An address where nothing listens.
const NOWHERE: &str = "http://127.0.0.1:1/mcp";

/// Runs a command to its end: exit code, standard output, standard error.
pub async fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder).env("TOOLGATE_TEST_PROVIDER_KEY", PROVIDER_KEY);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

async fn ask(process: &Process, api: Api, key: &str) -> Answer {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("http://{}{}", process.address, api.path())).bearer_auth(key);
    Answer::read(request.json(&api.request(Mode::Whole, "Hi", &[])).send().await.unwrap()).await
}

#[tokio::test]
async fn check_shows_what_a_caller_would_get_also_with_a_server_down() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    folder.server("srv", &McpServer::new().tool("look", text("42 birds")).start().await);
    let (code, out, error) = run(folder.0.path(), &["check"]).await;
    assert_eq!(code, 0, "{out}{error}");
    folder.server("down", NOWHERE);
    let (code, out, _) = run(folder.0.path(), &["check"]).await;
    assert_eq!(code, 1, "{out}");
    for (name, words) in [
        ("anthropic", ["messages", "set"].as_slice()),
        ("openai", &["chat, responses", "set"]),
        ("srv", &["ready", "1 of 1"]),
        ("down", &["backing-off", NOWHERE]),
        ("srv__look", &["srv/look", "every caller"]),
    ] {
        let line = out.lines().find(|line| line.trim_start().starts_with(&format!("{name} ")));
        let line = line.unwrap_or_else(|| panic!("nothing on {name}:\n{out}"));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
    assert!(out.contains("down: "), "why is it down?\n{out}");
    assert!(!out.contains(PROVIDER_KEY));
}

#[tokio::test]
async fn a_bad_configuration_is_64_with_file_line_and_caret() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "inject_tools: true\n");
    folder.write("mcp-servers/bad.yaml", "name: bad\ntransport: http\nurl: not-a-url\n");
    for command in ["check", "serve"] {
        let (code, out, error) = run(folder.0.path(), &[command]).await;
        assert_eq!((code, &*out), (64, ""), "{error}");
        let line = std::fs::read_to_string(folder.file()).unwrap().lines().count();
        assert!(error.contains(&format!("toolgate.yaml:{line}:1: ")), "{error}");
        assert!(error.contains("inject_tools") && error.contains("bad.yaml:3:6: "), "{error}");
        assert!(error.lines().any(|line| line.contains('^')), "no caret: {error}");
    }
    let empty = tempfile::tempdir().unwrap();
    let (code, _, error) = run(empty.path(), &["check"]).await;
    assert_eq!(code, 64);
    assert!(error.contains("toolgate.yaml") && error.contains("toolgate demo"), "{error}");
}

#[tokio::test]
async fn a_new_key_works_with_the_lines_that_were_printed() {
    let provider = Provider::start().await;
    let here = tempfile::tempdir().unwrap();
    let arguments = ["keys", "new", "--name", "laptop", "--user", "alice", "--group", "staff"];
    let (code, out, _) = run(here.path(), &arguments).await;
    assert_eq!(code, 0);
    let key = out.split_whitespace().find(|word| word.starts_with("tg_")).unwrap();
    let lines = &out[out.find("  - name").unwrap()..];
    let folder = ConfigFolder::new(&provider, &format!("keys:\n{lines}"));
    let process = Process::serve(&folder, &[]).await;
    provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
    assert_eq!(ask(&process, Api::Chat, key).await.message(Api::Chat, Mode::Whole).texts, ["Hello."]);
    assert_eq!(ask(&process, Api::Chat, &key.replace("tg_", "tg_0")).await.status, 401);
    assert_eq!(provider.requests().len(), 1);
    let (status, output) = process.terminate().await;
    assert!(status.success(), "{status} {output}");
}

#[tokio::test]
async fn the_schemas_are_printed_or_written() {
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = run(folder.path(), &["schema"]).await;
    assert_eq!(code, 0);
    let schemas: Vec<Value> =
        serde_json::Deserializer::from_str(&out).into_iter().collect::<Result<_, _>>().unwrap();
    let (code, out, _) = run(folder.path(), &["schema", "--out", "schemas"]).await;
    assert_eq!((code, out.lines().count(), schemas.len()), (0, 4, 4));
    for (file, schema) in out.lines().zip(&schemas) {
        let written = std::fs::read_to_string(folder.path().join(file)).unwrap();
        assert_eq!(&serde_json::from_str::<Value>(&written).unwrap(), schema);
    }
}

#[tokio::test]
async fn policy_test_says_which_rule_answered_and_fails_with_file_and_line() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let rules = "rules:\n  - {name: staff-only, effect: allow, groups: [staff], tools: ['srv/*']}\ntests:\n";
    let good = "  - {caller: {user: a, groups: [staff]}, tool: srv/look, expect: allow}\n  - {caller: {user: b}, tool: srv/look, expect: deny}\n";
    folder.write("policies/staff.yaml", &format!("{rules}{good}"));
    let (code, out, error) = run(folder.0.path(), &["policy", "test"]).await;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("staff-only") && out.contains("1 rules, 2 tests passed"), "{out}");
    folder.write(
        "policies/staff.yaml",
        &format!("{rules}{good}  - {{caller: {{user: b}}, tool: srv/look, expect: allow}}\n"),
    );
    for arguments in [&["policy", "test"][..], &["policy", "test", "policies/staff.yaml"]] {
        let (code, _, error) = run(folder.0.path(), arguments).await;
        assert_ne!(code, 0);
        assert!(error.contains("staff.yaml:6:"), "{error}");
    }
    assert_eq!(
        run(folder.0.path(), &["serve"]).await.0,
        64,
        "a gateway must not start with rules that fail their tests"
    );
}

#[tokio::test]
async fn the_audit_is_read_while_the_gateway_runs() {
    let world = World::with(McpServer::new().tool("look", text("42 birds"))).await;
    let api = Api::Chat;
    let rounds =
        [say("r1").thinking("Hm.").call("c1", "srv__look", r#"{"at":"home"}"#), say("r2").text("42.")];
    world.provider.will_say(api, Mode::Whole, &rounds);
    let answer = world.ask(api, &api.request(Mode::Whole, "How many birds?", &[])).await;
    let id = world.record(&answer).await.id.to_string();
    let store = world.folder.path().join("toolgate.db").to_str().unwrap().to_owned();
    let here = world.folder.path();
    let tail = id.rsplit('-').next().unwrap();

    let (code, out, error) = run(here, &["audit", "list", "--store", &store]).await;
    assert_eq!(code, 0, "{error}");
    let row = out.lines().find(|line| line.contains(tail)).unwrap_or_else(|| panic!("{out}"));
    assert!(
        ["anonymous", "openai/m-1", "1+0", "20 > 10", "completed 200"].iter().all(|cell| row.contains(cell)),
        "{row}"
    );

    let (code, out, _) = run(here, &["audit", "show", tail, "--store", &store]).await;
    assert_eq!(code, 0);
    for words in [
        "How many birds?",
        "Hm.",
        "srv__look (injected, c1)",
        "srv/look at http://",
        "\"at\"",
        "42 birds",
        "Round 2",
    ] {
        assert!(out.contains(words), "no {words:?} in\n{out}");
    }
    let (_, out, _) = run(here, &["audit", "show", &id, "--store", &store, "--json"]).await;
    let record: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&record["id"], &record["tool_usage"][0]["outcome"]), (&id.as_str().into(), &"ok".into()));
    let (_, out, _) = run(here, &["audit", "list", "--store", &store, "--json", "--user", "nobody"]).await;
    assert_eq!(out.trim(), "[]");
    let (code, out, _) = run(here, &["audit", "stats", "--by", "model", "--store", &store]).await;
    assert!(code == 0 && out.contains("m-1"), "{out}");
    let (code, out, _) = run(here, &["audit", "export", "--format", "csv", "--store", &store]).await;
    assert!(code == 0 && out.starts_with("id,") && out.contains(&id), "{out}");
    let (code, _, error) = run(here, &["audit", "show", "ffffffffffff", "--store", &store]).await;
    assert!(code != 0 && error.contains("audit list"), "{error}");
}

#[tokio::test]
async fn the_audit_is_followed_while_the_gateway_runs() {
    let world = World::with(McpServer::new().tool("look", text("42 birds"))).await;
    let store = world.folder.path().join("toolgate.db");
    let mut tail = tokio::process::Command::new(PROGRAM);
    tail.args(["audit", "tail", "--json", "--store"]).arg(&store);
    let mut tail = tail.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // It has begun when its reading is on record.
    until("the reading", async || {
        let page = queries::PageRequest::newest(1);
        let events = queries::events(&world.store, &queries::Filter::default(), None, &page).await.unwrap();
        (!events.items.is_empty()).then_some(())
    })
    .await;
    let api = Api::Chat;
    world.provider.will_say(api, Mode::Whole, &[say("r1").text("Hello.")]);
    let answer = world.ask(api, &api.request(Mode::Whole, "Hi", &[])).await;
    let id = answer.header("x-toolgate-interception").unwrap();
    loop {
        let line = patiently("a line", lines.next_line()).await.unwrap().expect("tail has ended");
        let row: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(row["id"], id);
        if row["outcome"] == "completed" {
            break;
        }
        assert_eq!(row["outcome"], "running");
    }
}

#[tokio::test]
async fn the_demo_runs_a_tool_and_ends() {
    let here = tempfile::tempdir().unwrap();
    let (code, out, error) = run(here.path(), &["demo", "--once"]).await;
    assert_eq!(code, 0, "{out}{error}");
    for words in
        ["not an LLM", "release checklist", "example__search_notes (injected", "outcome    ok", "completed"]
    {
        assert!(out.contains(words), "no {words:?} in\n{out}");
    }
    assert_eq!(std::fs::read_dir(here.path()).unwrap().count(), 0, "the demo left something behind");
}

#[tokio::test]
async fn serve_runs_the_example_server_as_a_child_and_takes_it_down_with_sigterm() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    folder.write(
        "mcp-servers/example.yaml",
        &format!("name: example\ntransport: stdio\ncommand: {PROGRAM}\nargs: [example-server]\n"),
    );
    let process = Process::serve(&folder, &[]).await;
    process.logs("the catalogue changed").await;
    let api = Api::Messages;
    let call =
        say("r1").call("c1", "example__convert_units", r#"{"value":10,"from":"kilometre","to":"mile"}"#);
    provider.will_say(api, Mode::Whole, &[call, say("r2").text("6.2 miles.")]);
    assert_eq!(ask(&process, api, "none").await.message(api, Mode::Whole).texts, ["6.2 miles."]);
    let second = String::from_utf8(provider.requests()[1].body.to_vec()).unwrap();
    assert!(second.contains("6.21"), "{second}");

    let children = children_of(process.id());
    assert_eq!(children.len(), usize::from(cfg!(target_os = "linux")));
    let address = process.address;
    let (status, output) = process.terminate().await;
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(output.starts_with(&format!("toolgate listening on http://{address}\n")), "{output}");
    for child in children {
        assert!(!is_alive(child), "the MCP server {child} is still there");
    }
    let (_, out, _) = run(folder.0.path(), &["audit", "list"]).await;
    assert!(out.contains("completed 200"), "{out}");
}

/// Name, state and parent of a process, as Linux tells them; nothing elsewhere.
fn stat(id: &str) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let mut fields = stat.rsplit(") ").next()?.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|id| id.parse::<u32>().is_ok());
    ids.filter(|id| stat(id).is_some_and(|(_, of)| of == parent)).map(|id| id.parse().unwrap()).collect()
}

fn is_alive(id: u32) -> bool {
    stat(&id.to_string()).is_some_and(|(state, _)| state != 'Z')
}
