//! A store that goes away under load and comes back: a disk that is full, a PostgreSQL that is stopped, crashes, or says
//! nothing any more.
//!
//! What must hold: whoever was answered with 200 has every record afterwards, whoever was not was refused with 503
//! (`refuse`), or nobody was (`spool`); it is noticed soon, and all is as before soon after the store is back. A server
//! that crashes without having waited for its disk may lose the last moments before: then the records say so.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::chance::Chance;
use crate::gateway::{Gateway, Setup};
use crate::ledger::Ledger;
use crate::load::{Asked, Ending, Load};
use crate::provider::{Pace, Provider};
use crate::store::Store;
use crate::tools::Tools;

const CLIENTS: u64 = 64;
/// How long the load goes on before and after.
const AROUND: Duration = Duration::from_secs(3);
/// Longer than the gateway takes until it has recorded all, and a server until what it acknowledged is on its disk.
const UNSURE: Duration = Duration::from_secs(5);
/// How long the store is away once that has been noticed.
const AWAY: Duration = Duration::from_secs(4);
/// How long requests may still be refused after the store is back.
const GRACE: Duration = Duration::from_secs(2);
/// When the store comes back after the gateway was told to stop.
const LATE: Duration = Duration::from_secs(3);
/// How long it may take until all that was open is closed: a lease, and a term of another one.
const CLOSING: Duration = Duration::from_secs(20);

/// What new interceptions get meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum OnUnavailable {
    Refuse,
    Spool,
}

impl OnUnavailable {
    fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Spool => "spool",
        }
    }
}

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The gateway's setting
    #[arg(long, value_enum)]
    on_unavailable: OnUnavailable,
    /// What a commit survives
    #[arg(long, default_value = "process")]
    durability: String,
    /// The shell command that takes the store away
    #[arg(long)]
    away: String,
    /// The shell command that brings it back
    #[arg(long)]
    back: String,
    /// Within how many seconds that is noticed
    #[arg(long, default_value_t = 5.0)]
    noticed_within: f64,
    /// What was acknowledged in the last moments may be lost
    #[arg(long)]
    may_lose: bool,
    /// Tells the gateway to stop before the store is back
    #[arg(long)]
    stopping: bool,
    /// Repeats a run's choices
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    store: crate::store::Args,
}

/// What was asked in one phase, and what went on meanwhile.
#[derive(Default)]
struct Phase {
    name: &'static str,
    asked: Vec<Asked>,
    /// Ids of the provider's answers.
    rounds: Vec<String>,
    /// Ids of the tools' calls.
    calls: Vec<String>,
    /// Whether its records may be lost.
    may_lose: bool,
    /// Whether requests may be refused.
    may_refuse: bool,
}

/// All around the gateway.
struct Scene {
    args: Args,
    load: Load,
    provider: std::sync::Arc<Provider>,
    tools: std::sync::Arc<Tools>,
    store: Store,
    setup: Setup,
    spool: PathBuf,
    problems: Vec<String>,
}

pub async fn run(args: Args) -> bool {
    let seed = args.seed.unwrap_or_else(Chance::any_seed);
    let mut chance = Chance::new(seed);
    let pace = Pace { head: Duration::from_millis(20), frame: Duration::from_micros(200), steady: false };
    let (provider, provider_address) = Provider::start(pace, chance.branch()).await;
    let (tools, tools_address) = Tools::start(Duration::from_millis(20), false, chance.branch()).await;
    let store = Store::make(&args.store).await;
    let spooled = tempfile::tempdir().unwrap();
    let spool = spooled.path().join("toolgate.spool");
    let word = args.on_unavailable.word();
    let audit = format!(
        "instance: '${{INSTANCE}}', lease: 3s, on_full: block, on_unavailable: {word}, spool: '{}'",
        spool.display()
    );
    println!(
        "away: {}, on_unavailable: {word}, durability: {} (seed {seed})\n  {}",
        store.name(1),
        args.durability,
        args.away
    );
    let setup =
        Setup::new(&store.program, &store.yaml(&args.durability), provider_address, tools_address, &audit);
    let mut gateway = setup.spawn("gateway");
    let load = Load::start(CLIENTS, &mut chance);
    load.up(gateway.ready().await);
    let mut scene = Scene { args, load, provider, tools, store, setup, spool, problems: Vec::new() };
    let log = scene.play(gateway).await;
    if !scene.problems.is_empty() {
        println!("  the end of the log:\n{log}");
    }
    crate::passed(&scene.problems)
}

