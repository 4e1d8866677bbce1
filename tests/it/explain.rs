//! `toolgate explain`, as a person at a terminal meets it: what it says is what requests get.

use std::path::Path;

use assert_cmd::Command;
use serde_json::{Value, json};

use crate::mcp_server::McpServer;
use crate::process::{ConfigFolder, PROGRAM, Process};
use crate::provider::Provider;
use crate::wire::{Api, Mode, say};
use crate::world::PROVIDER_KEY;

const KEYS: &str = "keys:
  - {name: staff, user: ann@example.com, groups: [staff], sha256: 2db5d9bdb5bb1c1a1e0c5a0ee2e3a2a4b0e9cf3c5b9e3f0e4cbe3a6f7d1d2c11}
  - {name: guest, user: bob@example.com, sha256: 2db5d9bdb5bb1c1a1e0c5a0ee2e3a2a4b0e9cf3c5b9e3f0e4cbe3a6f7d1d2c12, inject: never}
";

const POLICY: &str = "
rules:
  - {name: all, effect: allow, tools: ['*']}
  - {name: no-secrets, effect: deny, tools: ['*/secret*'], actions: [see_tool]}
";

/// Runs `explain` to its end: exit code, standard output, standard error.
async fn explain(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(PROGRAM);
    command
        .arg("explain")
        .args(arguments)
        .current_dir(folder)
        .env("TOOLGATE_TEST_PROVIDER_KEY", PROVIDER_KEY);
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

async fn as_json(folder: &Path, arguments: &[&str]) -> Value {
    let (code, out, error) = explain(folder, &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap()
}

fn texts(explanation: &Value, list: &str, field: &str) -> Vec<String> {
    let list = explanation[list].as_array().unwrap();
    list.iter().map(|entry| entry[field].as_str().unwrap().to_owned()).collect()
}

/// The reason that is given for a tool of a list.
fn why(explanation: &Value, list: &str, tool: &str) -> String {
    let list = explanation[list].as_array().unwrap();
    let entry = list.iter().find(|entry| entry["tool"] == tool);
    entry.unwrap_or_else(|| panic!("nothing on {tool}: {list:?}"))["reason"].as_str().unwrap().to_owned()
}

/// The folder, and its servers, which end when they are dropped.
async fn folder(provider: &Provider) -> (ConfigFolder, [McpServer; 2]) {
    let folder = ConfigFolder::new(provider, KEYS);
    folder.write("policies/p.yaml", POLICY);
    let few = McpServer::new().echo("look").echo("secret").echo("hidden");
    let url = few.start().await;
    let expose = "expose: always\ntools: { deny: ['hidden'] }\n";
    folder.write("mcp-servers/few.yaml", &format!("name: few\ntransport: http\nurl: {url}\n{expose}"));
    let many = (0..30).fold(McpServer::new(), |server, n| server.echo(&format!("t{n:02}")));
    folder.server("many", &many.start().await);
    (folder, [few, many])
}

#[tokio::test]
async fn explain_says_what_is_listed_what_is_found_and_which_rule_left_out_what() {
    let provider = Provider::start().await;
    let (folder, _servers) = folder(&provider).await;
    let path = folder.0.path();

    let all = as_json(path, &["--key", "staff", "--provider", "anthropic"]).await;
    assert_eq!(texts(&all, "injected", "name").len(), 31);
    assert_eq!(why(&all, "left_out", "few/secret"), "the policy rule `no-secrets` hides it");
    assert!(why(&all, "left_out", "few/hidden").contains("`hidden`"), "{all}");
    let look = &all["injected"][0];
    let definition = r#"{"name":"few__look","description":"The tool look.","input_schema":{"type":"object","properties":{}}}"#;
    assert_eq!((&look["name"], &look["bytes"]), (&json!("few__look"), &json!(definition.len())));
    assert_eq!(look["tokens"], json!(definition.len().div_ceil(4)));
    let bytes: u64 =
        all["injected"].as_array().unwrap().iter().map(|tool| tool["bytes"].as_u64().unwrap()).sum();
    assert_eq!((&all["bytes"], &all["searched"]), (&json!(bytes), &json!([])));

    let guest = as_json(path, &["--key", "guest", "--provider", "anthropic"]).await;
    assert_eq!(guest["injected"], json!([]));
    assert_eq!(why(&guest, "left_out", "many/t00"), "`inject: never`");

    let toolgate = std::fs::read_to_string(folder.file()).unwrap();
    folder.write(
        "toolgate.yaml",
        &toolgate.replace("inject: always", "inject: { mode: always, max_tools: 20 }"),
    );
    let own = ["few__look", "toolgate__call_tool", "toolgate__find_tools"];
    let some = as_json(path, &["--key", "staff", "--provider", "openai", "--api", "responses"]).await;
    assert_eq!(texts(&some, "injected", "name"), own);
    assert_eq!(some["searched"].as_array().unwrap().len(), 30);
    assert!(why(&some, "searched", "many/t29").contains("inject.max_tools"));
    assert_eq!((&some["api"], &some["provider_takes"]), (&json!("responses"), &json!(128)));

    let full: Vec<String> = (0..126).map(|n| format!("mine_{n}")).collect();
    let mut arguments = vec!["--key", "staff", "--provider", "openai", "--client-tool", "few__look"];
    arguments.extend(full.iter().take(124).flat_map(|name| ["--client-tool", name.as_str()]));
    let crowded = as_json(path, &arguments).await;
    assert_eq!(texts(&crowded, "injected", "name"), &own[1..]);
    assert_eq!(why(&crowded, "left_out", "few/look"), "the client has a tool of this name");
}

#[tokio::test]
async fn explain_prints_what_then_goes_up() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let server = McpServer::new().echo("one").echo("two");
    folder.server("srv", &server.start().await);
    let toolgate = std::fs::read_to_string(folder.file()).unwrap();
    folder.write(
        "toolgate.yaml",
        &toolgate.replace("inject: always", "inject: { mode: always, max_tools: 1 }"),
    );
    let path = folder.0.path();
    for api in [Api::Messages, Api::Chat, Api::Responses] {
        let name = api.dialect().name();
        let of = if api == Api::Messages { "anthropic" } else { "openai" };
        let explanation = as_json(path, &["--provider", of, "--api", name]).await;
        let (code, out, _) = explain(path, &["--provider", of, "--api", name]).await;
        assert_eq!(code, 0);
        for words in ["anonymous at", "2 tools", "toolgate__find_tools", "found by search: 2", "srv/one"] {
            assert!(out.contains(words), "{words}\n{out}");
        }
        let process = Process::serve(&folder, &[]).await;
        process.logs("tools=2").await;
        provider.will_say(api, Mode::Whole, &[say("r1").text("Hello.")]);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.post(format!("http://{}{}", process.address, api.path()));
        request.json(&api.request(Mode::Whole, "Hi", &[])).send().await.unwrap();
        let sent = provider.requests().pop().unwrap();
        assert_eq!(sent.tool_names(), texts(&explanation, "injected", "name"), "{api:?}");
        let bytes: usize =
            sent.json()["tools"].as_array().unwrap().iter().map(|tool| tool.to_string().len()).sum();
        assert_eq!(explanation["bytes"], json!(bytes), "{api:?}");
        process.terminate().await;
    }
}

#[tokio::test]
async fn explain_asks_for_what_it_must_know() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, KEYS);
    for (arguments, told) in [
        (&["--provider", "openai"][..], "say which key with --key: there is staff, guest"),
        (&["--key", "staff"], "say which provider with --provider: there is anthropic, openai"),
        (&["--key", "boss", "--provider", "openai"], "there is no key named \"boss\": there is staff, guest"),
        (
            &["--key", "staff", "--provider", "anthropic", "--api", "chat"],
            "there is no API of this provider named \"chat\": there is messages",
        ),
    ] {
        let (code, out, error) = explain(folder.0.path(), arguments).await;
        assert_eq!((code, out.as_str()), (1, ""), "{error}");
        assert!(error.contains(told), "{error}");
    }
}
