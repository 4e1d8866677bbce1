//! What the audit costs a caller: the same requests to a gateway that records everything and to one that records
//! nothing, in turns. The difference must be below 200 µs and 5 %, at the median and at the 99th percentile.
//!
//! Provider and MCP server are on loopback and take a constant time, as real ones would at their very best: 20 ms until
//! the first byte of an answer, 10 ms a call. PostgreSQL is measured where `TOOLGATE_TEST_POSTGRES` says where it is, with
//! a write-ahead file (`PG + file`) and without.
//!
//!     cargo bench --bench audit_cost
//!     cargo bench --bench audit_cost -- PostgreSQL     # one store alone

#![allow(clippy::unwrap_used, reason = "a measurement that cannot go on panics")]
#![allow(clippy::print_stdout, reason = "prints its table")]
#![allow(clippy::disallowed_methods, reason = "what a measurement starts ends with it")]

#[allow(dead_code, reason = "the other programs use the rest")]
#[path = "../tests/real/audit/force/chance.rs"]
mod chance;
#[allow(dead_code, reason = "shared with tests/real/audit")]
#[path = "../tests/real/audit/force/play.rs"]
mod play;
#[allow(dead_code, reason = "shared with tests/real/audit")]
#[path = "../tests/real/audit/force/provider.rs"]
mod provider;
#[allow(dead_code, reason = "shared with tests/real/audit")]
#[path = "../tests/real/audit/force/tools.rs"]
mod tools;
#[allow(dead_code, reason = "shared with tests/it")]
#[path = "../tests/it/wire.rs"]
mod wire;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::join_all;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use toolgate::app::App;
use toolgate::config;
use toolgate::http::undelayed;

use chance::Chance;
use play::Play;
use provider::{Pace, Provider};
use tools::Tools;
use wire::{Api, Mode};

const PROVIDER: Duration = Duration::from_millis(20);
const TOOL: Duration = Duration::from_millis(10);
/// A request, its tool rounds, and how many at once: what it takes by itself, and where others want the same processors.
const CASES: [(&str, u32, usize); 4] =
    [("plain", 0, 1), ("plain", 0, CLIENTS), ("tool round", 1, 1), ("tool round", 1, CLIENTS)];
const CLIENTS: usize = 4;
/// Requests of one client in one turn, and turns of each gateway.
const REQUESTS: u64 = 50;
const TURNS: usize = 20;
const MOST: Duration = Duration::from_micros(200);
const MOST_PERCENT: f64 = 5.0;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let pace = Pace { head: PROVIDER, frame: Duration::ZERO, steady: true };
    let (_, provider) = Provider::start(pace, Chance::new(1)).await;
    let (_, tools) = Tools::start(TOOL, true, Chance::new(1)).await;
    println!("one provider call takes {PROVIDER:?}, one tool call {TOOL:?}");
    println!("store       request     at once percentile     without        with  difference");
    let mut stores = vec![("SQLite", "sqlite:toolgate.db".to_owned(), "")];
    if let Ok(url) = std::env::var("TOOLGATE_TEST_POSTGRES") {
        stores.push(("PostgreSQL", url.clone(), ""));
        stores.push(("PG + file", url, ", write_ahead: toolgate.ahead"));
    }
    let asked: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    stores.retain(|(name, ..)| asked.is_empty() || asked.iter().any(|asked| asked == name));
    let mut passed = true;
    for (name, url, audit) in stores {
        let without = Gateway::start(&url, audit, provider, tools, false).await;
        let with = Gateway::start(&url, audit, provider, tools, true).await;
        for (kind, rounds, at_once) in CASES {
            let compared = compare(&without, &with, rounds, at_once).await;
            passed &= compared.told(name, kind, at_once);
        }
    }
    if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Serves on loopback until this process ends; gives where.
async fn serve(routes: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(undelayed(listener), routes).await });
    address
}