impl Scene {
    /// Load, no store, a store again; then the records. Gives the end of the gateway's log.
    async fn play(&mut self, gateway: Gateway) -> String {
        let mut before = self.phase("before");
        while before.with(200).next().is_none() {
            sleep(AROUND).await;
            before.add(Vec::new(), self.phase("before"));
        }
        let mut phases = vec![before];
        if self.args.may_lose {
            sleep(UNSURE).await;
        }
        shell(&self.args.away).await;
        let mut away = self.notice().await;
        sleep(AWAY).await;
        let log = if self.args.stopping {
            away.add(self.load.stop().await, self.phase("away"));
            let (log, ()) = tokio::join!(gateway.terminate(), async {
                sleep(LATE).await;
                shell(&self.args.back).await;
            });
            phases.push(away);
            if self.args.on_unavailable == OnUnavailable::Spool {
                // What waits in the spool is brought in by the next start.
                let mut next = self.setup.spawn("gateway");
                next.ready().await;
                next.terminate().await;
            }
            log
        } else {
            shell(&self.args.back).await;
            let back = Instant::now();
            sleep(GRACE).await;
            away.add(Vec::new(), self.phase("away"));
            sleep(AROUND).await;
            let last = self.load.stop().await;
            let mut after = Phase { name: "after", ..Phase::default() };
            after.add(last, self.phase("after"));
            // Who asked while the store was away may have waited until now.
            let (late, asked) =
                std::mem::take(&mut after.asked).into_iter().partition(|asked| asked.sent < back + GRACE);
            away.asked.extend::<Vec<_>>(late);
            after.asked = asked;
            told_when_refusals_ended(&away, back);
            phases.extend([away, after]);
            self.all_is_closed().await;
            gateway.terminate().await
        };
        for phase in &phases {
            judge(phase, &mut self.problems);
        }
        self.on_record(&phases).await;
        log
    }

    /// What has been asked since the last time.
    fn phase(&mut self, name: &'static str) -> Phase {
        let is_away = name == "away";
        Phase {
            name,
            asked: self.load.take(),
            rounds: self.provider.take_answered().into_iter().collect(),
            calls: self.tools.take_calls(),
            may_lose: is_away && self.args.may_lose,
            may_refuse: is_away && self.args.on_unavailable == OnUnavailable::Refuse,
        }
    }

    /// Waits until the gateway has noticed that its store is away.
    async fn notice(&mut self) -> Phase {
        let began = Instant::now();
        let mut away = self.phase("away");
        let within = Duration::from_secs_f64(self.args.noticed_within);
        loop {
            let noticed = match self.args.on_unavailable {
                OnUnavailable::Refuse => away.asked.iter().any(|asked| asked.status == Some(503)),
                OnUnavailable::Spool => std::fs::metadata(&self.spool).is_ok_and(|file| file.len() > 0),
            };
            if noticed {
                println!("  noticed after {:.1} s", began.elapsed().as_secs_f64());
                return away;
            }
            if began.elapsed() > within {
                self.problems.push(format!("after {within:?} nobody had noticed that the store is away"));
                return away;
            }
            sleep(Duration::from_millis(50)).await;
            away.add(Vec::new(), self.phase("away"));
        }
    }

    /// Waits until nothing is open any more, without a gateway's start or end.
    async fn all_is_closed(&mut self) {
        let (ledger, began) = (Ledger::open(&self.store.reading()).await, Instant::now());
        let closed = timeout(CLOSING, async {
            while ledger.open_rows().await > 0 {
                sleep(Duration::from_millis(100)).await;
            }
        });
        if closed.await.is_err() {
            self.problems.push(format!("{} rows stay open", ledger.open_rows().await));
        }
        println!("  nothing is open {:.1} s after the load", began.elapsed().as_secs_f64());
        ledger.close().await;
    }

