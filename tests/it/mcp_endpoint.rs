//! Toolgate as an MCP server, in both eras: what callers see and call there, and what is recorded of it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use toolgate::config::{CallerHeader, Credentials, Sharing};

use crate::mcp_client::{LEGACY, MODERN, McpClient};
use crate::mcp_server::{McpServer, text};
use crate::provider::Gate;
use crate::vendor::{ALICE, BOB, Vendor, world_of};
use crate::world::{World, server_config};

#[path = "../../examples/conformance-server"]
#[allow(deprecated, reason = "2025-11-25 has sampling, logging and subscriptions")]
mod fixture {
    mod content;
    pub mod handler;
    mod inputs;
    mod tools;
}

const KEY: &str = "key-of-alice";
const OTHER_KEY: &str = "key-of-bob";

fn rich() -> Value {
    json!({
        "content": [
            {"type": "text", "text": "hello"},
            {"type": "resource_link", "uri": "file:///a", "name": "a"},
            {"type": "image", "data": "aGk=", "mimeType": "image/png"}
        ],
        "structuredContent": {"n": [1, null, {"deep": 1.5}]},
        "_meta": {"vendor/x": 1}
    })
}

/// A world with keys for two callers.
async fn with_keys(server: McpServer, policy: Option<&str>) -> World {
    let mut builder =
        World::builder().server("srv", server).caller(KEY, "alice", &[]).caller(OTHER_KEY, "bob", &[]);
    if let Some(policy) = policy {
        builder = builder.policy(policy);
    }
    let mut world = builder.start().await;
    world.key = Some(KEY.into());
    world
}

/// A world with the conformance suite's server, shared or with a connection for each session.
async fn with_fixture(sharing: Sharing) -> World {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let routes = fixture::handler::ConformanceServer::default().routes();
    tokio::task::spawn(async move { axum::serve(listener, routes).await });
    let server = server_config("fixture", url, false);
    World::builder()
        .config(|config| config.servers.push(toolgate::config::Server { sharing, ..server }))
        .start()
        .await
}

