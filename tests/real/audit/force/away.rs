//! A store that goes away under load and comes back: a disk that is full, a PostgreSQL that is stopped.
//!
//! What must hold: whoever was answered with 200 has every record afterwards, whoever was not was refused with 503
//! (`refuse`), or nobody was (`spool`); and all is as before once the store is back.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::chance::Chance;
use crate::gateway::Setup;
use crate::ledger::Ledger;
use crate::load::{Asked, Ending, Load};
use crate::provider::{Pace, Provider};
use crate::store::Store;
use crate::tools::Tools;

const CLIENTS: u64 = 64;
/// How long the load goes on before and after.
const AROUND: Duration = Duration::from_secs(3);
/// How long the store is away once that has been noticed.
const AWAY: Duration = Duration::from_secs(5);
/// How long it may take until it is noticed, and until all is as before.
const PATIENCE: Duration = Duration::from_mins(1);

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
    /// Repeats a run's choices
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    store: crate::store::Args,
}

/// What was asked in which phase.
struct Phases {
    before: Vec<Asked>,
    away: Vec<Asked>,
    after: Vec<Asked>,
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
    let audit = format!(
        "instance: '${{INSTANCE}}', lease: 3s, on_full: block, on_unavailable: {}, spool: '{}'",
        args.on_unavailable.word(),
        spool.display()
    );
    let (name, word) = (store.name(1), args.on_unavailable.word());
    println!("away: {name}, on_unavailable: {word}, durability: {} (seed {seed})", args.durability);
    let setup =
        Setup::new(&store.program, &store.yaml(&args.durability), provider_address, tools_address, &audit);
    let mut gateway = setup.spawn("gateway");
    let mut load = Load::start(CLIENTS, &mut chance);
    load.up(gateway.ready().await);
    let mut problems = Vec::new();
    let phases = go_through(&args, &mut load, &spool, &mut problems).await;
    let log = gateway.terminate().await;
    judge(&phases, args.on_unavailable, &mut problems);
    on_record(&phases, &Ledger::open(&store.reading()).await, &provider, &tools, &mut problems).await;
    let (code, verified) = setup.run(&["audit", "verify", "--json"]).await;
    if code != 0 {
        problems.push(format!("`audit verify` ended with {code}: {verified}"));
    }
    println!("  verify: {}", crate::gateway::shortened(&verified));
    if !problems.is_empty() {
        println!("  the end of the log:\n{log}");
    }
    crate::passed(&problems)
}

/// Load, no store, a store again.
async fn go_through(args: &Args, load: &mut Load, spool: &PathBuf, problems: &mut Vec<String>) -> Phases {
    sleep(AROUND).await;
    let before = load.take();
    shell(&args.away).await;
    let began = Instant::now();
    let mut away = Vec::new();
    loop {
        sleep(Duration::from_millis(50)).await;
        away.extend(load.take());
        let noticed = match args.on_unavailable {
            OnUnavailable::Refuse => away.iter().any(|asked: &Asked| asked.status == Some(503)),
            OnUnavailable::Spool => std::fs::metadata(spool).is_ok_and(|file| file.len() > 0),
        };
        if noticed {
            println!("  noticed after {:.1} s", began.elapsed().as_secs_f64());
            break;
        }
        if began.elapsed() > PATIENCE {
            problems.push("nobody noticed that the store is away".to_owned());
            break;
        }
    }
    sleep(AWAY).await;
    away.extend(load.take());
    shell(&args.back).await;
    let began = Instant::now();
    // What was refused until the gateway noticed belongs to the outage.
    let mut after = Vec::new();
    while began.elapsed() < PATIENCE {
        sleep(Duration::from_millis(50)).await;
        let asked = load.take();
        let (recovered, still): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|asked| asked.status == Some(200));
        away.extend(still);
        if recovered.is_empty() {
            continue;
        }
        after.extend(recovered);
        break;
    }
    println!("  back after {:.1} s", began.elapsed().as_secs_f64());
    sleep(Duration::from_secs(1)).await;
    away.extend(load.take());
    sleep(AROUND).await;
    after.extend(load.stop().await);
    Phases { before, away, after }
}

