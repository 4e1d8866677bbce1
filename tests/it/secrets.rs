//! F55: keys stay where they belong.

use std::collections::BTreeMap;
use toolgate::domain::ToolSettings;

use secrecy::SecretString;
use serde_json::{Value, json};
use toolgate::app::App;
use toolgate::config::{Config, Provider as ProviderConfig, ProviderKind, Transport};

use crate::client::Answer;
use crate::mcp_server::{McpServer, text};
use crate::process::{ConfigFolder, Process};
use crate::provider::{Provider, Reply};
use crate::wire::{APIS, Api, MODES, Mode, all_forms, named, say, unnamed};
use crate::world::{PROVIDER_KEY, World, server_config};

const CALLER_KEY: &str = "tg_caller-0123456789-secret";
const HEADER_SECRET: &str = "organisation-header-0123456789";
const MCP_SECRET: &str = "mcp-token-0123456789";
const SECRETS: [&str; 4] = [PROVIDER_KEY, CALLER_KEY, HEADER_SECRET, MCP_SECRET];

fn assert_no_secret_in(what: &str, text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{what} holds {secret}:\n{text}");
    }
}

/// An error that repeats the credentials it was sent, as OpenAI's do in part and proxies do in whole.
fn echo(api: Api) -> Value {
    let message = format!("Incorrect API key provided: {PROVIDER_KEY} (token {HEADER_SECRET})");
    match api {
        Api::Messages => {
            json!({"type": "error", "error": {"type": "authentication_error", "message": message}})
        }
        Api::Chat | Api::Responses => {
            json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}})
        }
    }
}

/// The same error as an event in the stream.
fn echo_in_stream(api: Api) -> String {
    match api {
        Api::Messages => named(&echo(api)),
        Api::Chat => unnamed(&echo(api)),
        Api::Responses => {
            let message = echo(api)["error"]["message"].clone();
            named(
                &json!({"type": "error", "code": "invalid_api_key", "message": message, "param": null, "sequence_number": 2}),
            )
        }
    }
}

async fn world() -> World {
    let mut world = World::builder()
        .caller(CALLER_KEY, "alice", &[])
        .server("srv", McpServer::new().tool("look", text("42 birds")))
        .provider_header("x-organisation-token", HEADER_SECRET)
        .start()
        .await;
    world.key = Some(CALLER_KEY.to_owned());
    world
}

async fn assert_no_secret_in_answer(world: &World, answer: &Answer) {
    assert_no_secret_in("the answer", &answer.body);
    assert_no_secret_in("the head of the answer", &format!("{:?}", answer.headers));
    assert!(
        answer.body.contains("Incorrect API key provided: [redacted]"),
        "the rest must stay: {}",
        answer.body
    );
    let record = world.record(answer).await;
    assert_no_secret_in("the record", &format!("{:?}{:?}", record.interception, record.calls));
}

#[tokio::test]
async fn f55_errors_that_repeat_the_organisations_key_come_down_without_it() {
    let world = world().await;
    for (api, mode) in all_forms() {
        let body = api.request(mode, "Hi", &[]);
        world.provider.will(Reply::error(401, &echo(api).to_string()));
        let answer = world.ask(api, &body).await;
        assert_eq!(answer.status, 401);
        assert_no_secret_in_answer(&world, &answer).await;

        // In a later round.
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}")]);
        world.provider.will(Reply::error(401, &echo(api).to_string()));
        let answer = world.ask(api, &body).await;
        assert_no_secret_in("the answer", &answer.body);
        let record = world.record(&answer).await;
        let said = &record.rounds.last().unwrap().text;
        assert!(said.contains("[redacted]"), "{said}");
        assert_no_secret_in("the record", said);
        assert_no_secret_in("the record", record.error());

        if mode == Mode::Streamed {
            let mut frames = api.frames(&say("r1").text("Hello."))[..2].to_vec();
            frames.push(echo_in_stream(api));
            world.provider.will(Reply::stream(frames));
            assert_no_secret_in_answer(&world, &world.ask(api, &body).await).await;
        }
    }
    let database = world.folder.path().join("toolgate.db");
    let _folder = world.stop().await;
    let kept = std::fs::read(&database).unwrap();
    assert_no_secret_in("the database", &String::from_utf8_lossy(&kept));
}

#[tokio::test]
async fn f55_what_is_only_relayed_comes_down_without_the_key_too() {
    let world = world().await;
    let body = Api::Messages.request(Mode::Whole, "Hi", &[]).to_string();
    world.provider.will(Reply::error(401, &echo(Api::Messages).to_string()));
    let answer = world.post("/v1/messages/count_tokens", body, &[]).await;
    assert_eq!(answer.status, 401);
    assert_no_secret_in_answer(&world, &answer).await;
    world.provider.will(Reply::error(401, &echo(Api::Chat).to_string()));
    let answer =
        Answer::read(world.request("GET", "/v1/models").bearer_auth(CALLER_KEY).send().await.unwrap()).await;
    assert_eq!(answer.status, 401);
    assert_no_secret_in("the answer", &answer.body);
    assert!(answer.body.contains("Incorrect API key provided: [redacted]"), "{}", answer.body);
}

