use std::collections::BTreeMap;

use super::*;
use crate::audit::Health;
use crate::mcp::{ServerState, ServerStatus};
use crate::telemetry::testing;

fn page(metrics: &Metrics, format: Format) -> String {
    let unavailable = Some("x".into());
    let health = Health { waiting: 3, capacity: 4096, dropped_texts: 2, spooled: 1, lost: 5, unavailable };
    let server = ServerStatus {
        name: "birds".into(),
        url: String::new(),
        required: false,
        state: ServerState::BackingOff,
        since: testing::at(0),
        era: None,
        protocol: None,
        approved: vec![],
        left_out: vec![],
        quarantined: vec![],
        warnings: vec![],
        last_failure: None,
        next_attempt: None,
        stderr: vec![],
    };
    let (feed, _intake) =
        super::super::feed::feed("log", |_| true, tokio_util::sync::CancellationToken::new());
    metrics.page(&Now { audit: &health, servers: &[server], losses: &[feed.losses()] }, format)
}

/// The samples by name and labels.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
}

#[test]
fn an_interceptions_records_are_counted() {
    let metrics = Metrics::default();
    let records = testing::interception();
    metrics.publish(&records[..1]);
    assert_eq!(
        samples(&page(&metrics, Format::Prometheus))["toolgate_interceptions_in_flight"].to_string(),
        "1"
    );
    metrics.publish(&records[1..]);
    let text = page(&metrics, Format::Prometheus);
    let samples = samples(&text);
    let expect = |name: &str, value: f64| {
        let found = samples.get(name).copied().unwrap_or_else(|| panic!("{name} is not in\n{text}"));
        assert!((found - value).abs() < 1e-9, "{name} is {found}, not {value}");
    };
    expect("toolgate_interceptions_in_flight", 0.0);
    expect(
        r#"toolgate_interceptions_total{provider="anthropic",dialect="messages",client="claude-code",outcome="completed"}"#,
        1.0,
    );
    let timed = r#"{provider="anthropic",dialect="messages"}"#;
    expect(&format!("toolgate_interception_duration_seconds_sum{timed}"), 2.0);
    expect(&format!("toolgate_interception_first_byte_seconds_sum{timed}"), 0.3);
    expect(&format!("toolgate_interception_provider_seconds_sum{timed}"), 1.35);
    expect(&format!("toolgate_interception_tools_seconds_sum{timed}"), 0.5);
    expect(&format!("toolgate_interception_client_seconds_sum{timed}"), 0.05);
    expect(&format!("toolgate_interception_overhead_seconds_sum{timed}"), 0.1);
    expect(r#"toolgate_rounds_total{provider="anthropic",model="claude-x-1"}"#, 2.0);
    for (class, count) in
        [("input", 20.0), ("output", 14.0), ("cache_read", 100.0), ("cache_write_short", 6.0)]
    {
        expect(
            &format!(r#"toolgate_tokens_total{{provider="anthropic",model="claude-x-1",class="{class}"}}"#),
            count,
        );
    }
    expect(r#"toolgate_tool_calls_total{kind="injected",server="birds",tool="count",outcome="ok"}"#, 1.0);
    expect(r#"toolgate_tool_calls_total{kind="client",server="",tool="",outcome="released"}"#, 1.0);
    expect(r#"toolgate_tool_call_duration_seconds_sum{server="birds"}"#, 0.5);
    expect("toolgate_audit_queue_places", 3.0);
    expect("toolgate_audit_dropped_texts_total", 2.0);
    expect("toolgate_audit_spooled_batches", 1.0);
    expect("toolgate_audit_unavailable", 1.0);
    expect("toolgate_audit_lost_records_total", 5.0);
    expect(r#"toolgate_mcp_server_state{server="birds",state="backing-off"}"#, 1.0);
    expect(r#"toolgate_mcp_server_state{server="birds",state="ready"}"#, 0.0);
    expect(r#"toolgate_outlet_lost_records_total{outlet="log"}"#, 0.0);
    expect(concat!("toolgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0);
}

#[test]
fn f48_whatever_callers_write_the_number_of_series_stays_bounded() {
    let metrics = Metrics::default();
    let mut counted = Vec::new();
    for n in 0..1_000 {
        let id = InterceptionId::new();
        let (call, user) = (ToolUseId::new(), format!("user-{n}"));
        let mut start = testing::start(id);
        (start.model, start.client) = (format!("model-{n}"), format!("agent-{n}"));
        start.client_session = Some(user.clone());
        let mut tokens = testing::tokens(id, 1, "");
        tokens.model = format!("model-{n}");
        let mut theirs = testing::tool_use(id, call, false);
        theirs.tool = format!("tool-{n}");
        let rows = [
            Row::Start(Box::new(start)),
            Row::Tokens(Box::new(tokens)),
            Row::ToolUse(Box::new(theirs)),
            Row::Outcome(testing::outcome(id, call, "released")),
            Row::End(Box::new(testing::end(id))),
        ];
        let records = rows.map(|row| Published { row, text: None, caller: Some(testing::caller()) });
        metrics.publish(&records);
        if n == 199 || n == 999 {
            counted.push(samples(&page(&metrics, Format::Prometheus)).len());
        }
    }
    assert_eq!(counted[0], counted[1], "two hundred names or a thousand make the same series");
    let page = page(&metrics, Format::Prometheus);
    assert!(page.contains(r#"model="other""#) && page.contains(r#"client="other""#));
    assert!(!page.contains("user-") && !page.contains("agent-") && !page.contains("tool-7"), "{page}");
    assert!(!page.contains("alice"), "a user is no label");
}

#[test]
fn f49_tokens_from_a_cache_are_not_counted_as_input() {
    let metrics = Metrics::default();
    metrics.publish(&testing::interception());
    let samples = samples(&page(&metrics, Format::Prometheus));
    let sum: f64 =
        samples.iter().filter(|(name, _)| name.contains(r#"class="input""#)).map(|(_, it)| it).sum();
    assert!((sum - 20.0).abs() < f64::EPSILON, "{sum}");
}

#[test]
fn an_end_whose_beginning_nobody_saw_is_counted_and_leaves_the_gauge_alone() {
    let metrics = Metrics::default();
    let mut records = testing::interception();
    let end = records.pop().unwrap();
    metrics.publish(&[end]);
    let samples = samples(&page(&metrics, Format::Prometheus));
    assert_eq!(samples["toolgate_interceptions_in_flight"].to_string(), "0");
    assert!(
        samples.keys().any(|name| name.starts_with("toolgate_interceptions_total") && name.contains("other"))
    );
}

#[test]
fn an_interception_that_another_gateway_has_ended_does_not_run_any_more() {
    let metrics = Metrics::default();
    let start = testing::interception().remove(0);
    let Row::Start(row) = &start.row else { panic!() };
    let end = testing::late_end(row.id);
    metrics.publish(&[start]);
    metrics.publish(&[end]);
    assert_eq!(
        samples(&page(&metrics, Format::Prometheus))["toolgate_interceptions_in_flight"].to_string(),
        "0"
    );
}

#[test]
fn both_forms_of_the_page_say_the_same() {
    let metrics = Metrics::default();
    metrics.publish(&testing::interception());
    let (older, open) = (page(&metrics, Format::Prometheus), page(&metrics, Format::OpenMetrics));
    assert_eq!(samples(&older), samples(&open));
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE toolgate_tokens counter\n"));
    assert!(older.contains("# HELP toolgate_tokens_total Tokens by class") && !older.contains("# EOF"));
    assert!(older.contains("# TYPE toolgate_tokens_total counter\n"));
    assert_eq!(Format::accepted("application/openmetrics-text;version=1.0.0,*/*"), Format::OpenMetrics);
    assert_eq!(Format::accepted("*/*"), Format::Prometheus);
}

/// Every name of a metric in a query of the dashboard.
fn queried(dashboard: &serde_json::Value) -> std::collections::BTreeSet<String> {
    let mut queries = Vec::new();
    let panels = dashboard["panels"].as_array().unwrap();
    for target in panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten() {
        queries.push(target["expr"].as_str().unwrap().to_owned());
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    queries.extend(variables.iter().filter_map(|it| it["query"]["query"].as_str()).map(str::to_owned));
    assert!(queries.len() > 20);
    let name = regex::Regex::new("toolgate_[a-z_]+").unwrap();
    queries.iter().flat_map(|query| name.find_iter(query)).map(|found| found.as_str().to_owned()).collect()
}

#[test]
fn the_dashboard_asks_for_metrics_that_there_are() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/grafana/toolgate.json");
    let dashboard: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36 && dashboard["uid"].is_string());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|it| it["name"] == "datasource" && it["type"] == "datasource"));
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: std::collections::BTreeSet<_> =
        panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "panels have ids of their own");
    for panel in panels.iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
    }

    let metrics = Metrics::default();
    metrics.publish(&testing::interception());
    let page = page(&metrics, Format::Prometheus);
    let there: std::collections::BTreeSet<_> =
        samples(&page).into_keys().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    let wanted = queried(&dashboard);
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), Vec::<&String>::new());
    // And the other way round: what is counted is shown.
    let shown = |name: &&String| {
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        !wanted.iter().any(|wanted| wanted.starts_with(base))
    };
    assert_eq!(there.iter().filter(shown).collect::<Vec<_>>(), Vec::<&String>::new());
}
