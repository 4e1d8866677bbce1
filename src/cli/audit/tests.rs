use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::audit::Reader;
use crate::audit::read::{Text, TextState};
use crate::config::{Durability, Store as StoreConfig};
use crate::seal::Sealer;
use crate::store::Store;
use crate::store::records::Body;
use crate::store::records::prompts::Role;
use crate::store::sample::{Sample, at, id, nothing};

const CLIENT: &str = "claude-cli \x1b[31m";

/// Alice's conversation of two interceptions, and bob's one, which runs.
async fn fill(store: &Store) {
    let mut sample = Sample::new();
    sample.person("alice", "laptop", &["staff"], "");
    sample.person("bob", "ci", &[], "");
    sample.start(1, "alice", |start| start.client = CLIENT.into());
    sample.prompt(1, 0, Role::System, text(900));
    sample.prompt(1, 1, Role::User, text(30));
    sample.call(1, 2, text(50), |call| call.via = Some("search".into()));
    sample.outcome(1, 2, "ok", Some(text(5000)));
    sample.call(1, 3, text(2), |_| {});
    sample.outcome(1, 3, "unknown", None);
    sample.call(1, 4, text(20), |call| {
        (call.server, call.server_tool, call.server_url) = (None, None, None);
        (call.injected, call.via, call.tool, call.rule) = (false, None, "edit_file".into(), None);
    });
    sample.outcome(1, 4, "released", None);
    sample.round(1, 5, 1, text(0));
    sample.end(1, "completed", |end| (end.injected_calls, end.client_calls) = (2, 1));
    sample.start(2, "alice", |start| (start.thread, start.parent) = (id(1), Some(id(1))));
    sample.prompt(2, 0, Role::User, nothing(7));
    sample.round(2, 1, 1, nothing(12));
    sample
        .end(2, "failed", |end| (end.status, end.error) = (Some(502), Some("the provider broke off".into())));
    sample.start(3, "bob", |_| {});
    sample.commit(store, 1).await;
}

/// A text that is kept, of which there is nothing in the store.
fn text(bytes: u64) -> Body {
    Body { id: Some("0".repeat(64)), bytes, kept: crate::store::records::Kept::Full }
}

async fn reader() -> Reader {
    let store = Store::in_memory().await.unwrap();
    fill(&store).await;
    Reader::new(store, Arc::new(Sealer::random()))
}

fn opened(text: &str, bytes: u64) -> Text {
    Text { text: Some(text.into()), state: TextState::Full, digest: None, bytes }
}

