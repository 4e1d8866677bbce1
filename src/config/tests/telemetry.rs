//! Where traces and metrics go.

use std::time::Duration;

use secrecy::ExposeSecret;

use super::{OPEN, config, refused};
use crate::config::Record;

#[test]
fn nothing_goes_anywhere_where_nothing_is_said() {
    let telemetry = config(OPEN).telemetry;
    assert!(telemetry.otlp.is_none() && telemetry.metrics_listen.is_none());
}

#[test]
fn a_collector_needs_no_more_than_its_url() {
    let telemetry =
        config(&format!("{OPEN}telemetry: {{ otlp: {{ endpoint: 'http://c:4318' }} }}\n")).telemetry;
    let otlp = telemetry.otlp.unwrap();
    assert_eq!((otlp.endpoint.as_str(), otlp.service_name.as_str()), ("http://c:4318/", "toolgate"));
    assert_eq!((otlp.content, otlp.metrics_every), (Record::None, Duration::from_mins(1)));
    assert!(otlp.headers.is_empty());
}

#[test]
fn what_is_said_of_it_counts_and_no_dump_shows_its_secrets() {
    let telemetry = config(&format!(
        "{OPEN}telemetry:\n  metrics_listen: localhost:9464\n  otlp:\n    endpoint: https://c.test/otlp\n    \
         headers: {{ Authorization: 'Bearer ${{KEY}}', X-Scope: blue }}\n    service_name: gate\n    \
         content: redacted\n    metrics_every: 10s\n"
    ))
    .telemetry;
    assert_eq!(telemetry.metrics_listen.unwrap().to_string(), "127.0.0.1:9464");
    let otlp = telemetry.otlp.as_ref().unwrap();
    assert_eq!((otlp.content, otlp.metrics_every), (Record::Redacted, Duration::from_secs(10)));
    assert_eq!(otlp.service_name, "gate");
    assert_eq!(otlp.headers["authorization"].expose_secret(), "Bearer hush-hush");
    assert!(!format!("{telemetry:?}").contains("hush"));

    let mut other = telemetry.clone();
    assert!(other == telemetry);
    other.otlp.as_mut().unwrap().headers.insert("authorization".into(), "Bearer other".into());
    assert!(other != telemetry, "another secret is another configuration");
}

#[test]
fn what_cannot_be_is_refused_at_its_place() {
    for (telemetry, what) in [
        ("{ metrics_listen: '9464' }", "3:30: expected an address and a port"),
        ("{ otlp: { endpoint: 'c:4318' } }", "3:32: expected a URL that starts with"),
        ("{ otlp: { endpoint: 'http://c/v1/traces' } }", "leave out `/v1/traces`"),
        (
            "{ otlp: { endpoint: 'http://c', headers: { authorization: 'Bearer x' } } }",
            "must not stand in the file",
        ),
        ("{ otlp: { endpoint: 'http://c', metrics_every: 1ms } }", "expected 1s to 24h"),
        ("{ otlp: { endpoint: 'http://c', service_name: ' ' } }", "a service needs a name"),
        ("{ otlp: { endpoint: 'http://c', content: all } }", "expected one of"),
        ("{ otlp: {} }", "endpoint"),
        ("{ prometheus: 1 }", "unknown field `prometheus`"),
    ] {
        let refusal = refused(&format!("{OPEN}telemetry: {telemetry}\n"));
        assert!(refusal.contains(what), "{telemetry}:\n{refusal}");
    }
}