/// Who got what.
fn judge(phases: &Phases, on_unavailable: OnUnavailable, problems: &mut Vec<String>) {
    for (name, asked) in [("before", &phases.before), ("away", &phases.away), ("after", &phases.after)] {
        let with = |status: u16| asked.iter().filter(|asked| asked.status == Some(status)).count();
        let others = asked.len() - with(200) - with(503);
        println!("  {name}: {} answered with 200, {} with 503, {others} otherwise", with(200), with(503));
        if others > 0 {
            let some = asked.iter().find(|asked| !matches!(asked.status, Some(200 | 503)));
            problems.push(format!("{name}: {others} requests got neither 200 nor 503, such as {some:?}"));
        }
        if with(503) > 0 && (name != "away" || on_unavailable == OnUnavailable::Spool) {
            let some = asked.iter().find(|asked| asked.status == Some(503));
            problems.push(format!("{name}: {} requests were refused, such as {some:?}", with(503)));
        }
        let ended = |ending: Ending| {
            asked.iter().filter(|asked| asked.status == Some(200) && asked.ending == ending).count()
        };
        println!("    of those with 200, {} were told of a failure in mid-stream", ended(Ending::Failed));
        if ended(Ending::Cut) > 0 {
            problems.push(format!("{name}: {} answers were cut", ended(Ending::Cut)));
        }
        if name != "away" && with(200) == 0 {
            problems.push(format!("{name}: nobody was answered"));
        }
    }
}

/// Looks for every record of everyone who was answered with 200.
async fn on_record(
    phases: &Phases,
    ledger: &Ledger,
    provider: &Arc<Provider>,
    tools: &Arc<Tools>,
    problems: &mut Vec<String>,
) {
    let asked = || phases.before.iter().chain(&phases.away).chain(&phases.after);
    let answered: Vec<&Asked> =
        asked().filter(|asked| asked.status == Some(200) && asked.ending != Ending::Cut).collect();
    let interceptions: Vec<String> = answered.iter().filter_map(|asked| asked.interception.clone()).collect();
    let ended = "SELECT id FROM interceptions WHERE outcome IN ('completed', 'failed') AND id IN";
    let without_end = ledger.without(&interceptions, ended).await;
    let rounds: Vec<String> = provider.take_answered().into_iter().collect();
    let without_tokens =
        ledger.without(&rounds, "SELECT response_id FROM token_usage WHERE response_id IN").await;
    let calls = tools.take_calls();
    let without_intent = ledger.without_intent(&calls).await;
    let settled = "SELECT call_id FROM tool_usage WHERE outcome IS NOT NULL AND call_id IN";
    let without_outcome = ledger.without(&calls, settled).await;
    let prompted = "SELECT interception_id FROM prompt_usage WHERE interception_id IN";
    let without_prompt = ledger.without(&interceptions, prompted).await;
    for (what, wanted, missing) in [
        ("ends of interceptions", interceptions.len(), without_end),
        ("prompts", interceptions.len(), without_prompt),
        ("rounds with their tokens", rounds.len(), without_tokens),
        ("intents of calls", calls.len(), without_intent),
        ("outcomes of calls", calls.len(), without_outcome),
    ] {
        println!("  {what}: {wanted} due, {} missing", missing.len());
        if let Some(some) = missing.first() {
            problems.push(format!("{} {what} are missing, such as that of {some}", missing.len()));
        }
    }
    let open = ledger.open_rows().await;
    if open > 0 {
        problems.push(format!("{open} rows are open"));
    }
}

async fn shell(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().await.unwrap();
    assert!(status.success(), "`{line}` failed");
}