/// What the store would have told.
async fn first(reader: &Reader) -> Whole {
    let mut whole = reader.whole(id(1)).await.unwrap().unwrap();
    whole.prompt_usage[0].prompt = opened(&"You are helpful. ".repeat(53), 901);
    whole.prompt_usage[1].prompt = opened("Which note\nspeaks of \u{1b}]0;owned\u{7} tea?", 30);
    whole.tool_usage[0].arguments = opened(r#"{"query":"tea","limit":12345678901234567890123}"#, 50);
    let result = format!("{{\"text\":\"{}\"}}", "x".repeat(3000));
    whole.tool_usage[0].result = Some(opened(&result, 5000));
    whole.tool_usage[1].arguments = opened("{}", 2);
    whole.tool_usage[2].arguments = opened("{\"path\": broken", 15);
    whole
}

fn rendered(render: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    render(&mut out);
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn f45_the_list_has_the_newest_first_and_what_runs() {
    let reader = reader().await;
    let page =
        queries::interceptions(reader.store(), &Filter::default(), &PageRequest::newest(20)).await.unwrap();
    insta::assert_snapshot!(rendered(|out| list::render(out, &page.items).unwrap()));
    let none: [queries::Interception; 0] = [];
    let none = rendered(|out| list::render(out, &none).unwrap());
    assert_eq!(none, "No interceptions are recorded that fit.\n");
}

#[tokio::test]
async fn calls_conversations_and_people_are_tables_too() {
    let reader = reader().await;
    let (store, filter, page) = (reader.store(), Filter::default(), PageRequest::newest(20));
    let calls = queries::tool_calls(store, &filter, &page).await.unwrap().items;
    let threads = queries::threads(store, &filter, &page).await.unwrap().items;
    let users = queries::users(store, &filter, &page).await.unwrap().items;
    let text = rendered(|out| {
        list::render(out, &calls).unwrap();
        list::render(out, &threads).unwrap();
        list::render(out, &users).unwrap();
    });
    insta::assert_snapshot!(text);
}

#[tokio::test]
async fn f46_one_interception_reads_like_a_story() {
    let whole = first(&reader().await).await;
    let page = rendered(|out| show::render(out, &whole).unwrap());
    insta::assert_snapshot!(page.replace(&"x".repeat(20), ""));
    assert!(!page.chars().any(|character| character.is_control() && character != '\n'), "{page:?}");
}

#[tokio::test]
async fn a_conversation_is_told_in_order_and_says_what_is_not_there() {
    let reader = reader().await;
    let text = async {
        let mut out = Vec::new();
        conversation(&mut out, &reader, id(1), false).await.unwrap();
        String::from_utf8(out).unwrap()
    };
    insta::assert_snapshot!(text.await);
    let mut json = Vec::new();
    conversation(&mut json, &reader, id(1), true).await.unwrap();
    let lines: Vec<Value> =
        String::from_utf8(json).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect::<Vec<_>>(),
        ["completed", "failed"]
    );
}

#[tokio::test]
async fn sums_are_tables() {
    let reader = reader().await;
    let by = dimensions::<By>("day,user").unwrap();
    let tokens = queries::token_statistics(reader.store(), &Filter::default(), &by).await.unwrap();
    let of_tools = dimensions::<ToolBy>("server,tool,outcome").unwrap();
    let tools = queries::tool_statistics(reader.store(), &Filter::default(), &of_tools).await.unwrap();
    let text = rendered(|out| {
        stats::tokens(out, &by, &tokens).unwrap();
        stats::tools(out, &of_tools, &tools).unwrap();
    });
    insta::assert_snapshot!(text);
    let error = dimensions::<By>("colour").unwrap_err().to_string();
    assert!(error.contains("--by colour") && error.contains("provider"), "{error}");
}

#[tokio::test]
async fn json_holds_everything_and_no_control_character() {
    let whole = first(&reader().await).await;
    let page = rendered(|out| write_json(out, &whole).unwrap());
    assert!(!page.chars().any(|character| character.is_control() && character != '\n'));
    let json: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(json["id"], id(1).to_string());
    assert_eq!(json["prompt_usage"][1]["prompt"]["text"], "Which note\nspeaks of \x1b]0;owned\x07 tea?");
    assert_eq!(json["tool_usage"][0]["result"]["text"].as_str().unwrap().len(), 3011);
    assert_eq!(json["tool_usage"][1]["outcome"], "unknown");
    assert_eq!(json["token_usage"][0]["answer"]["state"], "pruned");
    assert_eq!(json["end"]["tokens"]["cache_read"], 1200);
}

#[tokio::test]
async fn a_piece_of_an_id_is_enough_if_it_fits_one() {
    let reader = reader().await;
    for piece in ["01999999-0000-7000-8000-000000000001", "000000000001", "01"] {
        let found = find(&reader, piece).await;
        if piece == "01" {
            let several = found.unwrap_err().to_string();
            assert!(
                several.contains(&id(1).to_string()) && several.contains(&id(2).to_string()),
                "{several}"
            );
        } else {
            assert_eq!(found.unwrap(), id(1), "{piece}");
        }
    }
    let none = find(&reader, "ffff").await.unwrap_err().to_string();
    assert!(none.contains("no interception has an id that begins or ends with ffff"), "{none}");
    for wrong in ["", "%", "no id"] {
        assert!(find(&reader, wrong).await.unwrap_err().to_string().contains("no id"), "{wrong}");
    }
}

#[tokio::test]
async fn tail_tells_of_each_beginning_and_of_each_end_once() {
    let store = Store::in_memory().await.unwrap();
    let mut tail = Tail::new(Filter::default(), at(0)).unwrap();
    let told = async |tail: &mut Tail, now| {
        let rows = tail.look(&store, at(now)).await.unwrap();
        rows.iter()
            .map(|row| format!("{} {}", row.id.to_string().trim_start_matches(|c| c != '8'), row.outcome))
            .map(|line| line.replace("8000-00000000", ""))
            .collect::<Vec<_>>()
    };
    let mut sample = Sample::new();
    sample.start(1, "alice", |_| {});
    sample.start(2, "alice", |_| {});
    sample.end(2, "completed", |_| {});
    sample.commit(&store, 1).await;
    assert_eq!(told(&mut tail, 10).await, ["0001 running", "0002 completed"]);
    assert!(told(&mut tail, 20).await.is_empty());
    // An hour later: the first one ends, and one that began before the last look is seen at last.
    let mut sample = Sample::new();
    sample.end(1, "failed", |_| {});
    sample.start(3, "alice", |_| {});
    sample.commit(&store, 2).await;
    assert_eq!(told(&mut tail, 3_600_000).await, ["0001 failed", "0003 running"]);
    assert!(told(&mut tail, 3_600_500).await.is_empty());
    assert!(Tail::new(Filter { text: Some("tea".into()), ..Filter::default() }, at(0)).is_err());
}

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

async fn said(words: &[&str]) -> anyhow::Result<String> {
    let line = <Line as clap::Parser>::try_parse_from(words)?;
    let Command::Reading(command) = line.args.command else { anyhow::bail!("nothing is read") };
    let mut out = Vec::new();
    page(&mut out, *command).await?;
    Ok(String::from_utf8(out)?)
}

async fn file(folder: &Path) -> String {
    let path = folder.join("a.db");
    let store = Store::open(&StoreConfig::sqlite(path.clone(), Durability::Process)).await.unwrap();
    fill(&store).await;
    store.close().await;
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_commands_read_a_database_file_and_every_reading_is_recorded() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = &file(folder.path()).await;
    let first = id(1).to_string();
    for words in [
        vec!["audit", "list", "--from", "2020-01-01"],
        vec!["audit", "list", "--limit", "5", "--user", "alice", "--outcome", "completed", "--json"],
        vec!["audit", "calls", "--server", "notes"],
        vec!["audit", "threads", "--session", "session-alice"],
        vec!["audit", "users", "--key", "laptop", "--json"],
        vec!["audit", "show", &first],
        vec!["audit", "show", "000000000002", "--thread", "--json"],
        vec!["audit", "export", "--format", "csv"],
        vec!["audit", "export", "--what", "tool-calls", "--format", "ocsf"],
        vec!["audit", "stats", "--by", "user", "--from", "2020-01-01"],
    ] {
        let words: Vec<_> = words.into_iter().chain(["--store", path]).collect();
        let page = said(&words).await.unwrap();
        assert!(page.contains("alice"), "{words:?}: {page}");
    }
    let events = said(&["audit", "events", "--store", path, "--json", "--limit", "100"]).await.unwrap();
    let events: Value = serde_json::from_str(&events).unwrap();
    let actions: Vec<_> =
        events.as_array().unwrap().iter().rev().map(|event| event["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        ["read", "read", "read", "read", "read", "read", "read", "export", "export", "read", "read"]
    );
    assert_eq!(events[9]["detail"]["question"]["user"], json!(["person-alice"]));
    assert!(!events.to_string().contains("\"alice\""), "no name stands in the records for ever");
}

#[tokio::test]
async fn nothing_is_erased_while_something_waits_beside_the_database() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = &file(folder.path()).await;
    let erase = || {
        <Line as clap::Parser>::parse_from([
            "audit",
            "erase",
            "--user",
            "person-alice",
            "--yes",
            "--store",
            path,
        ])
    };
    let ahead = format!("{path}.ahead");
    std::fs::write(&ahead, "what a killed gateway left").unwrap();
    let error = run(erase().args).await.unwrap_err().to_string();
    assert!(error.contains(&ahead) && error.contains("start it once, then erase"), "{error}");
    std::fs::write(&ahead, [0; 9]).unwrap();
    let error = run(erase().args).await.unwrap_err().to_string();
    assert!(error.contains("nothing to erase of a user called person-alice"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = &file(folder.path()).await;
    let missing = folder.path().join("none.db");
    let missing = missing.to_str().unwrap();
    let error = said(&["audit", "list", "--store", missing]).await.unwrap_err().to_string();
    assert!(error.contains("there is no database at") && error.contains("none.db"), "{error}");
    assert!(!Path::new(missing).exists(), "reading makes no database");
    for (words, expected) in [
        (["--from", "soon"], "--from soon: it is a time"),
        (["--injected", "yes"], "--injected yes: it is `true` or `false`"),
        (["--thread", "x"], "--thread x"),
        (["--text", "*"], "--text *: it has no word"),
    ] {
        let error =
            said(&["audit", "list", "--store", path, words[0], words[1]]).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for wrong in [
        vec!["audit", "list", "--limit", "0"],
        vec!["audit", "show"],
        vec!["audit", "list", "--store", path, "--config", "toolgate.yaml"],
    ] {
        <Line as clap::Parser>::try_parse_from(&wrong).unwrap_err();
    }
}
