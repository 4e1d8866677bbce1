//! `kill -9` at random moments under load.
//!
//! What must hold after each: every call that the MCP server saw has its intent, and no row that was read committed
//! before is gone or says something else. At the end: nothing is open, and the chains verify.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::chance::Chance;
use crate::gateway::{Gateway, Setup};
use crate::ledger::{Ledger, Sample};
use crate::load::{Asked, Ending, Load};
use crate::provider::{Pace, Provider};
use crate::store::Store;
use crate::tools::Tools;

const CLIENTS: u64 = 64;
/// The longest that a gateway lives.
const LIFE: Duration = Duration::from_millis(1500);
/// How long it may take until tools are called.
const BUSY: Duration = Duration::from_secs(10);
/// Between two samples of what is committed.
const SAMPLE: Duration = Duration::from_millis(40);
/// The audit's settings. Each gateway has a name of its own, and a short lease, for others wait until it has run out.
const AUDIT: &str = "instance: '${INSTANCE}', lease: 3s";
/// Of each gateway its own.
const WRITE_AHEAD: &str = "write_ahead: '${INSTANCE}.ahead'";
/// How long another gateway has to close what a killed one left open.
const CLOSING: Duration = Duration::from_mins(1);

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many
    #[arg(long, default_value_t = 50)]
    count: u32,
    /// Calls wait for a file of their gateway's, and not for PostgreSQL
    #[arg(long)]
    write_ahead: bool,
    /// Repeats a run's choices; each run prints its own
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    store: crate::store::Args,
}

/// One run.
struct Run {
    setup: Setup,
    store: Store,
    chance: Chance,
    tools: std::sync::Arc<Tools>,
    load: Load,
    gateways: Vec<Option<(Gateway, SocketAddr)>>,
    /// All calls that the server saw.
    calls: BTreeSet<String>,
    /// All rows that were seen committed, and those of them since the last check.
    seen: Sample,
    fresh: Sample,
    asked: Vec<Asked>,
    /// Calls without an intent, rows that are gone or say something else, and whatever else is wrong.
    unrecorded: Vec<String>,
    lost: BTreeSet<String>,
    problems: Vec<String>,
}

pub async fn run(args: Args) -> bool {
    let seed = args.seed.unwrap_or_else(Chance::any_seed);
    let began = Instant::now();
    let mut run = Run::begin(&args, seed).await;
    let file = if args.write_ahead { ", with a write-ahead file" } else { "" };
    println!("kills: {} of {}{file} (seed {seed})", args.count, run.store.name(run.gateways.len()));
    for number in 1..=args.count {
        run.kill_one().await;
        if number % 50 == 0 {
            let problems = run.unrecorded.len() + run.lost.len() + run.problems.len();
            println!("  after {number}: {}, {problems} problems", counts(&run.asked));
        }
    }
    run.finish(args.count, began).await
}

impl Run {
    async fn begin(args: &Args, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let pace = Pace { head: Duration::from_millis(25), frame: Duration::from_micros(400), steady: false };
        let (_, provider) = Provider::start(pace, chance.branch()).await;
        let (tools, address) = Tools::start(Duration::from_millis(30), false, chance.branch()).await;
        let store = Store::make(&args.store).await;
        let audit = if args.write_ahead { format!("{AUDIT}, {WRITE_AHEAD}") } else { AUDIT.to_owned() };
        let setup = Setup::new(&store.program, &store.yaml("process"), provider, address, &audit);
        let load = Load::start(CLIENTS, &mut chance);
        let gateways = (0..store.replicas()).map(|_| None).collect();
        let mut run = Self {
            setup,
            store,
            chance,
            tools,
            load,
            gateways,
            calls: BTreeSet::new(),
            seen: Sample::default(),
            fresh: Sample::default(),
            asked: Vec::new(),
            unrecorded: Vec::new(),
            lost: BTreeSet::new(),
            problems: Vec::new(),
        };
        for which in 0..run.gateways.len() {
            run.start(which).await;
        }
        run
    }

    /// Starts a gateway. One that has its store for itself has closed what was open before it says that it listens.
    async fn start(&mut self, which: usize) {
        let mut gateway = self.setup.spawn(&name(which));
        let address = gateway.ready().await;
        if self.store.replicas() == 1 {
            let ledger = Ledger::open(&self.store.reading()).await;
            let open = ledger.open_rows().await;
            if open > 0 {
                self.problems.push(format!("{open} rows are open although nothing runs"));
            }
            ledger.close().await;
        }
        self.load.up(address);
        self.gateways[which] = Some((gateway, address));
    }

