//! The conventions' metrics: histograms that add up from the gateway's start.

use std::collections::BTreeMap;

use jiff::Timestamp;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, metric,
};

use super::super::names::Labels;
use super::attributes::{Attributes, seconds};
use super::gathering::{Call, Interception};
use super::spans::{CHAT, EXECUTE, nanos, whole_input};
use crate::store::records::Tokens;

/// The buckets that the conventions advise.
const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const ROUNDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const CALLS: [f64; 14] = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Attributes by name; what is not known is empty.
type Key = Vec<(&'static str, String)>;

/// What has been counted.
#[derive(Debug)]
pub(super) struct Meter {
    since: Timestamp,
    instruments: [Instrument; 4],
}

#[derive(Debug)]
struct Instrument {
    name: &'static str,
    unit: &'static str,
    what: &'static str,
    bounds: &'static [f64],
    points: BTreeMap<Key, Point>,
}

#[derive(Debug, Clone)]
struct Point {
    counts: Vec<u64>,
    sum: f64,
    least: f64,
    most: f64,
}

impl Default for Meter {
    fn default() -> Self {
        let instrument =
            |name, unit, what, bounds| Instrument { name, unit, what, bounds, points: BTreeMap::new() };
        Self {
            since: Timestamp::now(),
            instruments: [
                instrument("gen_ai.client.token.usage", "{token}", "Tokens of one upstream call", &TOKENS),
                instrument("gen_ai.client.operation.duration", "s", "One upstream call", &ROUNDS),
                instrument("mcp.client.operation.duration", "s", "One call to an MCP server", &CALLS),
                instrument("mcp.server.operation.duration", "s", "One call of an MCP client", &CALLS),
            ],
        }
    }
}

impl Meter {
    pub(super) fn count(&mut self, interception: &Interception, names: &Labels) {
        for (row, _) in interception.rounds() {
            self.count_round(interception, row, names);
        }
        for call in interception.calls() {
            self.count_call(&call, interception, names);
        }
    }

    fn count_round(&mut self, interception: &Interception, row: &Tokens, names: &Labels) {
        let mut key: Key = vec![
            ("gen_ai.operation.name", CHAT.to_owned()),
            ("gen_ai.provider.name", interception.provider().to_owned()),
            ("gen_ai.response.model", names.models.of(&row.model)),
            ("toolgate.provider", names.providers.of(&interception.start.provider)),
        ];
        let [tokens, durations, ..] = &mut self.instruments;
        for (kind, count) in [("input", whole_input(row)), ("output", row.output)] {
            let mut key = key.clone();
            key.push(("gen_ai.token.type", kind.to_owned()));
            #[expect(clippy::cast_precision_loss, reason = "nobody counts so many tokens")]
            tokens.observe(key, count as f64);
        }
        if let Some(duration) = row.duration_us {
            let error = row.status.filter(|status| *status >= 400).map(|status| status.to_string());
            key.extend(error.map(|error| ("error.type", error)));
            durations.observe(key, seconds(duration));
        }
    }

    fn count_call(&mut self, call: &Call<'_>, interception: &Interception, names: &Labels) {
        let Some(server) = call.call.server.as_deref() else { return };
        let mut key: Key = vec![("mcp.method.name", call.method().to_owned())];
        let server = match call.tool() {
            Some(tool) => {
                let (server, tool) = names.tool(server, tool);
                key.push(("gen_ai.operation.name", EXECUTE.to_owned()));
                key.push(("gen_ai.tool.name", tool));
                server
            }
            None => names.servers.of(server),
        };
        key.extend(call.error().map(|error| ("error.type", names.outcomes.of(error))));
        let [.., clients, servers] = &mut self.instruments;
        if let (true, Some(total)) = (interception.is_mcp(), interception.end.total_us) {
            servers.observe(key.clone(), seconds(total));
        }
        key.push(("toolgate.server", server));
        let duration = call.outcome.and_then(|(outcome, _)| outcome.duration_us);
        if let (Some(_), Some(duration)) = (call.sent(), duration) {
            clients.observe(key, seconds(duration));
        }
    }

    /// All that has been counted so far.
    pub(super) fn metrics(&self) -> Vec<Metric> {
        let now = nanos(Timestamp::now());
        let counted = self.instruments.iter().filter(|instrument| !instrument.points.is_empty());
        counted.map(|instrument| instrument.metric(nanos(self.since), now)).collect()
    }
}

impl Instrument {
    fn observe(&mut self, key: Key, value: f64) {
        let bounds = self.bounds;
        let empty = || Point {
            counts: vec![0; bounds.len() + 1],
            sum: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        };
        let point = self.points.entry(key).or_insert_with(empty);
        let bucket = bounds.iter().take_while(|bound| **bound < value).count();
        point.counts[bucket] += 1;
        point.sum += value;
        point.least = point.least.min(value);
        point.most = point.most.max(value);
    }

    fn metric(&self, since: u64, now: u64) -> Metric {
        let data_points = self.points.iter().map(|(key, point)| HistogramDataPoint {
            attributes: attributes(key),
            start_time_unix_nano: since,
            time_unix_nano: now,
            count: point.counts.iter().sum(),
            sum: Some(point.sum),
            bucket_counts: point.counts.clone(),
            explicit_bounds: self.bounds.to_vec(),
            min: Some(point.least),
            max: Some(point.most),
            ..HistogramDataPoint::default()
        });
        let histogram = Histogram {
            data_points: data_points.collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        };
        Metric {
            name: self.name.to_owned(),
            description: self.what.to_owned(),
            unit: self.unit.to_owned(),
            data: Some(metric::Data::Histogram(histogram)),
            ..Metric::default()
        }
    }
}

fn attributes(key: &Key) -> Vec<opentelemetry_proto::tonic::common::v1::KeyValue> {
    let mut attributes = Attributes::default();
    for (name, value) in key {
        attributes.text(name, value);
    }
    attributes.into()
}
