//! Which paths there are, with and without a provider in them, and what becomes of all others.

use serde_json::json;

use crate::client::Answer;
use crate::provider::Reply;
use crate::wire::{APIS, Api, Mode, all_forms, say};
use crate::world::{PROVIDER_KEY, World};

impl Api {
    /// The name of the provider that speaks this API in every [`World`].
    fn provider(self) -> &'static str {
        if self == Self::Messages { "anthropic" } else { "openai" }
    }
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::read(request.send().await.unwrap()).await
}

#[tokio::test]
async fn each_api_is_served_with_and_without_a_provider_and_with_its_query() {
    let world = World::builder().start().await;
    for (api, mode) in all_forms() {
        for prefix in [String::new(), format!("/{}", api.provider())] {
            world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
            let path = format!("{prefix}{}?beta=true&x=a%2Fb", api.path());
            let answer = world.post(&path, api.request(mode, "Hi", &[]).to_string(), &[]).await;
            assert_eq!(answer.message(api, mode).texts, ["Hello."], "{path}");
            let sent = world.provider.requests().pop().unwrap();
            let query = sent.query.as_deref();
            assert_eq!((&*sent.method, &*sent.path, query), ("POST", api.path(), Some("beta=true&x=a%2Fb")));
            assert_eq!(world.record(&answer).await.interception.start.provider, api.provider());
        }
    }
}

#[tokio::test]
async fn token_counts_pass_unchanged_and_are_recorded() {
    let world = World::builder().start().await;
    let body =
        "{ \"model\": \"m-1\",\n  \"messages\": [ ], \"unknown\": 1.50, \"tools\": [{\"name\": \"mine\"}] }";
    for path in ["/v1/messages/count_tokens?beta=true", "/anthropic/v1/messages/count_tokens?beta=true"] {
        let counted = "{ \"input_tokens\" : 2095 }";
        world.provider.will(Reply::new(200, "application/json", counted).header("request-id", "req_1"));
        let answer = world.post(path, body, &[]).await;
        assert_eq!(
            (answer.status, &*answer.body, answer.header("request-id")),
            (200, counted, Some("req_1"))
        );
        let sent = world.provider.requests().pop().unwrap();
        assert_eq!((&*sent.path, sent.query.as_deref()), ("/v1/messages/count_tokens", Some("beta=true")));
        assert_eq!(sent.body, body.as_bytes());
        let record = world.record(&answer).await;
        assert_eq!((record.outcome(), record.status()), ("completed", Some(200)));
        assert_eq!(record.interception.start.injection, "not-generating");
    }
    let error = r#"{"type":"error","error":{"type":"invalid_request_error","message":"no"}}"#;
    world.provider.will(Reply::error(400, error));
    let answer = world.post("/v1/messages/count_tokens", body, &[]).await;
    assert_eq!((answer.status, &*answer.body), (400, error));
    assert_eq!(world.record(&answer).await.outcome(), "failed");
}