#[tokio::test]
async fn both_eras_list_and_call_under_injected_and_under_original_names() {
    let server = McpServer::new().tool("rich", rich()).echo("echo");
    let world = World::with(server.clone()).await;
    for (path, prefix) in [("/mcp", "srv__"), ("/mcp/srv", "")] {
        for client in McpClient::of_both_eras(&world, path).await {
            assert_eq!(client.tools().await, [format!("{prefix}echo"), format!("{prefix}rich")]);
            let mut result = client.call(&format!("{prefix}rich"), json!({})).await;
            let kind = result.as_object_mut().unwrap().remove("resultType");
            assert_eq!(kind, client.is_modern().then(|| json!("complete")));
            assert_eq!(result, rich(), "{path}");
            let echoed = client.call(&format!("{prefix}echo"), json!({"b": 1, "a": [2]})).await;
            assert_eq!(echoed["content"][0]["text"], r#"{"b":1,"a":[2]}"#);
        }
    }
    assert_eq!(server.calls().len(), 8);
}

#[tokio::test]
async fn a_call_is_an_interception_of_its_own_in_the_records() {
    let world = World::with(McpServer::new().tool("get", text("got"))).await;
    for client in McpClient::of_both_eras(&world, "/mcp").await {
        client.call("srv__get", json!({"x": 1})).await;
        let record = world.last_record().await;
        let start = &record.interception.start;
        assert_eq!((start.dialect.as_str(), start.injection.as_str()), ("mcp", "mcp"));
        assert_eq!(start.client, if client.is_modern() { "new-client" } else { "old-client" });
        assert_eq!((record.outcome(), record.call_outcomes()), ("completed", vec!["ok"]));
        let call = &record.calls[0];
        assert_eq!((call.via.as_deref(), call.tool.as_str()), (Some("mcp"), "srv__get"));
        assert_eq!((call.arguments.as_str(), call.rule.as_deref()), (r#"{"x":1}"#, Some("default-allow")));
        let result = call.outcome.as_ref().unwrap().result.as_deref().unwrap();
        assert!(result.contains(r#""text":"got""#), "{result}");
    }
}

#[tokio::test]
async fn what_the_schema_does_not_take_is_an_error_that_the_model_sees() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
    let server = McpServer::new().tool_with("get", schema, |_| Box::pin(async { text("got") }));
    let world = World::with(server.clone()).await;
    for client in McpClient::of_both_eras(&world, "/mcp").await {
        let result = client.call("srv__get", json!({"n": "one"})).await;
        assert_eq!(result["isError"], true);
        assert!(result["content"][0]["text"].as_str().unwrap().contains("/n"), "{result}");
        assert_eq!(world.last_record().await.call_outcomes(), ["invalid_arguments"]);
    }
    assert!(server.calls().is_empty());
}

const SEE_BUT_NOT_CALL: &str = "
rules:
  - { name: see, effect: allow, tools: ['*'], actions: [see_tool] }
  - { name: call, effect: allow, tools: ['srv/open'], actions: [call_tool] }
";

#[tokio::test]
async fn what_policy_forbids_is_not_run_and_the_records_say_so() {
    let server = McpServer::new().echo("open").echo("closed");
    let world = with_keys(server.clone(), Some(SEE_BUT_NOT_CALL)).await;
    for client in McpClient::of_both_eras(&world, "/mcp/srv").await {
        let result = client.call("closed", json!({})).await;
        assert_eq!(result["isError"], true);
        assert_eq!(world.last_record().await.call_outcomes(), ["denied"]);
    }
    assert!(server.calls().is_empty());
}

const ALICE_ALONE: &str = "
rules:
  - { name: alice, effect: allow, users: [alice], tools: ['*'] }
  - { name: bob, effect: allow, users: [bob], tools: ['other/*'] }
";

#[tokio::test]
async fn f58_what_a_caller_may_not_see_is_as_unknown_as_what_does_not_exist() {
    let world = with_keys(McpServer::new().echo("secret"), Some(ALICE_ALONE)).await;
    for client in McpClient::of_both_eras(&world, "/mcp").await {
        assert_eq!(client.tools().await, ["srv__secret"]);
    }
    let bob = McpClient::modern(&world, "/mcp").with_key(OTHER_KEY);
    assert!(bob.tools().await.is_empty());
    let hidden = bob.refused("tools/call", json!({"name": "srv__secret", "arguments": {}})).await;
    let absent = bob.refused("tools/call", json!({"name": "srv__nothing", "arguments": {}})).await;
    assert_eq!((&hidden["code"], &hidden["message"]), (&json!(-32602), &json!("Unknown tool: srv__secret")));
    assert_eq!(absent["message"], "Unknown tool: srv__nothing");
    let record = world.last_record().await;
    assert_eq!((record.error(), record.call_outcomes()), ("unknown tool", vec!["not_executed"]));
    assert_eq!((&*record.calls[0].tool, &record.calls[0].server), ("tools/call", &None));

    let mut answers = Vec::new();
    for path in ["/mcp/srv", "/mcp/nowhere"] {
        let client = McpClient::modern(&world, path).with_key(OTHER_KEY);
        let response = client.post(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})).await;
        answers.push((response.status(), response.text().await.unwrap()));
    }
    assert_eq!(answers[0].0, StatusCode::NOT_FOUND);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn without_a_key_the_answer_says_where_to_learn_how_to_get_one() {
    let world = with_keys(McpServer::new().echo("echo"), None).await;
    for path in ["/mcp", "/mcp/srv", "/mcp/nowhere"] {
        let request = world.request("POST", path).body("{}").send().await.unwrap();
        assert_eq!(request.status(), StatusCode::UNAUTHORIZED);
        let challenge = request.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let url = format!("http://{}/.well-known/oauth-protected-resource{path}", world.gateway);
        assert_eq!(challenge, format!("Bearer resource_metadata=\"{url}\""));
        let metadata: Value = world.http.get(&url).send().await.unwrap().json().await.unwrap();
        assert_eq!(metadata["resource"], format!("http://{}{path}", world.gateway));
        assert_eq!(metadata["bearer_methods_supported"], json!(["header"]));
    }
    let wrong = McpClient::modern(&world, "/mcp").with_key("wrong").post(&json!({})).await;
    assert!(wrong.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
}

#[tokio::test]
async fn f56_pages_and_names_that_are_not_the_gateways_own_are_refused() {
    let world = World::with(McpServer::new().echo("echo")).await;
    let own = format!("http://{}", world.gateway);
    let port = world.gateway.port();
    for (host, origin, expected) in [
        (None, None, StatusCode::OK),
        (None, Some(own.as_str()), StatusCode::OK),
        (Some(format!("localhost:{port}")), None, StatusCode::OK),
        (Some("evil.example.com".into()), None, StatusCode::FORBIDDEN),
        (Some("127.0.0.1.evil.example.com".into()), None, StatusCode::FORBIDDEN),
        (None, Some("https://evil.example.com"), StatusCode::FORBIDDEN),
        (None, Some("null"), StatusCode::FORBIDDEN),
        (None, Some("http://127.0.0.1:1"), StatusCode::FORBIDDEN),
    ] {
        let client = McpClient::modern(&world, "/mcp");
        let mut request = client.build(Method::POST).header("content-type", "application/json");
        if let Some(host) = &host {
            request = request.header("host", host);
        }
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), expected, "host {host:?}, origin {origin:?}");
    }
}

#[tokio::test]
async fn a_session_belongs_to_its_caller_and_its_endpoint_and_ends_when_it_is_deleted() {
    let world = with_keys(McpServer::new().echo("echo"), None).await;
    let alice = McpClient::legacy(&world, "/mcp", json!({})).await;
    let session = alice.session.clone();
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    let mut bob = McpClient::modern(&world, "/mcp").with_key(OTHER_KEY);
    bob.session.clone_from(&session);
    let mut elsewhere = McpClient::modern(&world, "/mcp/srv");
    elsewhere.session.clone_from(&session);
    for stranger in [&bob, &elsewhere] {
        assert_eq!(stranger.post(&list).await.status(), StatusCode::NOT_FOUND);
        let deleted = stranger.build(Method::DELETE).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::NOT_FOUND);
    }
    assert_eq!(alice.post(&list).await.status(), StatusCode::OK);
    assert_eq!(alice.build(Method::DELETE).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(alice.post(&list).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_on_its_server_if_it_changes_nothing() {
    let gate = Gate::default();
    let server = McpServer::new().gated("slow", &gate);
    let world = World::builder().read_only_server("srv", server.clone()).start().await;
    let [modern, legacy] = McpClient::of_both_eras(&world, "/mcp").await;

    let arguments = json!({"name": "srv__slow", "arguments": {}});
    let request = tokio::select! {
        _ = modern.answer("tools/call", arguments.clone()) => panic!("the gate is closed"),
        () = server.arrived(1) => modern,
    };
    drop(request);
    server.cancelled(1).await;
    assert_eq!(world.last_record().await.call_outcomes(), ["cancelled"]);

    let asking = legacy.answer("tools/call", arguments);
    let cancelling = async {
        server.arrived(2).await;
        // Ids begin with 1, and nothing was asked before.
        legacy.notify("notifications/cancelled", json!({"requestId": 1})).await;
    };
    tokio::join!(asking, cancelling);
    server.cancelled(2).await;
    let record = world.last_record().await;
    assert_eq!((record.outcome(), record.call_outcomes()), ("cancelled", vec!["cancelled"]));
}

#[tokio::test]
async fn a_call_that_may_change_something_finishes_and_its_outcome_is_recorded() {
    let gate = Gate::default();
    let server = McpServer::new().gated("write", &gate);
    let world = World::with(server.clone()).await;
    let client = McpClient::modern(&world, "/mcp");
    tokio::select! {
        _ = client.answer("tools/call", json!({"name": "srv__write", "arguments": {}})) => panic!("the gate is closed"),
        () = server.arrived(1) => {}
    }
    gate.open();
    let record = world.last_record().await;
    assert_eq!((record.outcome(), record.call_outcomes()), ("cancelled", vec!["ok"]));
    assert_eq!(server.cancellations(), 0);
}

#[tokio::test]
async fn progress_comes_with_the_clients_own_token() {
    let world = with_fixture(Sharing::Shared).await;
    for client in McpClient::of_both_eras(&world, "/mcp/fixture").await {
        let params =
            json!({"name": "test_tool_with_progress", "arguments": {}, "_meta": {"progressToken": "mine"}});
        let (id, mut messages) = client.open("tools/call", params).await;
        for done in [0.0, 50.0, 100.0] {
            let progress = messages.next_of("notifications/progress").await;
            assert_eq!(progress["params"]["progressToken"], "mine");
            assert_eq!(progress["params"]["progress"].as_f64(), Some(done));
        }
        assert_eq!(messages.last().await["id"], id);
    }
}

#[tokio::test]
async fn f46_what_was_brought_of_a_server_besides_tools_is_on_record() {
    let world = with_fixture(Sharing::Shared).await;
    let prompt = "test_prompt_with_arguments";
    let asked = [
        ("prompts/get", json!({"name": prompt, "arguments": {"arg1": "a", "arg2": "b"}}), "ok"),
        ("resources/read", json!({"uri": "test://template/7/data"}), "ok"),
        ("resources/read", json!({"uri": "test://nothing"}), "tool_error"),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": prompt}, "argument": {"name": "arg1", "value": "t"}}),
            "ok",
        ),
    ];
    for client in McpClient::of_both_eras(&world, "/mcp/fixture").await {
        let before = world.newest().await.len();
        client.ask("prompts/list", json!({})).await;
        for (number, (method, params, outcome)) in asked.iter().enumerate() {
            let answer = client.answer(method, params.clone()).await;
            world.admitted(before + number + 1).await;
            let record = world.last_record().await;
            assert_eq!((record.outcome(), &*record.interception.start.dialect), ("completed", "mcp"));
            let [call] = record.calls.as_slice() else { panic!("{:?}", record.calls) };
            assert_eq!((call.tool.as_str(), call.via.as_deref()), (*method, Some("mcp")));
            assert_eq!((call.server.as_deref(), call.injected), (Some("fixture"), true));
            assert!(call.server_url.as_ref().unwrap().starts_with("http://127.0.0.1"));
            assert_eq!(serde_json::from_str::<Value>(&call.arguments).unwrap(), *params);
            let end = call.outcome.as_ref().unwrap();
            assert_eq!((&*end.outcome, end.duration_us.is_some()), (*outcome, true), "{method}");
            let said = if *outcome == "ok" { &answer["result"] } else { &answer["error"] };
            let words = said["contents"][0]["text"].as_str().or(said["message"].as_str()).unwrap_or_default();
            let words = Value::from(words).to_string();
            assert!(end.result.as_ref().unwrap().contains(words.trim_matches('"')), "{:?}", end.result);
        }
    }
}

#[tokio::test]
async fn one_servers_prompts_and_resources_go_through_and_all_servers_have_none() {
    let world = with_fixture(Sharing::Shared).await;
    for client in McpClient::of_both_eras(&world, "/mcp/fixture").await {
        let prompt = json!({"name": "test_prompt_with_arguments", "arguments": {"arg1": "a", "arg2": "b"}});
        let got = client.ask("prompts/get", prompt).await;
        assert_eq!(got["messages"][0]["content"]["text"], "Prompt with arguments: arg1='a', arg2='b'");
        let read = client.ask("resources/read", json!({"uri": "test://template/7/data"})).await;
        assert!(read["contents"][0]["text"].as_str().unwrap().contains("Data for ID: 7"));
        assert_eq!(read.get("ttlMs").is_some(), client.is_modern());
        let absent = client.refused("resources/read", json!({"uri": "test://nothing"})).await;
        assert_eq!(absent["data"]["uri"], "test://nothing");
        let listed = client.ask("resources/templates/list", json!({})).await;
        assert_eq!(listed["resourceTemplates"].as_array().unwrap().len(), 1);
    }
    for client in McpClient::of_both_eras(&world, "/mcp").await {
        let (_, messages) = client.open("prompts/list", json!({})).await;
        let status = if client.is_modern() { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(messages.status(), status);
        assert_eq!(messages.last().await["error"]["code"], -32601);
    }
}

#[tokio::test]
async fn a_server_asks_the_client_of_the_session_that_has_a_connection_of_its_own() {
    let world = with_fixture(Sharing::PerConversation).await;
    let client = McpClient::legacy(&world, "/mcp/fixture", json!({"sampling": {}, "elicitation": {}})).await;
    let params = json!({"name": "test_sampling", "arguments": {"prompt": "Say hi"}});
    let (id, mut messages) = client.open("tools/call", params).await;
    let question = messages.next_of("sampling/createMessage").await;
    assert_eq!(question["params"]["messages"][0]["content"]["text"], "Say hi");
    let said = json!({"role": "assistant", "content": {"type": "text", "text": "hi"}, "model": "m", "stopReason": "endTurn"});
    client.reply(&question, said).await;
    let answer = messages.last().await;
    assert_eq!(
        (&answer["id"], &answer["result"]["content"][0]["text"]),
        (&json!(id), &json!("LLM response: hi"))
    );
}

#[tokio::test]
async fn a_stateless_client_is_asked_in_the_result() {
    let world = with_fixture(Sharing::Shared).await;
    let client = McpClient::modern(&world, "/mcp/fixture").that_can(json!({"sampling": {}}));
    let asked = client.call("test_input_required_result_capabilities", json!({})).await;
    assert_eq!(asked["resultType"], "input_required");
    let asked_for: Vec<&String> = asked["inputRequests"].as_object().unwrap().keys().collect();
    assert_eq!(asked_for, ["greeting"]);
    let without = McpClient::modern(&world, "/mcp/fixture");
    let (_, messages) =
        without.open("tools/call", json!({"name": "test_missing_capability", "arguments": {}})).await;
    assert_eq!(messages.status(), StatusCode::BAD_REQUEST);
    assert_eq!(messages.last().await["error"]["code"], -32021);
}

#[tokio::test]
async fn f38_changes_are_told_in_both_eras() {
    let world = with_fixture(Sharing::Shared).await;
    let [modern, legacy] = McpClient::of_both_eras(&world, "/mcp/fixture").await;
    let mut told = legacy.listen().await;
    let wanted = json!({"toolsListChanged": true, "promptsListChanged": true});
    let (id, mut subscribed) = modern.open("subscriptions/listen", json!({"notifications": wanted})).await;
    let acknowledged = subscribed.next().await.unwrap();
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], wanted);

    modern.call("test_trigger_tool_change", json!({})).await;
    let changed = subscribed.next_of("notifications/tools/list_changed").await;
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], id);
    told.next_of("notifications/tools/list_changed").await;
    assert!(modern.tools().await.contains(&"test_dynamic_tool".to_owned()));

    modern.call("test_trigger_prompt_change", json!({})).await;
    subscribed.next_of("notifications/prompts/list_changed").await;
    world.begin_to_stop().await;
    // A stream does not keep the gateway from closing, and says that it ends.
    assert_eq!(subscribed.last().await["id"], id);
}

