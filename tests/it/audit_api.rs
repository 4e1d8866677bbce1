//! The records over the administrators' API.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::wire::{Api, Mode, say};
use crate::world::World;

const POLICY: &str = "
rules:
  - {name: all, effect: allow, tools: ['*']}
  - {name: auditors, effect: allow, groups: [auditors], tools: ['*'], actions: [read_audit]}
";

/// Bob and carol ask; alice reads the records.
async fn world() -> World {
    World::builder()
        .server("notes", McpServer::new().tool("search", text("42 birds")))
        .caller("tg_alice", "alice", &["auditors"])
        .caller("tg_bob", "bob", &["staff"])
        .caller("tg_carol", "carol", &["guests"])
        .policy(POLICY)
        .start()
        .await
}

/// One turn with a tool call; gives the interception's id.
async fn with_tool(world: &mut World, key: &str, prompt: &str) -> String {
    world.provider.will_say(
        Api::Messages,
        Mode::Whole,
        &[
            say("r1").text("I look.").call("c1", "notes__search", "{\"query\":\"birds\"}"),
            say("r2").text("There are 42 birds."),
        ],
    );
    asked(world, key, Api::Messages, prompt).await
}

/// One turn without any.
async fn plain(world: &mut World, key: &str, prompt: &str) -> String {
    world.provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
    asked(world, key, Api::Chat, prompt).await
}

async fn asked(world: &mut World, key: &str, api: Api, prompt: &str) -> String {
    world.key = Some(key.to_owned());
    let answer = world.ask(api, &api.request(Mode::Whole, prompt, &[])).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    world.record(&answer).await;
    answer.header("x-toolgate-interception").unwrap().to_owned()
}

async fn get(world: &World, key: &str, path: &str) -> (u16, reqwest::header::HeaderMap, String) {
    let request = world.request("GET", &format!("/api/v1{path}")).bearer_auth(key);
    let answer = patiently("the answer", request.send()).await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.text().await.unwrap())
}

/// An answer to alice, which is as the document says.
async fn read(world: &World, path: &str) -> Value {
    let (status, headers, body) = get(world, "tg_alice", path).await;
    assert_eq!(status, 200, "{path}: {body}");
    assert_eq!(headers["cache-control"], "no-store");
    let answer: Value = serde_json::from_str(&body).unwrap();
    let document: Value = serde_json::from_str(&get(world, "tg_alice", "/openapi.json").await.2).unwrap();
    assert_fits(&document, path, &answer);
    answer
}