/// A gateway in this process.
struct Gateway {
    address: SocketAddr,
    clients: Vec<reqwest::Client>,
    _folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(store: &str, audit: &str, provider: SocketAddr, tools: SocketAddr, records: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_config(folder.path(), store, audit, provider, tools);
        let variable = |name: &str| {
            let signing_key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
            let secret = "a-secret-that-no-one-else-has-0123456789";
            Some(if name == "SIGNING_KEY" { signing_key } else { secret }.to_owned())
        };
        let config = config::load_with(&folder.path().join("toolgate.yaml"), &variable).unwrap();
        let app = if records { App::start(config).await } else { App::discarding(config).await }.unwrap();
        app.gateway().fleet.settled().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(app.serve(listener, CancellationToken::new()));
        let client = |_| reqwest::Client::builder().no_proxy().build().unwrap();
        Self { address, clients: (0..CLIENTS).map(client).collect(), _folder: folder }
    }

    /// One turn: how long each request took, to the last byte.
    async fn turn(&self, rounds: u32, at_once: usize) -> Vec<Duration> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let url = format!("http://{}/v1/messages", self.address);
        let client = |http: reqwest::Client| {
            let url = url.clone();
            async move {
                let mut took = Vec::new();
                for _ in 0..REQUESTS {
                    let play = Play::new(NUMBER.fetch_add(1, Ordering::Relaxed), rounds, 1, false);
                    let request = http.post(&url).header("content-type", "application/json");
                    let request = request.body(play.request(Api::Messages, Mode::Streamed));
                    let began = Instant::now();
                    let answer = request.send().await.unwrap();
                    assert_eq!(answer.status(), 200);
                    let body = answer.text().await.unwrap();
                    took.push(began.elapsed());
                    assert!(body.contains("event: message_stop"), "{body}");
                }
                took
            }
        };
        join_all(self.clients.iter().take(at_once).cloned().map(client)).await.into_iter().flatten().collect()
    }
}

fn write_config(folder: &Path, store: &str, audit: &str, provider: SocketAddr, tools: SocketAddr) {
    let toolgate = format!(
        "listen: 127.0.0.1:0\nstore: {store}\nauth: none\ninject: always\nsecret_keys: ['${{SECRET}}']\nproviders:\n  \
         - {{ name: anthropic, type: anthropic, base_url: 'http://{provider}', api_key: '${{SECRET}}' }}\naudit: {{ signing_key: '${{SIGNING_KEY}}'{audit} }}\n"
    );
    std::fs::write(folder.join("toolgate.yaml"), toolgate).unwrap();
    std::fs::create_dir(folder.join("mcp-servers")).unwrap();
    let server = format!("name: srv\ntransport: http\nurl: http://{tools}/mcp\n");
    std::fs::write(folder.join("mcp-servers/srv.yaml"), server).unwrap();
}

/// What each turn showed, without and with the audit.
struct Compared {
    turns: Vec<[Vec<Duration>; 2]>,
}

/// Lets both have their turns; who is first changes.
async fn compare(without: &Gateway, with: &Gateway, rounds: u32, at_once: usize) -> Compared {
    let both = [without, with];
    for gateway in both {
        gateway.turn(rounds, at_once).await;
    }
    let mut turns = Vec::new();
    for turn in 0..TURNS {
        let first = turn % 2;
        let mut took = [Vec::new(), Vec::new()];
        for which in [first, 1 - first] {
            took[which] = both[which].turn(rounds, at_once).await;
            took[which].sort_unstable();
        }
        turns.push(took);
    }
    Compared { turns }
}

impl Compared {
    /// Prints both percentiles; true where both are within bounds.
    ///
    /// Of each percentile the median over all turns counts, so that a moment in which the machine did something else
    /// does not.
    fn told(&self, store: &str, kind: &str, at_once: usize) -> bool {
        let mut passed = true;
        for (name, percent) in [("p50", 50), ("p99", 99)] {
            let [without, with] = [0, 1].map(|which| {
                let percentile =
                    |took: &[Vec<Duration>; 2]| took[which][(took[which].len() - 1) * percent / 100];
                median(self.turns.iter().map(percentile).collect())
            });
            let (least, most) = (micros(without), micros(with));
            let (more, part) = (most - least, (most - least) / least * 100.0);
            let is_within = more < micros(MOST) && part < MOST_PERCENT;
            passed &= is_within;
            println!(
                "{store:<11} {kind:<11} {at_once:>7} {name:<10} {least:>8.0} µs {most:>8.0} µs {more:>+6.0} µs {part:>+5.2} %{}",
                if is_within { "" } else { "  TOO MUCH" }
            );
        }
        passed
    }
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
