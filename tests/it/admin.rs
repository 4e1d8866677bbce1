//! The API for administrators, and the commands that use it.

use serde_json::{Value, json};

use crate::cli::run;
use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::process::{ConfigFolder, Process};
use crate::provider::Provider;
use crate::world::World;

const POLICY: &str = "
rules:
  - {name: staff, effect: allow, tools: ['*/look', '*/file*']}
  - {name: chief, effect: allow, groups: [chiefs], tools: ['*']}
  - {name: chiefs-administer, effect: allow, groups: [chiefs], actions: [administer], tools: ['open/*']}
";

/// Alice administers one of two servers; bob may see some tools of both.
async fn world() -> World {
    let server =
        || McpServer::new().tool("look", text("seen")).tool("hide", text("hidden")).echo("file/read");
    let bad = json!({"type": "object", "properties": {"a": {"$ref": "https://x.test/"}}});
    let open = server().tool_with("broken", bad, |_| Box::pin(async { text("never") }));
    World::builder()
        .server("open", open)
        .server("shut", server())
        .caller("tg_alice", "alice", &["chiefs"])
        .caller("tg_bob", "bob", &[])
        .policy(POLICY)
        .start()
        .await
}

async fn ask(world: &World, key: &str, method: &str, path: &str) -> (u16, String, Value) {
    let request = world.request(method, &format!("/api/v1{path}")).bearer_auth(key);
    let answer = patiently("the answer", request.send()).await.unwrap();
    let status = answer.status().as_u16();
    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    (status, kind, answer.json().await.unwrap())
}