#[tokio::test]
async fn the_list_of_models_is_passed_on() {
    let world = World::builder().start().await;
    let list = "{ \"data\": [ {\"id\":\"m-1\"} ] }";
    for (path, version, is_anthropic) in [
        ("/v1/models?limit=3", None, false),
        ("/v1/models?limit=3", Some("2023-06-01"), true),
        ("/openai/v1/models?limit=3", None, false),
        ("/anthropic/v1/models?limit=3", None, true),
    ] {
        world.provider.will(Reply::new(200, "application/json", list).header("x-more", "1"));
        let mut request = world.request("GET", path).header("x-api-key", "mine");
        if let Some(version) = version {
            request = request.header("anthropic-version", version);
        }
        let answer = send(request).await;
        assert_eq!((answer.status, &*answer.body, answer.header("x-more")), (200, list, Some("1")), "{path}");
        let sent = world.provider.requests().pop().unwrap();
        assert_eq!(
            (&*sent.method, &*sent.path, sent.query.as_deref()),
            ("GET", "/v1/models", Some("limit=3"))
        );
        let key = sent.headers.get("x-api-key").map(|key| key.to_str().unwrap());
        assert_eq!(key, is_anthropic.then_some(PROVIDER_KEY), "{path}");
    }
    assert_eq!(send(world.request("GET", "/nobody/v1/models")).await.error(Api::Chat).kind, "not_found");
    world.provider.will(Reply::error(401, r#"{"error":{"message":"who?"}}"#));
    let answer = send(world.request("GET", "/v1/models")).await;
    assert_eq!((answer.status, &*answer.body), (401, r#"{"error":{"message":"who?"}}"#));
}

#[tokio::test]
async fn health_needs_no_key() {
    let world = World::builder().caller("tg_alice", "alice", &[]).start().await;
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = send(world.request("GET", path)).await;
        assert_eq!((answer.status, &*answer.body), (200, body));
    }
}

#[tokio::test]
async fn f61_a_websocket_upgrade_is_426_and_probes_are_answered() {
    let world = World::builder().caller("tg_alice", "alice", &[]).start().await;
    for path in ["/v1/responses", "/openai/v1/responses"] {
        let request =
            world.request("GET", path).header("connection", "Upgrade").header("upgrade", "websocket");
        let answer = send(request.header("sec-websocket-version", "13").bearer_auth("tg_alice")).await;
        assert_eq!(answer.status, 426);
        assert!(answer.error(Api::Responses).message.contains("use POST"), "{}", answer.body);
    }
    for path in ["/", "/api/hello"] {
        assert_eq!(send(world.request("HEAD", path)).await.status, 200, "{path}");
    }
    assert_eq!(world.provider.requests().len(), 0);
}

#[tokio::test]
async fn every_other_path_and_method_is_404_in_json() {
    let world = World::builder().start().await;
    for (method, path) in [
        ("GET", "/v1/messages"),
        ("GET", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("DELETE", "/openai/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/messages/batches"),
        ("POST", "/v1/models"),
        ("POST", "/v1/messages/"),
        ("POST", "//v1/messages"),
        ("POST", "/openai/anthropic/v1/messages"),
        ("POST", "/healthz"),
        ("DELETE", "/readyz"),
        ("POST", "/"),
        ("GET", "/anything"),
        ("OPTIONS", "/v1/messages"),
    ] {
        let answer = send(world.request(method, path).body("{}")).await;
        assert_eq!(answer.status, 404, "{method} {path}");
        assert_eq!(answer.error(Api::Chat).kind, "not_found", "{method} {path}");
    }
    assert_eq!(world.provider.requests().len(), 0);
    assert_eq!(world.newest().await.len(), 0);
}

#[tokio::test]
async fn a_provider_that_does_not_speak_the_api_is_not_asked() {
    let world = World::builder().start().await;
    for api in APIS {
        let other = if api == Api::Messages { "openai" } else { "anthropic" };
        for (provider, words) in [(other, "does not speak"), ("nobody", "there is no provider")] {
            let path = format!("/{provider}{}", api.path());
            let answer = world.post(&path, api.request(Mode::Whole, "Hi", &[]).to_string(), &[]).await;
            let error = answer.error(api);
            assert_eq!(answer.status, 404);
            assert!(error.message.contains(words) && error.message.contains(provider), "{error:?}");
            let record = world.record(&answer).await;
            assert_eq!((record.outcome(), record.status()), ("refused", Some(404)));
        }
    }
    assert_eq!(world.provider.requests().len(), 0);
}

#[tokio::test]
async fn f50_no_request_starts_a_process_or_adds_a_server() {
    let world = World::builder().config(|config| config.hosted_tools.caller_mcp_servers = true).start().await;
    let marker = world.folder.path().join("started");
    let touch = marker.to_str().unwrap();
    let server = json!({"name": "evil", "type": "stdio", "transport": "stdio", "command": "touch", "args": [touch], "url": format!("file://{touch}")});
    for path in [
        "/mcp-servers",
        "/mcp",
        "/mcp/evil",
        "/api/v1/servers",
        "/api/v1/servers/evil",
        "/api/v1/servers/evil/restart",
        "/api/v1/tools",
        "/v1/mcp",
        "/v1/mcp/tools",
        "/admin/servers",
        "/v1/tools",
        "/config",
    ] {
        for method in ["POST", "PUT", "PATCH"] {
            let answer = send(world.request(method, path).json(&server)).await;
            assert!(
                (400..500).contains(&answer.status),
                "{method} {path}: {} {}",
                answer.status,
                answer.body
            );
        }
    }
    let servers = send(world.request("GET", "/api/v1/servers")).await;
    assert!(servers.status == 200 && !servers.body.contains("evil"), "{}", servers.body);
    for api in APIS {
        let mut body = api.request(Mode::Whole, "Hi", &[]);
        for key in ["mcp_servers", "mcpServers", "servers"] {
            body[key] = json!([server]);
        }
        world.provider.will_say(api, Mode::Whole, &[say("r1").text("Hello.")]);
        let answer = world.ask(api, &body).await;
        assert_eq!(answer.message(api, Mode::Whole).texts, ["Hello."]);
        assert_eq!(answer.header("x-toolgate-injection"), Some("no-tools"), "a server was added");
    }
    assert!(!marker.exists(), "a request started a process");
}