#[tokio::test]
async fn a_stateless_request_says_what_it_is_in_its_headers_too() {
    let world = World::with(McpServer::new().echo("echo")).await;
    let client = McpClient::modern(&world, "/mcp");
    let meta = |version: &str| json!({"io.modelcontextprotocol/protocolVersion": version, "io.modelcontextprotocol/clientCapabilities": {}});
    let list =
        |meta: Value| json!({"jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {"_meta": meta}});
    for (version, method, message, code) in [
        (MODERN, "tools/list", list(meta(MODERN)), 0),
        (MODERN, "tools/call", list(meta(MODERN)), -32020),
        (LEGACY, "tools/list", list(meta(MODERN)), -32020),
        ("2099-01-01", "tools/list", list(meta("2099-01-01")), -32022),
        (MODERN, "tools/list", list(json!({})), -32602),
    ] {
        let request = client.build(Method::POST).header("content-type", "application/json");
        let request = request.header("mcp-protocol-version", version).header("mcp-method", method);
        let response = request.body(message.to_string()).send().await.unwrap();
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["id"], 7);
        assert_eq!(answer["error"]["code"].as_i64().unwrap_or_default(), code, "{answer}");
        assert_eq!(status.is_success(), code == 0);
    }
}

#[tokio::test]
async fn what_is_no_message_is_refused() {
    let world = World::builder().server("srv", McpServer::new().echo("echo")).config(|config| {
        config.limits.max_body_bytes = 4096;
    });
    let world = world.start().await;
    let client = McpClient::modern(&world, "/mcp");
    for (body, expected) in [
        ("{", StatusCode::BAD_REQUEST),
        ("[]", StatusCode::BAD_REQUEST),
        (r#"{"jsonrpc": "2.0", "id": 1}"#, StatusCode::BAD_REQUEST),
        (r#"{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}"#, StatusCode::BAD_REQUEST),
        (&format!("\"{}\"", "x".repeat(5000)), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let request = client.build(Method::POST).header("content-type", "application/json");
        assert_eq!(request.body(body.to_owned()).send().await.unwrap().status(), expected, "{body:.40}");
    }
    let wrong_type =
        client.build(Method::POST).header("content-type", "text/plain").body("{}").send().await.unwrap();
    assert_eq!(wrong_type.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(client.build(Method::PUT).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_server_that_is_down_keeps_its_tools_and_its_calls_fail_where_the_model_sees_it() {
    let server = McpServer::new().echo("echo");
    let world = World::with(server.clone()).await;
    let clients = McpClient::of_both_eras(&world, "/mcp/srv").await;
    server.go_down();
    for client in clients {
        assert_eq!(client.tools().await, ["echo"]);
        let result = client.call("echo", json!({})).await;
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(world.last_record().await.error(), "the server did not answer: unreachable");
    }
}

#[tokio::test]
async fn a_caller_with_its_own_credential_is_the_first_to_see_a_servers_tools() {
    const HEADER: &str = "x-toolgate-notes-token";
    for (path, tool) in [("/mcp/srv", "whoami"), ("/mcp", "srv__whoami")] {
        let vendor = Vendor::start().await;
        vendor.accepts("alice-s3cret", "alice@vendor");
        let world = world_of(&vendor, |server| {
            server.sharing = Sharing::PerCaller;
            server.credentials = Credentials::CallerHeader(CallerHeader {
                header: HEADER.into(),
                send_as: "authorization".into(),
            });
        })
        .await;
        let bob = McpClient::modern(&world, path).with_key(BOB);
        if path == "/mcp" {
            assert!(bob.tools().await.is_empty(), "who shows nothing learns nothing");
        } else {
            let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
            assert_eq!(bob.post(&list).await.status(), StatusCode::NOT_FOUND);
        }
        let alice = McpClient::modern(&world, path).with_key(ALICE).showing(HEADER, "alice-s3cret");
        assert!(alice.tools().await.contains(&tool.to_owned()));
        let who = alice.call(tool, json!({})).await;
        assert!(who["content"][0]["text"].as_str().unwrap().starts_with("alice@vendor"), "{who}");
    }
}

#[tokio::test]
async fn who_listens_takes_no_place_from_what_runs_and_who_begins_a_session_needs_one() {
    let gate = Gate::default();
    let server = McpServer::new().gated("slow", &gate);
    let world = World::builder().server("srv", server.clone()).config(|config| {
        config.limits.max_interceptions = 1;
    });
    let world = world.start().await;
    let client = McpClient::modern(&world, "/mcp");
    let wanted = json!({"notifications": {"toolsListChanged": true}});
    let (_, mut listening) = client.open("subscriptions/listen", wanted).await;
    listening.next_of("notifications/subscriptions/acknowledged").await;
    let calling = client.call("srv__slow", json!({}));
    let meanwhile = async {
        server.arrived(1).await;
        let params = json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        let begin = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params});
        let busy = client.post(&begin).await.status();
        gate.open();
        busy
    };
    let (result, busy) = tokio::join!(calling, meanwhile);
    assert_eq!((busy, &result["content"][0]["text"]), (StatusCode::TOO_MANY_REQUESTS, &json!("slow")));
}
