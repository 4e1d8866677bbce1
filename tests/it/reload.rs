//! Files of the configuration that change while the gateway runs.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::client::{Answer, Live};
use crate::mcp_server::{McpServer, text};
use crate::process::{ConfigFolder, Process};
use crate::provider::{Gate, Provider, Reply, Step};
use crate::wire::{Api, Mode, say};

async fn post(process: &Process, key: &str, mode: Mode, prompt: &str) -> reqwest::Response {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = http.post(format!("http://{}{}", process.address, Api::Chat.path())).bearer_auth(key);
    request.json(&Api::Chat.request(mode, prompt, &[])).send().await.unwrap()
}

/// The tools that go up with a conversation that begins now.
async fn tools(process: &Process, provider: &Provider, prompt: &str) -> Vec<String> {
    provider.will_say(Api::Chat, Mode::Whole, &[say("r1").text("Hello.")]);
    let answer = Answer::read(post(process, "any", Mode::Whole, prompt).await).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    provider.requests().last().unwrap().tool_names()
}

async fn server_with(tool: &str) -> (McpServer, String) {
    let server = McpServer::new().tool(tool, text("42"));
    let url = server.start().await;
    (server, url)
}

/// Takes the place of a file in one step, as editors do.
fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

#[tokio::test]
async fn f38_servers_come_and_go_with_their_files() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let (_a, a) = server_with("look").await;
    let (_b, b) = server_with("find").await;
    folder.server("a", &a);
    let process = Process::serve(&folder, &[]).await;
    process.logs("cause=\"a\"").await;
    assert_eq!(tools(&process, &provider, "one").await, ["a__look"]);

    folder.server("b", &b);
    let line = process.logs("the configuration was reloaded").await;
    assert!(line.contains("servers: b added"), "{line}");
    process.logs("cause=\"b\"").await;
    assert_eq!(tools(&process, &provider, "two").await, ["a__look", "b__find"]);
    assert_eq!(tools(&process, &provider, "one").await, ["a__look"], "a conversation keeps its tools");

    std::fs::remove_file(folder.0.path().join("mcp-servers/a.yaml")).unwrap();
    process.logs("servers: a removed").await;
    assert_eq!(tools(&process, &provider, "three").await, ["b__find"]);

    let denied = format!("name: b\ntransport: http\nurl: {b}\ntools: {{ deny: [find] }}\n");
    replace(&folder.0.path().join("mcp-servers/b.yaml"), &denied);
    process.logs("servers: b changed").await;
    assert!(tools(&process, &provider, "four").await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_anywhere_changes_nothing_anywhere() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let (_a, a) = server_with("look").await;
    let (_b, b) = server_with("find").await;
    folder.server("a", &a);
    let process = Process::serve(&folder, &[]).await;
    process.logs("cause=\"a\"").await;

    let policy = |expected: &str| {
        format!(
            "rules:\n  - {{ name: all, effect: allow, tools: ['*'] }}\ntests:\n  - {{ caller: {{ user: any }}, \
             tool: a/look, expect: {expected} }}\n"
        )
    };
    // A policy whose own test fails, and beside it a server that is as it should be.
    folder.write("policies/p.yaml", &policy("deny"));
    process.logs("the configuration was not reloaded").await;
    folder.server("b", &b);
    folder.write("mcp-servers/c.yaml", "name: c\ntransport: carrier-pigeon\n");
    process.logs("carrier-pigeon").await;
    assert_eq!(tools(&process, &provider, "one").await, ["a__look"]);

    std::fs::remove_file(folder.0.path().join("mcp-servers/c.yaml")).unwrap();
    replace(&folder.0.path().join("policies/p.yaml"), &policy("allow"));
    let line = process.logs("the configuration was reloaded").await;
    assert!(line.contains("servers: b added") && line.contains("policies"), "{line}");
    process.logs("cause=\"b\"").await;
    assert_eq!(tools(&process, &provider, "two").await, ["a__look", "b__find"]);
}

#[tokio::test]
async fn what_cannot_change_while_running_is_named_and_nothing_else_changes_with_it() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let process = Process::serve(&folder, &[]).await;
    let text = std::fs::read_to_string(folder.file()).unwrap();
    let moved = text.replace("inject: always", "inject: never").replace("127.0.0.1:0", "127.0.0.1:1");
    replace(&folder.file(), &moved);
    let line = process.logs("listen cannot change while the gateway runs").await;
    assert!(line.contains("was not reloaded"), "{line}");
    replace(&folder.file(), &text.replace("inject: always", "inject: never"));
    let line = process.logs("the configuration was reloaded").await;
    assert!(line.contains("inject"), "{line}");
}