fn tools(answer: &Value) -> Vec<String> {
    let name =
        |tool: &Value| format!("{}/{} {}", tool["server"], tool["tool"], tool["state"]).replace('"', "");
    answer["tools"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn f58_nobody_learns_of_what_he_may_neither_see_nor_administer() {
    let world = world().await;
    let (status, _, seen) = ask(&world, "tg_bob", "GET", "/tools").await;
    assert_eq!(status, 200);
    let bobs =
        ["open/file/read approved", "open/look approved", "shut/file/read approved", "shut/look approved"];
    assert_eq!(tools(&seen), bobs);
    let (status, _, servers) = ask(&world, "tg_bob", "GET", "/servers").await;
    assert_eq!((status, servers), (200, json!({"servers": []})));

    // What is hidden gets the same answer as what does not exist, but for the name that was asked for.
    for (hidden, unknown) in [("open__hide", "open__nothing"), ("shut/hide", "nowhere/nothing")] {
        let answer = |(status, kind, problem): (u16, String, Value), name: &str| {
            (status, kind, problem.to_string().replace(name, "NAME"))
        };
        let of_hidden = answer(ask(&world, "tg_bob", "GET", &format!("/tools/{hidden}")).await, hidden);
        let of_unknown = answer(ask(&world, "tg_bob", "GET", &format!("/tools/{unknown}")).await, unknown);
        assert_eq!(of_hidden, of_unknown);
        assert_eq!((of_hidden.0, of_hidden.1.as_str()), (404, "application/problem+json"));
    }
    for server in ["open", "shut", "nowhere"] {
        let (status, kind, problem) =
            ask(&world, "tg_bob", "POST", &format!("/servers/{server}/restart")).await;
        assert_eq!((status, kind.as_str()), (404, "application/problem+json"));
        let expected = json!({
            "type": "about:blank", "title": "Not Found", "status": 404,
            "detail": format!("there is no server \"{server}\" that you may administer"),
        });
        assert_eq!(problem, expected);
    }
    let everything = format!("{seen}");
    assert!(!everything.contains("hide") && !everything.contains("broken"), "{everything}");
}

#[tokio::test]
async fn an_administrator_sees_his_servers_whole_and_can_start_them_anew() {
    let world = world().await;
    let (_, kind, servers) = ask(&world, "tg_alice", "GET", "/servers").await;
    assert_eq!(kind, "application/json");
    let [server] = servers["servers"].as_array().unwrap().as_slice() else { panic!("{servers}") };
    assert_eq!((&server["name"], &server["state"]), (&"open".into(), &"ready".into()));
    assert_eq!(server["left_out"][0]["tool"], "broken");
    let (_, _, listed) = ask(&world, "tg_alice", "GET", "/tools").await;
    let alices = [
        "open/broken left-out",
        "open/file/read approved",
        "open/hide approved",
        "open/look approved",
        "shut/file/read approved",
        "shut/hide approved",
        "shut/look approved",
    ];
    assert_eq!(tools(&listed), alices);
    assert!(listed["tools"][0]["reason"].as_str().unwrap().contains("https://x.test/"), "{listed}");
    for name in ["/tools/open__file_read", "/tools/open/file/read"] {
        let (status, _, tool) = ask(&world, "tg_alice", "GET", name).await;
        assert_eq!((status, &tool["name"]), (200, &"open__file_read".into()), "{tool}");
        assert_eq!(tool["input_schema"]["type"], "object");
        assert_eq!(tool["listed"]["name"], "file/read");
    }
    let (_, _, others) = ask(&world, "tg_alice", "GET", "/tools/shut__look").await;
    assert_eq!((&others["description"], others.get("listed")), (&"The tool look.".into(), None));

    let (status, _, answer) = ask(&world, "tg_alice", "POST", "/servers/open/restart").await;
    assert_eq!((status, answer), (202, json!({"server": "open"})));
    let (status, ..) = ask(&world, "tg_alice", "POST", "/servers/shut/restart").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn mistakes_are_told_as_problems() {
    let world = world().await;
    for (key, method, path, status) in [
        ("tg_mallory", "GET", "/tools", 401),
        ("tg_alice", "GET", "/nothing", 404),
        ("tg_alice", "DELETE", "/tools", 405),
        ("tg_alice", "GET", "/servers/open/restart", 405),
    ] {
        let (got, kind, problem) = ask(&world, key, method, path).await;
        assert_eq!((got, kind.as_str()), (status, "application/problem+json"), "{method} {path}");
        assert_eq!((&problem["status"], &problem["type"]), (&status.into(), &"about:blank".into()));
    }
    let answer = world.request("GET", "/api/v1/tools").send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn the_commands_ask_the_running_gateway() {
    let provider = Provider::start().await;
    let folder = ConfigFolder::new(&provider, "");
    let mut failure = text("no such bird");
    failure["isError"] = true.into();
    let server = McpServer::new().tool("look", text("seen")).tool("fail", failure).echo("echo");
    folder.server("srv", &server.start().await);
    folder.server("down", "http://127.0.0.1:1/mcp");
    let process = Process::serve(&folder, &[]).await;
    process.logs("the catalogue changed").await;
    process.logs("MCP server failed").await;
    let url = format!("http://{}", process.address);
    let here = folder.0.path();
    let (code, out, error) = run(here, &["servers", "status", "--url", &url]).await;
    assert_eq!(code, 0, "{error}");
    let row = |name: &str| {
        out.lines().find(|line| line.trim_start().starts_with(name)).unwrap_or_default().to_owned()
    };
    assert!(row("srv ").contains("ready"), "{out}");
    assert!(!row("down ").contains("ready") && out.contains("down: connect: "), "{out}");
    let (_, out, _) = run(here, &["servers", "status", "srv", "--json", "--url", &url]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()[0]["approved"], json!(["echo", "fail", "look"]));
    let (code, out, _) = run(here, &["servers", "restart", "srv", "--url", &url]).await;
    assert_eq!((code, out.as_str()), (0, "srv starts anew\n"));
    process.logs("is to start anew").await;
    let (code, _, error) = run(here, &["servers", "restart", "nowhere", "--url", &url]).await;
    assert!(code == 1 && error.contains("no server \"nowhere\""), "{error}");

    let (_, out, _) = run(here, &["tools", "list", "--url", &url]).await;
    assert!(out.contains("srv__look") && out.contains("srv/look") && out.contains("The tool look."), "{out}");
    let (_, out, _) = run(here, &["tools", "list", "down", "--url", &url]).await;
    assert_eq!(out, "no tool that you may see\n");
    let (_, out, _) = run(here, &["tools", "show", "srv/look", "--url", &url]).await;
    assert!(out.contains("as models see it: srv__look") && out.contains("\"type\": \"object\""), "{out}");
    let (code, _, error) = run(here, &["tools", "show", "srv__nothing", "--url", &url]).await;
    assert!(code == 1 && error.contains("there is no tool"), "{error}");
    let call = async |more: &[&str]| {
        let arguments: Vec<&str> = ["tools", "call"].iter().chain(more).copied().collect();
        run(here, &[&arguments[..], &["--url", &url]].concat()).await
    };
    let (code, out, error) = call(&["srv__echo", r#"{"a":1}"#]).await;
    assert_eq!((code, out.as_str()), (0, "{\"a\":1}\n"), "{error}");
    let (_, out, _) = call(&["srv__look", "--json"]).await;
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["content"][0]["text"], "seen");
    let (code, out, _) = call(&["srv__fail"]).await;
    assert_eq!((code, out.as_str()), (1, "no such bird\n"));
    let (code, _, error) = call(&["srv__nothing"]).await;
    assert!(code == 1 && error.contains("Unknown tool: srv__nothing"), "{error}");
    let (code, _, error) = call(&["srv__look", "[1]"]).await;
    assert!(code == 1 && error.contains("must be a JSON object"), "{error}");

    let (code, _, error) = run(here, &["tools", "list", "--url", "http://127.0.0.1:1"]).await;
    assert!(code == 1 && error.contains("no gateway answers"), "{error}");
}

#[tokio::test]
async fn a_key_is_taken_from_a_file_and_never_shown() {
    let provider = Provider::start().await;
    let made = tempfile::tempdir().unwrap();
    let (_, out, _) = run(made.path(), &["keys", "new", "--name", "laptop", "--user", "alice"]).await;
    let key = out.split_whitespace().find(|word| word.starts_with("tg_")).unwrap().to_owned();
    let lines = &out[out.find("  - name").unwrap()..];
    let folder = ConfigFolder::new(&provider, &format!("keys:\n{lines}"));
    folder.server("srv", &McpServer::new().tool("look", text("seen")).start().await);
    let process = Process::serve(&folder, &[]).await;
    process.logs("the catalogue changed").await;
    let (url, here) = (format!("http://{}", process.address), folder.0.path());
    let (code, _, error) = run(here, &["tools", "list", "--url", &url]).await;
    assert!(code == 1 && error.contains("TOOLGATE_KEY"), "{error}");
    folder.write("key", &format!("{key}\n"));
    let (code, out, error) = run(here, &["tools", "list", "--url", &url, "--key-file", "key"]).await;
    assert!(code == 0 && out.contains("srv__look"), "{error}");
    let (code, out, _) = run(here, &["servers", "status", "--url", &url, "--key-file", "key"]).await;
    assert_eq!((code, out.as_str()), (0, "no server that you may administer\n"));
    folder.write("key", "tg_wrong\n");
    let (code, _, error) = run(here, &["tools", "list", "--url", &url, "--key-file", "key"]).await;
    assert!(code == 1 && error.contains("401") && !error.contains("tg_wrong"), "{error}");
}
