use jiff::Timestamp;

use super::*;
use crate::domain::Usage;
use crate::store::interceptions::{End, Start};
use crate::store::model_thought::{self, ModelThought};
use crate::store::prompt_usage::{self, PromptUsage};
use crate::store::token_usage::{self, TokenUsage};
use crate::store::tool_usage::{self, Outcome, ToolUsage};

const FIRST: &str = "01999999-0000-7000-8000-00000000000a";
const SECOND: &str = "01999999-0001-7000-8000-00000000000b";

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(1_760_000_000_000 + milliseconds).unwrap()
}

fn start(id: &str, user: &str, started_at: Timestamp) -> Start {
    Start {
        id: id.parse().unwrap(),
        caller_key: "laptop".into(),
        caller_user: user.into(),
        caller_groups: vec!["engineering".into(), "oncall".into()],
        provider: "anthropic".into(),
        dialect: "messages".into(),
        model: "claude-sonnet".into(),
        client: "claude-cli/2.1 \x1b[31m".into(),
        client_session: Some("session-1".into()),
        injection: "injected".into(),
        left_out: Vec::new(),
        hosted: Vec::new(),
        continuity: Vec::new(),
        repeats: None,
        started_at,
    }
}

fn call(seq: u64, tool: &str, arguments: &str) -> ToolUsage {
    ToolUsage {
        id: format!("01999999-0000-7000-8000-1000000000{seq:02}").parse().unwrap(),
        interception_id: FIRST.parse().unwrap(),
        seq,
        round: 1,
        call_id: format!("toolu_{seq}"),
        tool: tool.into(),
        server: None,
        server_tool: None,
        server_url: None,
        injected: false,
        via: None,
        arguments: arguments.into(),
        rule: None,
        intended_at: None,
        outcome: None,
    }
}

fn outcome(call: &ToolUsage, word: &str) -> Outcome {
    Outcome {
        id: call.id,
        outcome: word.into(),
        result: None,
        result_bytes: None,
        truncated: false,
        duration_ms: None,
        ended_at: at(900),
    }
}

/// Two interceptions: one with everything in it, and one that runs.
async fn store() -> Store {
    let store = Store::in_memory().await.unwrap();
    let mut rows = store.begin().await.unwrap();
    let interception_id = FIRST.parse().unwrap();
    interceptions::insert(&mut rows, &start(FIRST, "alice@example.com", at(0))).await.unwrap();
    interceptions::insert(&mut rows, &start(SECOND, "bob@example.com", at(60_000))).await.unwrap();
    let prompt = "Which note\nspeaks of \x1b]0;owned\x07 tea?".into();
    prompt_usage::insert(&mut rows, &PromptUsage { interception_id, seq: 0, prompt, recorded_at: at(1) })
        .await
        .unwrap();
    let thought = "I should search the notes.".into();
    model_thought::insert(
        &mut rows,
        &ModelThought { interception_id, seq: 1, round: 1, thought, recorded_at: at(2) },
    )
    .await
    .unwrap();
    for (seq, round, cache_read, reasoning) in [(2, 1, 0, 0), (6, 2, 1200, 7)] {
        let usage = Usage { input: 100, output: 20, cache_read, reasoning, ..Usage::default() };
        let row = TokenUsage {
            interception_id,
            seq,
            round,
            model: "claude-sonnet-5".into(),
            response_id: format!("msg_{round}"),
            usage,
            recorded_at: at(3),
        };
        token_usage::insert(&mut rows, &row).await.unwrap();
    }
    insert_calls(&mut rows).await;
    let end = End {
        id: interception_id,
        ended_at: at(2345),
        outcome: "completed".into(),
        status: Some(200),
        error: None,
        stop_reason: Some("end_turn".into()),
    };
    interceptions::end(&mut rows, &end).await.unwrap();
    rows.commit().await.unwrap();
    store
}

