//! The records as they leave: log lines, metrics, spans and events of a gateway that runs.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::watch;
use toolgate::config::{AuditLog, Otlp, Record, Webhook};

use crate::client::patiently;
use crate::mcp_server::{McpServer, text};
use crate::provider::Reply;
use crate::wire::{Api, Mode, all_forms, say};
use crate::world::{Builder, PROVIDER_KEY, World};

const CALLER_KEY: &str = "tg_caller-0123456789-secret";
const ADMIN_KEY: &str = "tg_admin-0123456789-secret";
const MCP_SECRET: &str = "mcp-token-0123456789";
const COLLECTOR_SECRET: &str = "collector-token-0123456789";
const WEBHOOK_SECRET: &str = "webhook-secret-0123456789";

/// Takes whatever is posted.
#[derive(Clone)]
struct Receiver {
    url: reqwest::Url,
    posts: Arc<Mutex<Vec<(String, Bytes)>>>,
    arrived: watch::Sender<usize>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let receiver = Self { url, posts: Arc::default(), arrived: watch::Sender::new(0) };
        let take = async |State(receiver): State<Self>, uri: http::Uri, body: Bytes| {
            receiver.posts.lock().unwrap().push((uri.path().to_owned(), body));
            receiver.arrived.send_modify(|arrived| *arrived += 1);
        };
        let routes = axum::Router::new().fallback(take).with_state(receiver.clone());
        tokio::task::spawn(std::future::IntoFuture::into_future(axum::serve(listener, routes)));
        receiver
    }

    /// What was posted to this path.
    fn posted(&self, path: &str) -> Vec<Bytes> {
        let posts = self.posts.lock().unwrap();
        posts.iter().filter(|(to, _)| to == path).map(|(_, body)| body.clone()).collect()
    }
}

/// A gateway whose records go out in every way, with all of their texts.
fn builder(receiver: &Receiver) -> Builder {
    let (collector, hook) = (receiver.url.clone(), receiver.url.join("/hook").unwrap());
    World::builder()
        .caller(CALLER_KEY, "alice", &["engineering"])
        .caller(ADMIN_KEY, "root", &["administrators"])
        .server("srv", McpServer::new().tool("look", text("42 birds")))
        .tune(|server| {
            if let toolgate::config::Transport::Http { headers, .. } = &mut server.transport {
                headers.insert("x-server-token".into(), SecretString::from(MCP_SECRET));
            }
        })
        .config(move |config| {
            let mut otlp = Otlp::new(collector);
            otlp.content = Record::Full;
            let header = SecretString::from(format!("Bearer {COLLECTOR_SECRET}"));
            otlp.headers.insert("authorization".into(), header);
            config.telemetry.otlp = Some(otlp);
            config.audit.webhooks = vec![Webhook {
                url: hook,
                key: Some(WEBHOOK_SECRET.as_bytes().to_vec().into()),
                records: vec![],
                content: Record::Full,
            }];
        })
}

/// Starts it with a log, in a folder that lasts.
async fn world(receiver: &Receiver, folder: &tempfile::TempDir) -> World {
    let log = AuditLog { file: Some(folder.path().join("audit.jsonl")), content: Record::Full };
    let mut world = builder(receiver).config(|config| config.audit.log = Some(log)).start().await;
    world.key = Some(CALLER_KEY.to_owned());
    world
}