/// The document's schema for this path takes the answer.
fn assert_fits(document: &Value, path: &str, answer: &Value) {
    let path = path.split('?').next().unwrap();
    let parts: Vec<_> = path.split('/').collect();
    let fits = |template: &str| {
        let template: Vec<_> = template.split('/').collect();
        template.len() == parts.len()
            && template.iter().zip(&parts).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let paths = document["paths"].as_object().unwrap();
    let mut found: Vec<_> = paths.iter().filter(|(template, _)| fits(template)).collect();
    found.sort_by_key(|(template, _)| template.contains('{'));
    let operation = &found.first().unwrap_or_else(|| panic!("{path} is not in the document")).1["get"];
    let mut schema = operation["responses"]["200"]["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{path}: {errors:?}");
}

fn ids(answer: &Value) -> Vec<&str> {
    answer["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn nobody_reads_without_being_allowed_to() {
    let mut world = world().await;
    let id = plain(&mut world, "tg_bob", "Hi").await;
    let one = format!("/interceptions/{id}");
    for path in [
        "/interceptions",
        &one,
        "/threads",
        "/tool-calls",
        "/users",
        "/audit-events",
        "/stats/tokens",
        "/stats/tools",
        "/export/interceptions",
    ] {
        let (status, headers, body) = get(&world, "tg_bob", path).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (403, "application/problem+json"),
            "{path}"
        );
        assert!(!body.contains(&id), "{body}");
        let (status, ..) = get(&world, "tg_nobody", path).await;
        assert_eq!(status, 401, "{path}");
    }
    // What was refused was no reading.
    assert_eq!(ids(&read(&world, "/audit-events").await).len(), 1);
}

#[tokio::test]
async fn f46_f47_one_interception_is_told_with_its_texts_and_results() {
    let mut world = world().await;
    let id = with_tool(&mut world, "tg_bob", "How many birds?").await;
    let whole = read(&world, &format!("/interceptions/{id}")).await;
    assert_eq!(
        (&whole["caller_user"], &whole["outcome"], &whole["end"]["status"]),
        (&json!("bob"), &json!("completed"), &json!(200))
    );
    assert_eq!(whole["end"]["rounds"], 2);
    let user: Vec<_> =
        whole["prompt_usage"].as_array().unwrap().iter().filter(|row| row["role"] == "user").collect();
    assert_eq!(user[0]["prompt"]["text"], "How many birds?");
    let answers: Vec<_> =
        whole["token_usage"].as_array().unwrap().iter().map(|row| row["answer"]["text"].clone()).collect();
    assert_eq!(answers, ["I look.", "There are 42 birds."]);
    let call = &whole["tool_usage"][0];
    assert_eq!(
        (&call["outcome"], &call["server"], &call["server_tool"]),
        (&json!("ok"), &json!("notes"), &json!("search"))
    );
    assert_eq!(call["arguments"]["text"], "{\"query\":\"birds\"}");
    assert!(call["result"]["text"].as_str().unwrap().contains("42 birds"), "{call}");
    assert!(call["rule"] == "all" && call["end"]["duration_us"].is_u64(), "{call}");
    let (status, _, body) =
        get(&world, "tg_alice", "/interceptions/01999999-0000-7000-8000-000000000000").await;
    assert_eq!(status, 404, "{body}");
}

#[tokio::test]
async fn pages_have_no_gaps_and_no_doubles_while_requests_come() {
    let mut world = world().await;
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(plain(&mut world, "tg_bob", "Hi").await);
    }
    let mut seen = Vec::new();
    let mut path = "/interceptions?limit=2".to_owned();
    for _ in 0..3 {
        let page = read(&world, &path).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        plain(&mut world, "tg_carol", "Me too").await;
        path = format!("/interceptions?limit=2&older={}", page["older"].as_str().unwrap_or_default());
    }
    asked.reverse();
    assert_eq!(seen, asked);
}

#[tokio::test]
async fn every_filter_narrows_the_list_and_the_export_equals_it() {
    let mut world = world().await;
    let tool = with_tool(&mut world, "tg_bob", "How many birds?").await;
    let hello = plain(&mut world, "tg_carol", "Good morning").await;
    let all = BTreeSet::from([tool.as_str(), hello.as_str()]);
    let of_tool = BTreeSet::from([tool.as_str()]);
    for (filter, expected) in [
        ("user=bob".to_owned(), &of_tool),
        ("group=staff".into(), &of_tool),
        ("key=bob-key".into(), &of_tool),
        ("provider=anthropic".into(), &of_tool),
        ("server=notes".into(), &of_tool),
        ("tool=notes%2Fsearch".into(), &of_tool),
        ("injected=true".into(), &of_tool),
        ("text=BIRDS".into(), &of_tool),
        (format!("thread={tool}"), &of_tool),
        ("outcome=completed".into(), &all),
        ("from=1h".into(), &all),
        ("outcome=running".into(), &BTreeSet::new()),
        ("to=2020-01-01".into(), &BTreeSet::new()),
        ("user=bob&outcome=completed&provider=openai".into(), &BTreeSet::new()),
    ] {
        let list = read(&world, &format!("/interceptions?{filter}")).await;
        assert_eq!(ids(&list).into_iter().collect::<BTreeSet<_>>(), *expected, "{filter}");
        let (status, headers, file) =
            get(&world, "tg_alice", &format!("/export/interceptions?{filter}")).await;
        assert_eq!((status, &headers["content-type"]), (200, &"application/jsonl".parse().unwrap()));
        let rows: Vec<Value> = file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(json!(rows), list["items"], "{filter}");
    }
    let (_, headers, table) = get(&world, "tg_alice", "/export/interceptions?format=csv").await;
    assert!(headers["content-disposition"].to_str().unwrap().contains("toolgate-interceptions.csv"));
    assert_eq!(table.lines().count(), 3);
    assert!(table.starts_with("id,instance,"), "{table}");
}

