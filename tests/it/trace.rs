//! The client's trace goes on: to the provider, to MCP servers, and into the records.

use serde_json::{Value, json};
use toolgate::config::Otlp;
use toolgate::domain::{SpanId, Trace};

use crate::mcp_client::McpClient;
use crate::mcp_server::{McpServer, text};
use crate::wire::{Api, Mode, all_forms, say};
use crate::world::World;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SENT: &[(&str, &str)] =
    &[("traceparent", PARENT), ("tracestate", "vendor=1"), ("baggage", "user=alice")];

/// The span that a `traceparent` of the client's trace names.
fn span(traceparent: &str) -> String {
    let parts: Vec<_> = traceparent.split('-').collect();
    let ["00", TRACE, span, "01"] = parts.as_slice() else { panic!("{traceparent}") };
    (*span).to_owned()
}

#[tokio::test]
async fn provider_and_servers_are_told_the_spans_that_ask_them() {
    for (api, mode) in all_forms() {
        let server = McpServer::new().tool("look", text("42 birds"));
        let world = World::with(server.clone()).await;
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
        let answer = world.post(api.path(), api.request(mode, "Hi", &[]).to_string(), SENT).await;
        assert_eq!(answer.message(api, mode).texts, ["42."]);
        let record = world.record(&answer).await;

        let rounds: Vec<_> = world.provider.requests().into_iter().map(|request| request.headers).collect();
        for (headers, number) in rounds.iter().zip(1..) {
            let told = span(headers["traceparent"].to_str().unwrap());
            assert_eq!(told, SpanId::of_round(record.id, number).to_string());
            assert_eq!(headers["tracestate"], "vendor=1");
            assert!(headers.get("baggage").is_none(), "what a client says of its users is for nobody else");
        }
        assert_eq!(rounds.len(), 2);

        let [meta] = server.metas().try_into().unwrap();
        let told = span(meta["traceparent"].as_str().unwrap());
        assert_eq!(told, SpanId::of_call(record.calls[0].id).to_string());
        assert_eq!(meta["tracestate"], "vendor=1");
        assert!(meta.get("baggage").is_none(), "{meta}");

        let kept = record.interception.start.trace.as_deref().unwrap();
        let kept: Trace = kept.parse().unwrap();
        assert_eq!((kept.id_hex().as_str(), kept.span), (TRACE, SpanId::of_interception(record.id)));
        assert_eq!(kept.parent.unwrap().to_string(), "b7ad6b7169203331");
    }
}

#[tokio::test]
async fn nobody_is_told_of_a_trace_that_nobody_follows() {
    let server = McpServer::new().tool("look", text("42 birds"));
    let world = World::with(server.clone()).await;
    let (api, mode) = (Api::Chat, Mode::Streamed);
    for broken in [None, Some("00-nonsense-01")] {
        world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
        let headers: Vec<_> = broken.map(|value| ("traceparent", value)).into_iter().collect();
        let answer = world.post(api.path(), api.request(mode, "Hi", &[]).to_string(), &headers).await;
        let record = world.record(&answer).await;
        let kept: Trace = record.interception.start.trace.as_deref().unwrap().parse().unwrap();
        assert!(kept.parent.is_none(), "a new trace begins");
    }
    assert!(server.metas().iter().all(|meta| meta.get("traceparent").is_none()));
    let went_up = world.provider.requests();
    assert!(went_up.iter().all(|request| !request.headers.contains_key("traceparent")));
}

#[tokio::test]
async fn where_the_gateways_own_spans_go_somewhere_all_are_told() {
    let server = McpServer::new().tool("look", text("42 birds"));
    let world = World::builder()
        .server("srv", server.clone())
        .config(|config| config.telemetry.otlp = Some(Otlp::new("http://127.0.0.1:9".parse().unwrap())))
        .start()
        .await;
    let (api, mode) = (Api::Messages, Mode::Whole);
    world.provider.will_say(api, mode, &[say("r1").call("c1", "srv__look", "{}"), say("r2").text("42.")]);
    let answer = world.ask(api, &api.request(mode, "Hi", &[])).await;
    let record = world.record(&answer).await;
    let kept: Trace = record.interception.start.trace.as_deref().unwrap().parse().unwrap();
    let expected = kept.traceparent(SpanId::of_call(record.calls[0].id));
    assert_eq!(server.metas()[0]["traceparent"], expected);
    let up = &world.provider.requests()[1].headers["traceparent"];
    assert_eq!(up, kept.traceparent(SpanId::of_round(record.id, 2)).as_str());
}

#[tokio::test]
async fn an_mcp_clients_trace_goes_on_too() {
    let server = McpServer::new().tool("look", text("42 birds"));
    let world = World::with(server.clone()).await;
    let client = McpClient::modern(&world, "/mcp");
    let meta = json!({"traceparent": PARENT, "baggage": "user=alice"});
    let params = json!({"name": "srv__look", "arguments": {}, "_meta": meta});
    let result = client.ask("tools/call", params).await;
    assert_eq!(result["content"][0]["text"], "42 birds");
    let record = world.last_record().await;
    let [meta]: [Value; 1] = server.metas().try_into().unwrap();
    assert_eq!(span(meta["traceparent"].as_str().unwrap()), SpanId::of_call(record.calls[0].id).to_string());
    assert!(meta.get("baggage").is_none(), "{meta}");
}