    async fn kill_one(&mut self) {
        let which = self.chance.index(self.gateways.len());
        // Most are killed while tools run, some before.
        if !self.chance.once_in(4) {
            self.tools.called(BUSY).await;
        }
        let life = self.chance.up_to(LIFE);
        let ledger = self.sampled(life).await;
        // Who is the last to leave a SQLite database tidies up; half of the kills leave nobody.
        let watched = self.chance.once_in(2);
        if !watched {
            ledger.clone().close().await;
        }
        let (gateway, address) = self.gateways[which].take().unwrap();
        gateway.kill().await;
        self.load.down(address);
        if watched {
            ledger.close().await;
        }
        if self.chance.once_in(10) {
            let unready = self.setup.spawn(&name(which));
            tokio::time::sleep(self.chance.up_to(Duration::from_millis(150))).await;
            unready.kill().await;
        }
        self.start(which).await;
        self.check().await;
    }

    /// Lets the load go on for a while, and notes which rows are committed meanwhile.
    async fn sampled(&mut self, life: Duration) -> Ledger {
        let ledger = Ledger::open(&self.store.reading()).await;
        let end = Instant::now() + life;
        while Instant::now() < end {
            self.fresh.add(ledger.newest().await);
            tokio::time::sleep(SAMPLE.min(end - Instant::now())).await;
        }
        ledger
    }

    async fn check(&mut self) {
        let calls = self.tools.take_calls();
        let ledger = Ledger::open(&self.store.reading()).await;
        self.unrecorded.extend(ledger.without_intent(&calls).await);
        for call in calls {
            if !self.calls.insert(call.clone()) {
                self.problems.push(format!("{call} ran twice"));
            }
        }
        self.lost.extend(ledger.missing(&self.fresh).await);
        ledger.close().await;
        self.seen.add(std::mem::take(&mut self.fresh));
        self.asked.extend(self.load.take());
    }

    /// Kills all that is left, lets one close what is open, and looks at everything once more.
    async fn finish(mut self, count: u32, began: Instant) -> bool {
        self.sampled(LIFE).await.close().await;
        for (gateway, address) in self.gateways.iter_mut().filter_map(Option::take) {
            gateway.kill().await;
            self.load.down(address);
        }
        self.asked.extend(self.load.stop().await);
        let ledger = Ledger::open(&self.store.reading()).await;
        // What stands in a file comes in with the next start of the gateway whose file it is, and of no other.
        for which in 0..self.gateways.len() {
            self.close_what_is_open(which, &ledger).await;
        }
        self.judge(&ledger).await;
        ledger.close().await;
        println!("  {count} kills in {:.0} s", began.elapsed().as_secs_f64());
        let (code, verified) = self.setup.run(&["audit", "verify", "--json"]).await;
        println!("  verify ended with {code}: {}", crate::gateway::shortened(&verified));
        if code != 0 {
            self.problems.push(format!("`audit verify` ended with {code}"));
        }
        self.problems.extend(self.unrecorded.iter().map(|call| format!("{call} ran without an intent")));
        self.problems.extend(self.lost);
        crate::passed(&self.problems)
    }

    /// Lets a gateway run until nothing is open, or for so long that something must be wrong: what is open then is
    /// counted.
    async fn close_what_is_open(&self, which: usize, ledger: &Ledger) {
        let mut gateway = self.setup.spawn(&name(which));
        gateway.ready().await;
        let closed = async {
            while ledger.open_rows().await > 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let _late = tokio::time::timeout(CLOSING, closed).await;
        gateway.terminate().await;
    }

    /// Looks for all that was ever seen, and counts.
    async fn judge(&mut self, ledger: &Ledger) {
        self.calls.extend(self.tools.take_calls());
        self.seen.add(std::mem::take(&mut self.fresh));
        let calls: Vec<String> = self.calls.iter().cloned().collect();
        self.unrecorded = ledger.without_intent(&calls).await;
        self.lost.extend(ledger.missing(&self.seen).await);
        let open = ledger.open_rows().await;
        if open > 0 {
            self.problems.push(format!("{open} rows are open"));
        }
        let twice = ledger.closed_twice().await;
        if twice > 0 {
            self.problems.push(format!("{twice} runs were closed twice"));
        }
        let rows = ledger.count("interceptions").await;
        let interrupted = ledger.count("interceptions WHERE outcome = 'interrupted'").await;
        let unknown = ledger.count("tool_usage WHERE outcome = 'unknown'").await;
        println!("  {}", counts(&self.asked));
        println!(
            "  {} tool calls that the server saw, {} without an intent",
            calls.len(),
            self.unrecorded.len()
        );
        println!(
            "  {} rows and links seen committed before a kill, {} lost or changed",
            self.seen.len(),
            self.lost.len()
        );
        println!(
            "  {rows} interceptions, {interrupted} closed as interrupted; {unknown} calls as unknown; {open} open"
        );
    }
}

fn name(which: usize) -> String {
    format!("gateway-{which}")
}

fn counts(asked: &[Asked]) -> String {
    let answered = asked.iter().filter(|asked| asked.status == Some(200));
    let (whole, cut): (Vec<_>, Vec<_>) = answered.partition(|asked| asked.ending == Ending::Complete);
    format!("{} requests, {} answered whole, {} cut in the midst", asked.len(), whole.len(), cut.len())
}
