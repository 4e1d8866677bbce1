//! The metrics by name, with their labels and buckets.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::Now;
use crate::mcp::ServerState;

/// Histograms of one interception's times.
pub(super) type Durations = Family<Timed, Histogram, fn() -> Histogram>;

#[derive(Debug)]
pub(super) struct Families {
    pub interceptions: Family<Interception, Counter>,
    pub in_flight: Gauge,
    pub duration: Durations,
    pub first_byte: Durations,
    pub provider_time: Durations,
    pub tool_time: Durations,
    pub client_time: Durations,
    pub overhead: Durations,
    pub rounds: Family<Round, Counter>,
    pub tokens: Family<Token, Counter>,
    pub calls: Family<Call, Counter>,
    pub call_duration: Family<Server, Histogram, fn() -> Histogram>,
    queue: Gauge,
    queue_capacity: Gauge,
    dropped_texts: Counter,
    lost_records: Counter,
    spooled: Gauge,
    unavailable: Gauge,
    lost: Family<Outlet, Counter>,
    servers: Family<State, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Interception {
    pub provider: String,
    pub dialect: String,
    pub client: String,
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Timed {
    pub provider: String,
    pub dialect: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Round {
    pub provider: String,
    pub model: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Token {
    pub provider: String,
    pub model: String,
    pub class: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    /// `injected` or `client`.
    pub kind: &'static str,
    pub server: String,
    pub tool: String,
    pub outcome: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Server {
    pub server: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    server: String,
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outlet {
    outlet: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

impl Call {
    pub(super) fn server(&self) -> Server {
        Server { server: self.server.clone() }
    }
}

/// From what a cached small model takes to what an agent's long turn takes.
fn long() -> Histogram {
    Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0])
}

/// From a call over a pipe to one at its time-out.
fn short() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0])
}

/// Fine, because what is promised of it is a part of a millisecond.
fn fine() -> Histogram {
    Histogram::new([
        0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1,
        0.25, 1.0, 5.0,
    ])
}

const STATES: [ServerState; 6] = [
    ServerState::Starting,
    ServerState::Ready,
    ServerState::Degraded,
    ServerState::BackingOff,
    ServerState::FailedConfig,
    ServerState::Stopped,
];

impl Families {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let timed = |histogram: fn() -> Histogram| Durations::new_with_constructor(histogram);
        let families = Self {
            interceptions: Family::default(),
            in_flight: Gauge::default(),
            duration: timed(long),
            first_byte: timed(long),
            provider_time: timed(long),
            tool_time: timed(short),
            client_time: timed(long),
            overhead: timed(fine),
            rounds: Family::default(),
            tokens: Family::default(),
            calls: Family::default(),
            call_duration: Family::new_with_constructor(short),
            queue: Gauge::default(),
            queue_capacity: Gauge::default(),
            dropped_texts: Counter::default(),
            lost_records: Counter::default(),
            spooled: Gauge::default(),
            unavailable: Gauge::default(),
            lost: Family::default(),
            servers: Family::default(),
        };
        families.name(registry);
        families
    }

    fn name(&self, to: &mut Registry) {
        to.register("interceptions", "Requests that ended, by how they ended", self.interceptions.clone());
        to.register("interceptions_in_flight", "Requests that run", self.in_flight.clone());
        to.register(
            "interception_duration_seconds",
            "From a request's start to its end",
            self.duration.clone(),
        );
        to.register(
            "interception_first_byte_seconds",
            "From a request's start to its client's first byte",
            self.first_byte.clone(),
        );
        to.register(
            "interception_provider_seconds",
            "Waited for the provider, in one request",
            self.provider_time.clone(),
        );
        to.register(
            "interception_tools_seconds",
            "Waited for tools and nothing else, in one request that ran some",
            self.tool_time.clone(),
        );
        to.register(
            "interception_client_seconds",
            "Waited for the client, which sent its request or took its answer slowly",
            self.client_time.clone(),
        );
        to.register(
            "interception_overhead_seconds",
            "What the gateway itself took of a request: all that was not waited for others",
            self.overhead.clone(),
        );
        to.register("rounds", "Upstream calls, by the model that answered", self.rounds.clone());
        to.register(
            "tokens",
            "Tokens by class; reasoning is a part of output, the other classes are apart",
            self.tokens.clone(),
        );
        to.register("tool_calls", "Tool calls of models and MCP clients, by outcome", self.calls.clone());
        to.register(
            "tool_call_duration_seconds",
            "From a tool call to its result, by server",
            self.call_duration.clone(),
        );
        self.name_what_is_looked_at(to);
    }

    fn name_what_is_looked_at(&self, to: &mut Registry) {
        to.register(
            "audit_queue_places",
            "Places taken in the queue of records that wait to be committed",
            self.queue.clone(),
        );
        to.register(
            "audit_queue_capacity_places",
            "Places in that queue: when all are taken, requests wait",
            self.queue_capacity.clone(),
        );
        to.register(
            "audit_dropped_texts",
            "Texts of which only the size was kept, because there was no room",
            self.dropped_texts.clone(),
        );
        to.register(
            "audit_spooled_batches",
            "Batches of records in the spool file, which wait for the store to come back",
            self.spooled.clone(),
        );
        to.register(
            "audit_lost_records",
            "Records that could not be written, and are nowhere",
            self.lost_records.clone(),
        );
        to.register("audit_unavailable", "1 while records cannot be written", self.unavailable.clone());
        to.register(
            "outlet_lost_records",
            "Records that did not go out by log, webhook or OTLP; the store has them",
            self.lost.clone(),
        );
        to.register("mcp_server_state", "1 for the state in which a server is", self.servers.clone());
        let build = Family::<Build, Gauge>::default();
        build.get_or_create(&Build { version: env!("CARGO_PKG_VERSION") }).set(1);
        to.register("build_info", "The gateway's version", build);
    }

    /// Takes over what is not counted from records.
    pub(super) fn look(&self, now: &Now<'_>) {
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.queue.set(now.audit.waiting.into());
        self.queue_capacity.set(now.audit.capacity.into());
        self.dropped_texts.inner().store(now.audit.dropped_texts, Ordering::Relaxed);
        self.lost_records.inner().store(now.audit.lost, Ordering::Relaxed);
        self.spooled.set(count(now.audit.spooled));
        self.unavailable.set(i64::from(now.audit.unavailable.is_some()));
        for losses in now.losses {
            let outlet = Outlet { outlet: losses.outlet().to_owned() };
            self.lost.get_or_create(&outlet).inner().store(losses.count(), Ordering::Relaxed);
        }
        self.servers.clear();
        for status in now.servers {
            for state in STATES {
                let labels = State { server: status.name.clone(), state: state.word() };
                self.servers.get_or_create(&labels).set(i64::from(status.state == state));
            }
        }
    }
}
