use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use secrecy::SecretString;

use super::*;
use crate::audit::{Outlet, Published};
use crate::domain::SpanId;
use crate::store::records::Row;
use crate::telemetry::testing::{self, Receiver};

fn to(receiver: &Receiver, content: Record) -> Otlp {
    let headers = BTreeMap::from([("authorization".to_owned(), SecretString::from("Bearer hush"))]);
    Otlp { headers, content, ..Otlp::new(receiver.url.join("/otlp/").unwrap()) }
}

/// What the collector got of these records.
async fn sent(settings: &Otlp, records: &[Published]) -> u64 {
    let ending = CancellationToken::new();
    let (feed, task) = start(settings, "gate-1", ending.clone()).unwrap();
    feed.publish(records);
    ending.cancel();
    task.await;
    feed.losses().count()
}

async fn spans(receiver: &Receiver) -> Vec<Span> {
    let posts = receiver.posts(1).await;
    let traces = posts.iter().filter(|post| post.path == "/otlp/v1/traces");
    let requests = traces.map(|post| ExportTraceServiceRequest::decode(post.body.clone()).unwrap());
    let scopes =
        requests.flat_map(|request| request.resource_spans).flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn words(attributes: &[KeyValue]) -> BTreeMap<&str, String> {
    let word = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::ArrayValue(values) => {
            values.values.iter().map(|value| format!("{:?}", value.value)).collect::<Vec<_>>().concat()
        }
        other => format!("{other:?}"),
    };
    attributes
        .iter()
        .map(|it| (it.key.as_str(), word(it.value.as_ref().unwrap().value.as_ref().unwrap())))
        .collect()
}