async fn insert_calls(rows: &mut sqlx::AnyConnection) {
    let injected = |seq, arguments: &str| ToolUsage {
        server: Some("notes".into()),
        server_tool: Some("search".into()),
        server_url: Some("https://notes.example.com/mcp".into()),
        injected: true,
        rule: Some("default".into()),
        intended_at: Some(at(10)),
        ..call(seq, "notes__search", arguments)
    };
    let searched = injected(3, r#"{"query":"tea","limit":12345678901234567890123}"#);
    let ran = ToolUsage { via: Some("search".into()), ..searched };
    let result = format!("{{\"text\":\"{}\"}}", "x".repeat(3000));
    let ok = Outcome {
        result_bytes: Some(5000),
        truncated: true,
        duration_ms: Some(120),
        result: Some(result),
        ..outcome(&ran, "ok")
    };
    let lost = injected(4, "{}");
    let unknown = outcome(&lost, "unknown");
    let own = call(5, "edit_file", "{\"path\": broken");
    let released = ToolUsage { outcome: Some(outcome(&own, "released")), ..own };
    for row in [&ran, &lost, &released] {
        tool_usage::insert(rows, row).await.unwrap();
    }
    for outcome in [&ok, &unknown] {
        tool_usage::settle(rows, outcome).await.unwrap();
    }
}

#[tokio::test]
async fn the_list_has_the_newest_first() {
    let store = store().await;
    let mut page = Vec::new();
    render_list(&mut page, &interceptions::newest(&store, None, 20).await.unwrap()).unwrap();
    insta::assert_snapshot!(String::from_utf8(page).unwrap(), @r"
    Started (UTC)        Id            User               Client                     Provider/model           Tools  Tokens     Outcome         Time
    2025-10-09 08:54:20  00000000000b  bob@example.com    claude-cli/2.1 \u{1b}[31m  anthropic/claude-sonnet  0+0    0 > 0      running
    2025-10-09 08:53:20  00000000000a  alice@example.com  claude-cli/2.1 \u{1b}[31m  anthropic/claude-sonnet  2+1    1400 > 40  completed 200  2.3 s

    Tools: injected calls that ran + the client's calls. Tokens: in > out.
    An id's end is enough for `toolgate audit show`.
    ");
}

#[tokio::test]
async fn the_list_is_of_one_user_and_bounded() {
    let store = store().await;
    let of_alice = interceptions::newest(&store, Some("alice@example.com"), 20).await.unwrap();
    assert_eq!(of_alice.iter().map(|row| row.interception.start.id.to_string()).collect::<Vec<_>>(), [FIRST]);
    let newest = interceptions::newest(&store, None, 1).await.unwrap();
    assert_eq!(newest.iter().map(|row| row.interception.start.id.to_string()).collect::<Vec<_>>(), [SECOND]);
    let mut page = Vec::new();
    render_list(&mut page, &interceptions::newest(&store, Some("eve"), 20).await.unwrap()).unwrap();
    assert_eq!(String::from_utf8(page).unwrap(), "No interceptions are recorded.\n");
}

#[tokio::test]
async fn one_interception_reads_like_a_story() {
    let store = store().await;
    let mut page = Vec::new();
    render_show(&mut page, &store, FIRST.parse().unwrap()).await.unwrap();
    let page = String::from_utf8(page).unwrap().replace(&"x".repeat(20), "");
    insta::assert_snapshot!(page, @r#"
    Interception 01999999-0000-7000-8000-00000000000a
      started    2025-10-09T08:53:20.000000Z
      user       alice@example.com
      key        laptop
      groups     engineering, oncall
      client     claude-cli/2.1 \u{1b}[31m
      session    session-1
      provider   anthropic
      dialect    messages
      model      claude-sonnet
      injection  injected

    Prompt
      Which note
      speaks of \u{1b}]0;owned\u{7} tea?

    Round 1
      thought
        I should search the notes.
      tool call notes__search (found by search, toolu_3)
        server     notes/search at https://notes.example.com/mcp
        rule       default
        arguments
          {
            "query": "tea",
            "limit": 12345678901234567890123
          }
        outcome    ok after 120 ms
        result (5000 bytes, the model got a part)
          {
            "text": "xxxxxxx
          … 1016 more bytes: see --json
      tool call notes__search (injected, toolu_4)
        server     notes/search at https://notes.example.com/mcp
        rule       default
        arguments
          {}
        outcome unknown: the gateway lost the call while it ran
      tool call edit_file (the client's, toolu_5)
        arguments
          {"path": broken
        outcome    released
      answer msg_1 from claude-sonnet-5
        100 in, 20 out

    Round 2
      answer msg_2 from claude-sonnet-5
        100 in, 20 out, 1200 read from cache, 7 of the output reasoning

    End
      ended      2025-10-09T08:53:22.345000Z
      took       2.3 s
      outcome    completed
      status     200
      stop       end_turn
      tokens     200 in, 40 out, 1200 read from cache, 7 of the output reasoning
    "#);
}

#[tokio::test]
async fn json_holds_everything_and_no_control_character() {
    let store = store().await;
    let mut page = Vec::new();
    show::write_json(&mut page, &store, FIRST.parse().unwrap()).await.unwrap();
    let page = String::from_utf8(page).unwrap();
    assert!(!page.chars().any(|character| character.is_control() && character != '\n'));
    let json: serde_json::Value = serde_json::from_str(&page).unwrap();
    assert_eq!(json["id"], FIRST);
    assert_eq!(json["started_at"], "2025-10-09T08:53:20.000000Z");
    assert_eq!(json["end"]["outcome"], "completed");
    assert_eq!(json["prompt_usage"][0]["prompt"], "Which note\nspeaks of \x1b]0;owned\x07 tea?");
    assert_eq!(json["token_usage"][1]["usage"]["cache_read"], 1200);
    assert_eq!(json["tool_usage"][0]["outcome"]["result"].as_str().unwrap().len(), 3011);
}

#[tokio::test]
async fn a_piece_of_an_id_is_enough_if_it_fits_one() {
    let store = store().await;
    for piece in [FIRST, "00000000000A", "0000000a", "01999999-0000"] {
        assert_eq!(find(&store, piece).await.unwrap().to_string(), FIRST, "{piece}");
    }
    let several = find(&store, "01999999").await.unwrap_err().to_string();
    assert!(several.contains(FIRST) && several.contains(SECOND), "{several}");
    let none = find(&store, "ffff").await.unwrap_err().to_string();
    assert!(none.contains("no interception has an id that begins or ends with ffff"), "{none}");
    for wrong in ["", "%", "no id"] {
        assert!(find(&store, wrong).await.unwrap_err().to_string().contains("no id"), "{wrong}");
    }
}

#[tokio::test]
async fn a_missing_database_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let place = Place { store: Some(folder.path().join("none.db")), config: PathBuf::new() };
    let error = open(&place).await.unwrap_err().to_string();
    assert!(error.contains("there is no database at") && error.contains("none.db"), "{error}");
}

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

#[tokio::test]
async fn the_commands_read_a_database_file() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("a.db");
    let settings = crate::config::Store::sqlite(path.clone(), crate::config::Durability::Process);
    let store = Store::open(&settings).await.unwrap();
    let mut rows = store.begin().await.unwrap();
    interceptions::insert(&mut rows, &start(FIRST, "alice@example.com", at(0))).await.unwrap();
    rows.commit().await.unwrap();
    let path = path.to_str().unwrap();
    for words in [
        vec!["audit", "list", "--store", path],
        vec!["audit", "list", "--store", path, "--limit", "5", "--user", "alice@example.com", "--json"],
        vec!["audit", "show", FIRST, "--store", path],
        vec!["audit", "show", "0000000a", "--store", path, "--json"],
    ] {
        let line = <Line as clap::Parser>::try_parse_from(&words).unwrap();
        let page = String::from_utf8(page(line.args).await.unwrap()).unwrap();
        assert!(page.contains("alice@example.com"), "{words:?}: {page}");
    }
    for wrong in [
        vec!["audit", "list", "--limit", "0"],
        vec!["audit", "show"],
        vec!["audit", "list", "--store", path, "--config", "toolgate.yaml"],
    ] {
        <Line as clap::Parser>::try_parse_from(&wrong).unwrap_err();
    }
}
