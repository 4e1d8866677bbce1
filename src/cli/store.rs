//! `toolgate store migrate`, `store check` and `store prune`: the database, without a gateway.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{load, print, print_json, table};
use crate::audit::Outlets;
use crate::audit::event::COMMANDS;
use crate::audit::retention::{Removed, Retention};
use crate::config::{self, Durability, Location};
use crate::gateway::retention;
use crate::store::{Store, health};

/// Looks after the store.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Bring the tables up to date, as the gateway does when it starts; make them where there are none
    Migrate(Place),
    /// Look whether the database is sound, and what is in it
    Check(CheckArgs),
    /// Take away what is too old, as the gateway does every hour
    Prune(PruneArgs),
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct PruneArgs {
    /// The configuration that says how long everything is kept; `toolgate.yaml` in the working folder by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only count what is too old
    #[arg(long)]
    dry_run: bool,
}

/// Where the store is; the configuration says it where no option does.
#[derive(Debug, clap::Args)]
struct Place {
    /// The database: a file, or `postgres://user@host/database`; no configuration is read then
    #[arg(long, value_name = "STORE", conflicts_with = "config")]
    store: Option<Location>,
    /// The configuration that names the store; `toolgate.yaml` in the working folder by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn find(&self) -> Result<config::Store, ExitCode> {
        match &self.store {
            Some(at) => Ok(config::Store { at: at.clone(), durability: Durability::default() }),
            None => load(self.config.as_deref()).map(|config| config.store),
        }
    }
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Migrate(place) => migrate(&place).await,
        Command::Check(args) => check(&args).await,
        Command::Prune(args) => prune(&args).await,
    }
}

async fn migrate(place: &Place) -> anyhow::Result<ExitCode> {
    let place = match place.find() {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let store = Store::open(&place).await?;
    store.close().await;
    print(&format!("{}: the tables are up to date\n", place.at))?;
    Ok(ExitCode::SUCCESS)
}

/// Exits with 1 where anything is broken.
async fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let place = match args.place.find() {
        Ok(place) => place,
        Err(code) => return Ok(code),
    };
    let store = Store::open_read_only(&place).await?;
    let health = health::examine(&store).await?;
    if args.json {
        print_json(&health)?;
    } else {
        print(&page(&place.at, &health)?)?;
    }
    Ok(if health.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn prune(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let config = match load(args.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    Store::open_read_only(&config.store).await?.close().await;
    let store = Store::open(&config.store).await?;
    let records = Retention {
        by: COMMANDS.to_owned(),
        ..Retention::of(&config.audit, store.clone(), Outlets::default())
    };
    if args.dry_run {
        let counts = records.count().await?.into_iter().zip(["interceptions", "texts", "names"]);
        let told = counts.map(|(count, what)| match count {
            Some(count) => format!("{count} {what} are too old\n"),
            None => format!("{what} are kept for ever\n"),
        });
        print(&told.collect::<String>())?;
    } else {
        let Removed { interceptions, events, links, texts, names } = records.prune().await?;
        let conversations = retention::forget(&store, config.continuity.retention).await?;
        print(&format!(
            "took away {interceptions} interceptions, {events} events, {links} links, {texts} texts, {names} names, \
             and {conversations} rows of what conversations have not used for long\n"
        ))?;
    }
    store.close().await;
    Ok(ExitCode::SUCCESS)
}

fn page(at: &Location, health: &health::Health) -> Result<String, std::fmt::Error> {
    let mut page = String::new();
    writeln!(page, "{at}")?;
    for broken in &health.broken {
        writeln!(page, "  BROKEN: {broken}")?;
    }
    if health.broken.is_empty() {
        writeln!(page, "  sound")?;
    }
    let each = health.bytes_per_interception.map(|bytes| format!(", {bytes} for each interception"));
    writeln!(page, "  {} bytes{}", health.bytes, each.unwrap_or_default())?;
    if let (Some(oldest), Some(newest)) = (health.oldest, health.newest) {
        writeln!(page, "  interceptions from {oldest:.0} to {newest:.0}")?;
    }
    writeln!(
        page,
        "  {} texts are gone (too old, or erased); {} are not spoken of any more",
        health.missing_texts, health.orphaned_texts
    )?;
    let mut rows = table(&["table", "rows"]);
    for count in &health.tables {
        rows.add_row([count.table, &count.rows.to_string()]);
    }
    writeln!(page, "{rows}")?;
    Ok(page)
}