    /// Looks for every record of everyone who was answered with 200, and asks `verify`.
    async fn on_record(&mut self, phases: &[Phase]) {
        let ledger = Ledger::open(&self.store.reading()).await;
        let mut unsure = 0;
        for phase in phases {
            for (what, wanted, missing) in phase.missing(&ledger).await {
                println!("  {}: {what}: {wanted} due, {} missing", phase.name, missing.len());
                if phase.may_lose {
                    unsure += missing.len();
                } else if let Some(some) = missing.first() {
                    let (name, count) = (phase.name, missing.len());
                    self.problems.push(format!("{name}: {count} {what} are missing, such as that of {some}"));
                }
            }
        }
        let open = ledger.open_rows().await;
        if open > 0 {
            self.problems.push(format!("{open} rows are open"));
        }
        let told = ledger.count("audit_events WHERE action = 'lost'").await;
        println!("  events that tell of lost commits: {told}");
        // What is lost may also be what nobody waits for, such as the start of a request that was refused then.
        if unsure > 0 && told == 0 {
            self.problems.push(format!("{unsure} records are missing, and no event tells of lost commits"));
        }
        ledger.close().await;
        let (code, verified) = self.setup.run(&["audit", "verify", "--json"]).await;
        println!("  verify: {}", crate::gateway::shortened(&verified));
        if code != 0 {
            self.problems.push(format!("`audit verify` ended with {code}: {verified}"));
        }
    }
}

impl Phase {
    fn add(&mut self, asked: Vec<Asked>, more: Phase) {
        self.asked.extend(asked);
        self.asked.extend(more.asked);
        self.rounds.extend(more.rounds);
        self.calls.extend(more.calls);
    }

    fn with(&self, status: u16) -> impl Iterator<Item = &Asked> {
        self.asked.iter().filter(move |asked| asked.status == Some(status))
    }

    /// What is due, how much of it, and which of it is not there.
    async fn missing(&self, ledger: &Ledger) -> [(&'static str, usize, Vec<String>); 5] {
        let answered = self.with(200).filter(|asked| asked.ending != Ending::Cut);
        let answered: Vec<String> = answered.filter_map(|asked| asked.interception.clone()).collect();
        let ended = "SELECT id FROM interceptions WHERE outcome IN ('completed', 'failed') AND id IN";
        let prompted = "SELECT interception_id FROM prompt_usage WHERE interception_id IN";
        let counted = "SELECT response_id FROM token_usage WHERE response_id IN";
        let settled = "SELECT call_id FROM tool_usage WHERE outcome IS NOT NULL AND call_id IN";
        let Self { rounds, calls, .. } = self;
        [
            ("ends of interceptions", answered.len(), ledger.without(&answered, ended).await),
            ("prompts", answered.len(), ledger.without(&answered, prompted).await),
            ("rounds with their tokens", rounds.len(), ledger.without(rounds, counted).await),
            ("intents of calls", calls.len(), ledger.without_intent(calls).await),
            ("outcomes of calls", calls.len(), ledger.without(calls, settled).await),
        ]
    }
}

/// Who got what.
fn judge(phase: &Phase, problems: &mut Vec<String>) {
    let Phase { name, asked, .. } = phase;
    let (answered, refused) = (phase.with(200).count(), phase.with(503).count());
    let others = asked.len() - answered - refused;
    println!("  {name}: {answered} answered with 200, {refused} with 503, {others} otherwise");
    if others > 0 {
        let some = asked.iter().find(|asked| !matches!(asked.status, Some(200 | 503)));
        problems.push(format!("{name}: {others} requests got neither 200 nor 503, such as {some:?}"));
    }
    if refused > 0 && !phase.may_refuse {
        problems.push(format!("{name}: {refused} were refused, such as {:?}", phase.with(503).next()));
    }
    let ended = |ending: Ending| phase.with(200).filter(|asked| asked.ending == ending).count();
    println!("    of those with 200, {} were told of a failure in mid-stream", ended(Ending::Failed));
    if ended(Ending::Cut) > 0 {
        problems.push(format!("{name}: {} answers were cut", ended(Ending::Cut)));
    }
    if name != &"away" && answered == 0 {
        problems.push(format!("{name}: nobody was answered"));
    }
}

fn told_when_refusals_ended(away: &Phase, back: Instant) {
    let last = away.with(503).map(|asked| asked.sent).max();
    let after = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(back));
    let longest = away.asked.iter().map(|asked| asked.answered - asked.sent).max().unwrap_or_default();
    println!(
        "  the last one who was refused asked {:.1} s after the store was back; the longest wait was {:.1} s",
        after.as_secs_f64(),
        longest.as_secs_f64()
    );
}

async fn shell(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().await.unwrap();
    assert!(status.success(), "`{line}` failed");
}