#[tokio::test]
async fn a_hangup_reads_what_no_file_beside_the_configuration_tells_of() {
    let provider = Provider::start().await;
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("key");
    std::fs::write(&secret, "sk-first-0123456789").unwrap();
    let folder = ConfigFolder::new(&provider, "");
    let text = std::fs::read_to_string(folder.file()).unwrap();
    let reference = format!("${{file:{}}}", secret.display());
    folder.write("toolgate.yaml", &text.replace("${TOOLGATE_TEST_PROVIDER_KEY}", &reference));
    let process = Process::serve(&folder, &[]).await;
    let sent_key = async |prompt: &str| {
        tools(&process, &provider, prompt).await;
        let request = provider.requests().pop().unwrap();
        request.headers["authorization"].to_str().unwrap().to_owned()
    };
    assert_eq!(sent_key("one").await, "Bearer sk-first-0123456789");
    process.hang_up().await;
    process.logs("the configuration is as it was").await;
    std::fs::write(&secret, "sk-second-0123456789").unwrap();
    process.hang_up().await;
    let line = process.logs("the configuration was reloaded").await;
    assert!(line.contains("providers: anthropic changed, openai changed"), "{line}");
    assert!(!line.contains("sk-"), "{line}");
    assert_eq!(sent_key("two").await, "Bearer sk-second-0123456789");
}

/// As Kubernetes mounts a `ConfigMap`: every file is a link through one link, which is replaced.
#[tokio::test]
async fn a_mounted_volume_changes_by_its_link() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let (root, text) = (folder.0.path(), std::fs::read_to_string(folder.file()).unwrap());
    let version = |name: &str, text: &str| {
        folder.write(&format!("..{name}/toolgate.yaml"), text);
        std::os::unix::fs::symlink(format!("..{name}"), root.join("..data_tmp")).unwrap();
        std::fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    std::fs::remove_file(folder.file()).unwrap();
    version("first", &text);
    std::os::unix::fs::symlink("..data/toolgate.yaml", folder.file()).unwrap();
    let process = Process::serve(&folder, &[]).await;
    for (name, limit) in [("second", 7), ("third", 8)] {
        version(name, &format!("{text}limits: {{ max_rounds: {limit} }}\n"));
        process.logs_times(limit - 6, "the configuration was reloaded changes=limits").await;
    }
}

#[tokio::test]
async fn what_runs_goes_on_as_it_began_and_what_comes_meets_the_new_rules() {
    let provider = Provider::start().await;
    let hash =
        |key: &str| Sha256::digest(key.as_bytes()).iter().map(|b| format!("{b:02x}")).collect::<String>();
    let keys = |names: &[&str]| {
        let key = |name: &&str| format!("  - {{ name: {name}, user: {name}, sha256: {} }}\n", hash(name));
        format!("keys:\n{}", names.iter().map(key).collect::<String>())
    };
    let folder = ConfigFolder::new(&provider, &keys(&["alice", "bob"]));
    let gate = Gate::new();
    let (_server, url) = server_with("look").await;
    folder.server("srv", &url);
    let process = Process::serve(&folder, &[]).await;
    process.logs("cause=\"srv\"").await;

    // The first round calls a tool; the answer waits in its middle.
    let mut frames = Api::Chat.frames(&say("r1").text("Looking.").call("c1", "srv__look", "{}")).into_iter();
    let mut steps: Vec<Step> = frames.by_ref().take(2).map(|frame| Step::Bytes(frame.into())).collect();
    steps.push(Step::Wait(gate.clone()));
    steps.extend(frames.map(|frame| Step::Bytes(frame.into())));
    provider.will(Reply::steps(steps));
    let mut alice = Live::new(post(&process, "alice", Mode::Streamed, "Look").await);
    alice.until("Looking.").await;

    let text = std::fs::read_to_string(folder.file()).unwrap();
    replace(&folder.file(), &text.replace(&keys(&["alice", "bob"]), &keys(&["bob", "carol"])));
    let line = process.logs("the configuration was reloaded").await;
    assert!(line.contains("keys: carol added, alice removed"), "{line}");
    assert_eq!(post(&process, "alice", Mode::Whole, "Again").await.status(), 401);
    provider.will_say(Api::Chat, Mode::Streamed, &[say("r2").text("42.")]);
    gate.open();
    let answer = alice.rest().await;
    assert_eq!(answer.message(Api::Chat, Mode::Streamed).texts, ["Looking.\n\n42."]);
    provider.will_say(Api::Chat, Mode::Whole, &[say("r3").text("Hello.")]);
    assert_eq!(post(&process, "carol", Mode::Whole, "Hi").await.status(), 200);
}