#[tokio::test]
async fn an_interception_becomes_spans_of_the_clients_trace_under_the_conventions_names() {
    let receiver = Receiver::start().await;
    let records = testing::interception();
    assert_eq!(sent(&to(&receiver, Record::None), &records).await, 0);
    let posts = receiver.posts(1).await;
    assert!(posts.iter().all(|post| post.headers["authorization"] == "Bearer hush"));
    assert_eq!(posts[0].headers["content-type"], "application/x-protobuf");
    let spans = spans(&receiver).await;
    let names: Vec<_> = spans.iter().map(|span| (span.name.as_str(), span.kind())).collect();
    assert_eq!(
        names,
        [
            ("chat claude-x-1", SpanKind::Server),
            ("chat claude-x-1", SpanKind::Client),
            ("chat claude-x-1", SpanKind::Client),
            ("tools/call count", SpanKind::Client),
        ]
    );
    let trace = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes();
    assert!(spans.iter().all(|span| span.trace_id == trace && span.span_id.len() == 8));
    let [root, first, second, call] = spans.as_slice() else { panic!("{} spans", spans.len()) };
    assert_eq!(root.span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    for child in [first, second, call] {
        assert_eq!(child.parent_span_id, root.span_id);
    }
    let (Row::Start(start), Row::ToolUse(tool)) = (&records[0].row, &records[4].row) else { panic!() };
    assert_eq!(second.span_id, SpanId::of_round(start.id, 2).0);
    assert_eq!(call.span_id, SpanId::of_call(tool.id).0, "the span that the server was told of");

    let said = words(&root.attributes);
    assert_eq!(
        (&said["gen_ai.operation.name"][..], &said["gen_ai.provider.name"][..]),
        ("chat", "anthropic")
    );
    assert_eq!(
        (&said["gen_ai.request.model"][..], &said["gen_ai.response.model"][..]),
        ("claude-x", "claude-x-1")
    );
    assert_eq!(said["gen_ai.conversation.id"], start.thread.to_string());
    assert!(said["gen_ai.response.finish_reasons"].contains("end_turn"));
    assert!(!said.keys().any(|name| name.starts_with("gen_ai.usage")), "tokens stand on the rounds alone");
    let said = words(&first.attributes);
    assert_eq!(said["gen_ai.usage.input_tokens"], "64", "by the conventions with what a cache had");
    assert_eq!((&said["gen_ai.usage.output_tokens"][..], &said["gen_ai.response.id"][..]), ("7", "msg_1"));
    assert_eq!(said["gen_ai.usage.cache_read.input_tokens"], "50");
    assert_eq!(said["gen_ai.usage.cache_creation.input_tokens"], "4");
    assert_eq!(said["gen_ai.usage.reasoning.output_tokens"], "2");
    assert_eq!(said["gen_ai.response.time_to_first_chunk"], "0.2");
    assert_eq!(first.end_time_unix_nano - first.start_time_unix_nano, 700_000_000);
    let said = words(&call.attributes);
    assert_eq!(
        (&said["mcp.method.name"][..], &said["gen_ai.operation.name"][..]),
        ("tools/call", "execute_tool")
    );
    assert_eq!((&said["gen_ai.tool.name"][..], &said["gen_ai.tool.call.id"][..]), ("count", "toolu_1"));
    assert_eq!((&said["server.address"][..], &said["server.port"][..]), ("birds.example.com", "8443"));
    assert_eq!(said["toolgate.policy.rule"], "all");
    let texts = ["How many birds?", "Let me count.", "\"n\":1"];
    let dump = format!("{spans:?}");
    assert!(texts.iter().all(|text| !dump.contains(text)), "no content where none is asked for");
}

#[tokio::test]
async fn content_goes_out_where_it_is_asked_for() {
    let receiver = Receiver::start().await;
    sent(&to(&receiver, Record::Full), &testing::interception()).await;
    let spans = spans(&receiver).await;
    let [root, first, second, call] = spans.as_slice() else { panic!("{} spans", spans.len()) };
    let asked = words(&root.attributes);
    assert!(asked["gen_ai.input.messages"].contains(r#""content":"How many birds?""#));
    assert!(
        words(&first.attributes)["gen_ai.output.messages"]
            .contains(r#""type":"reasoning","content":"Let me count.""#)
    );
    assert!(words(&second.attributes)["gen_ai.output.messages"].contains("There are 42."));
    let said = words(&call.attributes);
    assert_eq!(
        (&said["gen_ai.tool.call.arguments"][..], &said["gen_ai.tool.call.result"][..]),
        ("{\"n\":1}", "42 birds")
    );
}

#[tokio::test]
async fn metrics_go_out_under_the_conventions_names() {
    let receiver = Receiver::start().await;
    sent(&to(&receiver, Record::None), &testing::interception()).await;
    let posts = receiver.posts(2).await;
    let post = posts.iter().find(|post| post.path == "/otlp/v1/metrics").unwrap();
    let request = ExportMetricsServiceRequest::decode(post.body.clone()).unwrap();
    let resource = request.resource_metrics[0].resource.as_ref().unwrap();
    assert_eq!(words(&resource.attributes)["service.name"], "toolgate");
    assert_eq!(words(&resource.attributes)["service.instance.id"], "gate-1");
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<_> = metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
    assert_eq!(
        names,
        [
            ("gen_ai.client.token.usage", "{token}"),
            ("gen_ai.client.operation.duration", "s"),
            ("mcp.client.operation.duration", "s"),
        ]
    );
    let Some(Data::Histogram(tokens)) = &metrics[0].data else { panic!() };
    let input =
        tokens.data_points.iter().find(|it| words(&it.attributes)["gen_ai.token.type"] == "input").unwrap();
    assert_eq!((input.count, input.sum), (2, Some(128.0)));
    assert_eq!(input.bucket_counts.len(), input.explicit_bounds.len() + 1);
    assert_eq!(input.bucket_counts[3], 2, "64 is in the bucket that ends with 64");
}

#[tokio::test]
async fn a_trace_that_nobody_wants_is_not_sent() {
    let receiver = Receiver::start().await;
    let mut records = testing::interception();
    if let Row::Start(start) = &mut records[0].row {
        start.trace = start.trace.as_ref().map(|trace| trace.replace("-01-", "-00-"));
    }
    sent(&to(&receiver, Record::None), &records).await;
    assert!(spans(&receiver).await.is_empty());
}

#[tokio::test]
async fn f48_nothing_that_a_caller_writes_is_the_name_of_a_span() {
    let receiver = Receiver::start().await;
    let mut records = testing::interception();
    for record in &mut records {
        match &mut record.row {
            Row::Start(row) => row.model = "theirs".into(),
            // No provider has ever answered with that.
            Row::Tokens(row) => (row.model, row.status) = (String::new(), Some(404)),
            Row::ToolUse(row) => (row.tool, row.server, row.server_tool) = ("theirs".into(), None, None),
            Row::End(row) => row.answered_by = None,
            _ => {}
        }
    }
    sent(&to(&receiver, Record::None), &records).await;
    let spans = spans(&receiver).await;
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["chat", "chat", "chat", "tools/call"]);
    assert_eq!(words(&spans[0].attributes)["gen_ai.request.model"], "theirs", "it is said all the same");
}

#[tokio::test]
async fn what_an_mcp_client_asks_besides_tools_is_called_by_its_method() {
    let receiver = Receiver::start().await;
    let mut records = testing::interception();
    records.retain(|record| {
        let theirs = matches!(&record.row, Row::ToolUse(row) if !row.injected);
        !theirs && !matches!(&record.row, Row::Tokens(_) | Row::Prompt(_) | Row::Thought(_))
    });
    for record in &mut records {
        match &mut record.row {
            Row::Start(row) => (row.dialect, row.model) = ("mcp".into(), String::new()),
            Row::ToolUse(row) => {
                row.tool = "resources/read".into();
                row.server_tool = Some(row.tool.clone());
                (row.via, row.intended_at) = (Some("mcp".into()), None);
            }
            _ => {}
        }
    }
    sent(&to(&receiver, Record::None), &records).await;
    let spans = spans(&receiver).await;
    let [root, asked] = spans.as_slice() else { panic!("{spans:?}") };
    for (span, kind) in [(root, SpanKind::Server), (asked, SpanKind::Client)] {
        assert_eq!((span.name.as_str(), span.kind()), ("resources/read", kind));
        let said = words(&span.attributes);
        assert_eq!(said["mcp.method.name"], "resources/read");
        assert!(!said.contains_key("gen_ai.tool.name") && !said.contains_key("gen_ai.operation.name"));
    }
    assert_eq!(asked.end_time_unix_nano - asked.start_time_unix_nano, 500_000_000);
    let posts = receiver.posts(2).await;
    let post = posts.iter().find(|post| post.path == "/otlp/v1/metrics").unwrap();
    let request = ExportMetricsServiceRequest::decode(post.body.clone()).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["mcp.client.operation.duration", "mcp.server.operation.duration"]);
    for metric in metrics {
        let Some(Data::Histogram(durations)) = &metric.data else { panic!() };
        let said = words(&durations.data_points[0].attributes);
        assert_eq!(said["mcp.method.name"], "resources/read");
        assert!(!said.contains_key("gen_ai.tool.name"));
    }
}

#[tokio::test]
async fn f44_while_the_collector_is_away_records_are_taken_and_counted() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let ending = CancellationToken::new();
    let (feed, task) = start(&to(&receiver, Record::None), "gate-1", ending.clone()).unwrap();
    let task = tokio_util::task::TaskTracker::new().spawn(task);
    // A batch and more: the first request is under way and gets no answer.
    for _ in 0..200 {
        feed.publish(&testing::interception());
    }
    receiver.posts(1).await;
    for _ in 0..200 {
        feed.publish(&testing::interception());
    }
    tokio::time::timeout(Duration::from_mins(1), feed.taken()).await.unwrap();
    receiver.let_go_on();
    ending.cancel();
    task.await.unwrap();
    assert_eq!(feed.losses().count(), 0);
    assert_eq!(spans(&receiver).await.len(), 1_600);
}

#[tokio::test]
async fn a_denied_call_and_a_failed_interception_are_errors() {
    let receiver = Receiver::start().await;
    let mut records = testing::interception();
    for record in &mut records {
        match &mut record.row {
            Row::ToolUse(row) => row.intended_at = None,
            Row::Outcome(row) if row.outcome == "ok" => row.outcome = "denied".into(),
            Row::End(row) => (row.outcome, row.error) = ("failed".into(), Some("it broke".into())),
            _ => {}
        }
    }
    sent(&to(&receiver, Record::None), &records).await;
    let spans = spans(&receiver).await;
    let status = spans[0].status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "it broke"));
    let denied = &spans[3];
    assert_eq!((denied.name.as_str(), denied.kind()), ("execute_tool count", SpanKind::Internal));
    assert_eq!(words(&denied.attributes)["error.type"], "denied");
}

#[tokio::test]
async fn f44_a_collector_that_is_away_loses_spans_and_holds_up_nothing() {
    let receiver = Receiver::start().await;
    receiver.will(&[503, 503, 400]);
    let settings = to(&receiver, Record::None);
    let mut client = Client::new(&settings, resource("t", "g")).unwrap().hasty();
    let going_on = CancellationToken::new();
    assert_eq!(client.send_spans(vec![Span::default(); 3], &going_on).await, 3);
    assert_eq!(receiver.posts(3).await.len(), 3, "what may pass is tried again, a refusal is not");
    receiver.will(&[503]);
    assert_eq!(client.send_spans(vec![Span::default()], &going_on).await, 0);
    // At the end nothing is waited for.
    receiver.will(&[503, 503]);
    assert_eq!(sent(&settings, &testing::interception()).await, 4);
}