#[tokio::test]
async fn f55_debug_output_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::loopback(vec![ProviderConfig {
        name: "openai".into(),
        kind: ProviderKind::OpenAi,
        base_url: "http://127.0.0.1:1/v1".into(),
        api_key: Some(PROVIDER_KEY.into()),
        headers: BTreeMap::from([("x-organisation-token".into(), HEADER_SECRET.into())]),
        settings: ToolSettings::default(),
        record: None,
    }]);
    config.store =
        toolgate::config::Store::sqlite(folder.path().join("toolgate.db"), config.store.durability);
    let mut over_http = server_config("http", "http://127.0.0.1:1/mcp".into(), true);
    let Transport::Http { headers, .. } = &mut over_http.transport else { unreachable!() };
    headers.insert("authorization".into(), SecretString::from(format!("Bearer {MCP_SECRET}")));
    let mut stdio = server_config("stdio", String::new(), true);
    let env = BTreeMap::from([("TOKEN".to_owned(), SecretString::from(MCP_SECRET))]);
    stdio.transport = Transport::Stdio { command: "no-such-program".into(), args: vec![], env, cwd: None };
    config.servers = vec![over_http, stdio];
    let dump = format!("{config:?}");
    assert!(dump.contains("REDACTED"), "{dump}");
    assert_no_secret_in("the configuration's dump", &dump);

    let app = App::start(config).await.unwrap();
    app.gateway().fleet.settled().await;
    assert_no_secret_in("the gateway's dump", &format!("{app:?}{:#?}", app.gateway().fleet.statuses()));
    app.close().await;

    let headers: http::HeaderMap =
        [("authorization", format!("Bearer {CALLER_KEY}")), ("x-api-key", CALLER_KEY.into())]
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .into_iter()
            .collect();
    let [caller] = toolgate::identity::callers(&toolgate::config::Auth::None).try_into().unwrap();
    let incoming = toolgate::gateway::Incoming {
        began: tokio::time::Instant::now(),
        caller: std::sync::Arc::new(caller),
        client: toolgate::identity::Client::from_headers(&headers),
        operation: toolgate::gateway::Operation {
            dialect: &toolgate::dialect::Chat,
            kind: ProviderKind::OpenAi,
            max_tools: usize::MAX,
            path: "/chat/completions",
            generates: true,
        },
        provider: None,
        query: None,
        headers,
    };
    assert_no_secret_in("the request's dump", &format!("{incoming:?}"));
}

#[tokio::test]
async fn f55_the_log_holds_no_secret_at_any_level() {
    for format in ["plain", "json"] {
        let provider = Provider::start().await;
        let hash = toolgate::identity::key::hash_in_hex(&CALLER_KEY.into());
        let keys = format!("keys: [{{name: laptop, user: alice, sha256: {hash}}}]\n");
        let folder = ConfigFolder::new(&provider, &keys);
        let url = McpServer::new().tool("look", text("42 birds")).start().await;
        std::fs::write(folder.0.path().join("token"), MCP_SECRET).unwrap();
        let server = format!(
            "name: srv\ntransport: http\nurl: {url}\nheaders: {{Authorization: 'Bearer ${{file:../token}}'}}\n"
        );
        folder.write("mcp-servers/srv.yaml", &server);
        let process = Process::serve(&folder, &["--log", "trace", "--log-format", format]).await;
        process.logs("the catalogue changed").await;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        for (api, mode) in APIS.into_iter().flat_map(|api| MODES.map(|mode| (api, mode))) {
            provider.will(Reply::error(401, &echo(api).to_string()));
            provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
            for (key, status) in
                [(CALLER_KEY, 401), (CALLER_KEY, 200), (&*format!("{CALLER_KEY}-wrong"), 401)]
            {
                let request = http.post(format!("http://{}{}", process.address, api.path())).bearer_auth(key);
                let answer =
                    Answer::read(request.json(&api.request(mode, "Hi", &[])).send().await.unwrap()).await;
                assert_eq!(answer.status, status, "{}", answer.body);
                let cookie =
                    http.get(format!("http://{}/v1/models", process.address)).header("cookie", CALLER_KEY);
                assert_eq!(cookie.send().await.unwrap().status(), 401);
            }
        }
        let (status, log) = process.terminate().await;
        assert!(status.success());
        assert!(
            log.contains("TRACE") && log.contains("refused") || log.contains("failed"),
            "there is no log: {log}"
        );
        let hits: Vec<_> =
            log.lines().filter(|line| SECRETS.iter().any(|secret| line.contains(secret))).collect();
        assert!(hits.is_empty(), "the log holds a secret, in {} lines such as:\n{}", hits.len(), hits[0]);
    }
}