#[tokio::test]
async fn all_questions_are_answered_as_the_document_says() {
    let mut world = world().await;
    let first = with_tool(&mut world, "tg_bob", "How many birds?").await;
    let calls = read(&world, "/tool-calls?server=notes&outcome=ok").await;
    assert_eq!((calls["items"][0]["interception_id"].as_str(), ids(&calls).len()), (Some(first.as_str()), 1));
    let threads = read(&world, "/threads?tool=notes__search").await;
    assert_eq!(ids(&threads), [first.as_str()]);
    let thread = read(&world, &format!("/threads/{first}?limit=1")).await;
    assert_eq!(
        (&thread["thread"]["interceptions"], &thread["interceptions"][0]["id"]),
        (&json!(1), &json!(first))
    );
    let users = read(&world, "/users?group=staff").await;
    assert_eq!(
        (&users["items"][0]["user"], &users["items"][0]["keys"]),
        (&json!("bob"), &json!(["bob-key"]))
    );
    let tokens = read(&world, "/stats/tokens?by=user,model&from=1h").await;
    assert_eq!((&tokens["by"], &tokens["items"][0]["group"][0]), (&json!(["user", "model"]), &json!("bob")));
    assert_eq!(tokens["items"][0]["rounds"], 2);
    let tools = read(&world, "/stats/tools?by=server,tool,outcome").await;
    assert_eq!(tools["items"][0]["group"], json!(["notes", "search", "ok"]));
    for path in ["/servers", "/tools", "/tools/notes__search"] {
        read(&world, path).await;
    }
}

#[tokio::test]
async fn reading_is_recorded_before_it_is_answered() {
    let mut world = world().await;
    let id = plain(&mut world, "tg_bob", "Hi").await;
    read(&world, "/interceptions?user=bob").await;
    read(&world, &format!("/interceptions/{id}")).await;
    get(&world, "tg_alice", "/export/tool-calls?format=csv").await;
    let events = read(&world, "/audit-events?user=alice").await;
    let told: Vec<_> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["action"].as_str().unwrap(),
                event["detail"]["what"].as_str().unwrap(),
                event["caller_user"].as_str(),
            )
        })
        .collect();
    let alice = Some("alice");
    assert_eq!(
        told,
        [
            ("read", "audit_events", alice),
            ("export", "tool-calls", alice),
            ("read", "interception", alice),
            ("read", "interceptions", alice),
        ]
    );
    let question = &events["items"][3]["detail"]["question"];
    assert!(question["user"][0].is_string() && !question.to_string().contains("bob"), "{question}");
    assert_eq!(events["items"][2]["detail"]["id"], id);
    assert_eq!(ids(&read(&world, "/audit-events?action=export").await).len(), 1);
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let world = world().await;
    for (path, parameter) in [
        ("/interceptions?usr=bob", "usr"),
        ("/interceptions?from=soon", "from"),
        ("/interceptions?injected=1", "injected"),
        ("/interceptions?older=x", "older"),
        ("/interceptions?limit=0", "limit"),
        ("/interceptions?limit=501", "limit"),
        ("/interceptions?text=%2A", "text"),
        ("/interceptions?user=a&user=b", "user"),
        ("/threads?thread=x", "thread"),
        ("/users?model=gpt", "model"),
        ("/audit-events?action=%00", "action"),
        ("/audit-events?action=reed", "action"),
        ("/stats/tokens?by=colour", "by"),
        ("/stats/tokens?by=day,day", "by"),
        ("/interceptions?group=%2C", "group"),
        ("/export/interceptions?format=xml", "format"),
    ] {
        let (status, headers, body) = get(&world, "tg_alice", path).await;
        assert_eq!(
            (status, headers["content-type"].to_str().unwrap()),
            (400, "application/problem+json"),
            "{path}"
        );
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["parameter"], parameter, "{body}");
    }
    assert_eq!(get(&world, "tg_alice", "/export/secrets").await.0, 404);
    let (status, headers, body) = get(&world, "tg_alice", "/interceptions/%FF").await;
    assert_eq!(
        (status, headers["content-type"].to_str().unwrap()),
        (400, "application/problem+json"),
        "{body}"
    );
}

#[tokio::test]
async fn without_a_key_nobody_learns_which_version_answers() {
    let world = world().await;
    let answer =
        patiently("the document", world.request("GET", "/api/v1/openapi.json").send()).await.unwrap();
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["info"]["version"], "1");
}