/// Conversations of each kind, and some that go wrong.
async fn converse(world: &World) {
    for (api, mode) in all_forms() {
        let body = api.request(mode, "How many birds?", &["Read"]);
        let first = say("r1").call("c1", "srv__look", "{}").call("c2", "Read", "{\"path\":\"x\"}");
        world.provider.will_say(api, mode, &[first]);
        let answer = world.ask(api, &body).await;
        world.record(&answer).await;
        world
            .provider
            .will(Reply::error(401, &format!("{{\"error\":{{\"message\":\"bad key {PROVIDER_KEY}\"}}}}")));
        let answer = world.ask(api, &body).await;
        world.record(&answer).await;
        let answer = world.ask(api, &serde_json::json!({"model": 7})).await;
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn every_line_of_the_audits_log_fits_the_committed_schema() {
    let (receiver, folder) = (Receiver::start().await, tempfile::tempdir().unwrap());
    let world = world(&receiver, &folder).await;
    converse(&world).await;
    world.stop().await;
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/schemas/audit-log.schema.json");
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(schema).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let text = std::fs::read_to_string(folder.path().join("audit.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let errors: Vec<_> = validator.iter_errors(line).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{line}");
        let mut other = line.clone();
        other["surprise"] = true.into();
        assert!(!validator.is_valid(&other), "the schema lets anything pass");
    }
    let count = |kind: &str| lines.iter().filter(|line| line["record_type"] == kind).count();
    let forms = all_forms().count();
    assert_eq!((count("interception_start"), count("interception_end")), (3 * forms, 3 * forms));
    assert_eq!((count("tool_usage"), count("tool_outcome")), (2 * forms, 2 * forms), "one line a call");
    let starts = lines.iter().filter(|line| line["record_type"] == "interception_start");
    assert!(starts.into_iter().all(|line| line["initiator_id"] == "alice" && line["key"] == "alice-key"));
}

#[tokio::test]
async fn f55_no_outlet_tells_a_secret() {
    let (receiver, folder) = (Receiver::start().await, tempfile::tempdir().unwrap());
    let world = world(&receiver, &folder).await;
    converse(&world).await;
    let metrics = world.request("GET", "/metrics").bearer_auth(ADMIN_KEY).send().await.unwrap();
    let metrics = metrics.text().await.unwrap();
    world.stop().await;
    let spans = receiver.posted("/v1/traces");
    let events = receiver.posted("/hook");
    let log = std::fs::read(folder.path().join("audit.jsonl")).unwrap();
    assert!(!spans.is_empty() && !events.is_empty() && metrics.contains("toolgate_"));
    for (what, bytes) in
        [("log", log), ("metrics", metrics.into()), ("spans", spans.concat()), ("events", events.concat())]
    {
        let text = String::from_utf8_lossy(&bytes);
        assert!(what == "metrics" || text.contains("How many birds?"), "there is nothing in the {what}");
        for secret in [PROVIDER_KEY, CALLER_KEY, ADMIN_KEY, MCP_SECRET, COLLECTOR_SECRET, WEBHOOK_SECRET] {
            assert!(!text.contains(secret), "the {what} hold {secret}");
        }
    }
}

#[tokio::test]
async fn spans_reach_a_collector_as_children_of_the_clients() {
    let receiver = Receiver::start().await;
    let mut world = builder(&receiver).start().await;
    world.key = Some(CALLER_KEY.to_owned());
    let (api, mode) = (Api::Messages, Mode::Streamed);
    world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
    let sent = [("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")];
    let answer = world.post(api.path(), api.request(mode, "Hi", &[]).to_string(), &sent).await;
    world.record(&answer).await;
    // Without an end of the gateway: what waits goes out by itself.
    patiently("spans", receiver.arrived.subscribe().wait_for(|_| !receiver.posted("/v1/traces").is_empty()))
        .await
        .unwrap();
    let request = ExportTraceServiceRequest::decode(receiver.posted("/v1/traces")[0].clone()).unwrap();
    let spans = &request.resource_spans[0].scope_spans[0].spans;
    let names: Vec<_> = spans.iter().map(|span| span.name.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["chat", "chat", "chat", "tools/call"]);
    assert_eq!(spans[0].parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert!(spans[1..].iter().all(|span| span.parent_span_id == spans[0].span_id));
}

#[tokio::test]
async fn metrics_are_for_administrators_and_for_an_address_of_their_own() {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let receiver = Receiver::start().await;
    let mut world =
        builder(&receiver).config(|config| config.telemetry.metrics_listen = Some(address)).start().await;
    world.key = Some(CALLER_KEY.to_owned());
    let (api, mode) = (Api::Chat, Mode::Whole);
    world.provider.will_say(api, mode, &[say("r1").text("Hello.")]);
    let answer = world.ask(api, &api.request(mode, "Hi", &[])).await;
    world.record(&answer).await;

    let get = async |key: Option<&str>| {
        let request = world.request("GET", "/metrics");
        key.map_or_else(|| world.request("GET", "/metrics"), |key| request.bearer_auth(key))
            .send()
            .await
            .unwrap()
    };
    assert_eq!(get(None).await.status(), 401);
    assert_eq!(get(Some(CALLER_KEY)).await.status(), 403);
    let page = get(Some(ADMIN_KEY)).await;
    assert_eq!(page.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let page = page.text().await.unwrap();
    assert!(page.contains(r#"toolgate_mcp_server_state{server="srv",state="ready"} 1"#), "{page}");
    assert!(page.contains(r#"toolgate_interceptions_total{provider="openai",dialect="chat""#), "{page}");

    let open = world.http.get(format!("http://{address}/metrics"));
    let open = open.header("accept", "application/openmetrics-text").send().await.unwrap();
    assert!(open.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(open.text().await.unwrap().ends_with("# EOF\n"));
    let elsewhere = world.http.get(format!("http://{address}/v1/models")).send().await.unwrap();
    assert_eq!(elsewhere.status(), 404, "nothing else is there");
}
