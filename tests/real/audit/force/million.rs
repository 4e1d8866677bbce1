//! A month of a company: how large its records are, and how long questions take.
//!
//! The records are made by the audit itself, on a clock of their own, so that everything is as it would be.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use tokio::time::Instant;
use toolgate::audit::{Audit, Clock, Outlets, Settings};
use toolgate::seal::Sealer;

use crate::chance::Chance;
use crate::population::{Population, USERS};
use crate::questions;
use crate::store::Store;

const DAYS: i64 = 30;
/// Interceptions at once, so that commits are as full as under load.
const AT_ONCE: u64 = 256;
/// How often the clock is read in one interception, about.
const READINGS: i64 = 8;

/// What is asked for.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many interceptions
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// Keeps the store, and says where it is
    #[arg(long)]
    keep: bool,
    /// Asks a store that was kept, by its URL, and fills none
    #[arg(long, conflicts_with_all = ["count", "keep"])]
    again: Option<String>,
    #[command(flatten)]
    store: crate::store::Args,
}

pub async fn run(args: Args) -> bool {
    let mut chance = Chance::new(1);
    let mut store = Store::make(&args.store).await;
    if let Some(url) = args.again {
        println!("million: asked again");
        store.url = url;
    } else {
        println!("million: {} interceptions of {USERS} users on {}", args.count, store.name(1));
        let began = Instant::now();
        fill(&store, args.count, &mut chance).await;
        let seconds = began.elapsed().as_secs().max(1);
        println!("  written in {seconds} s, {} a second", args.count / seconds);
        let bytes = store.bytes().await;
        println!("  {} MiB, {} bytes an interception", bytes >> 20, bytes / args.count);
    }
    if args.keep {
        println!("  kept: {}", store.url);
        store.folder.disable_cleanup(true);
    }
    let database = store.open().await;
    let slow = questions::ask(&database, &mut chance).await;
    database.close().await;
    crate::passed(&slow)
}

/// Records of the last thirty days.
async fn fill(store: &Store, count: u64, chance: &mut Chance) {
    let database = store.open().await;
    let settings = Settings { clock: month(count), ..Settings::default() };
    let sealer = Arc::new(Sealer::random());
    let audit = Audit::open(database.clone(), sealer, Outlets::default(), settings).await.unwrap();
    let population = Arc::new(Population::new(chance));
    let left = Arc::new(AtomicU64::new(count));
    let mut askers = JoinSet::new();
    for _ in 0..AT_ONCE.min(count) {
        let (audit, population, left) = (audit.clone(), Arc::clone(&population), Arc::clone(&left));
        let mut chance = chance.branch();
        askers.spawn(async move {
            let next = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            while next().is_ok() {
                population.ask(&audit, &mut chance).await;
            }
        });
    }
    while let Some(done) = askers.join_next().await {
        done.unwrap();
    }
    audit.close().await;
    database.close().await;
}

/// A clock on which so many interceptions take the last thirty days.
fn month(count: u64) -> Clock {
    let days = SignedDuration::from_hours(24 * DAYS);
    let began = (Timestamp::now() - days).as_microsecond();
    let step = i64::try_from(days.as_micros()).unwrap() / (i64::try_from(count).unwrap() * READINGS);
    let readings = AtomicI64::new(0);
    let last = Timestamp::now().as_microsecond();
    Clock::new(move || {
        let now = began + readings.fetch_add(1, Ordering::Relaxed) * step;
        Timestamp::from_microsecond(now.min(last)).unwrap()
    })
}
