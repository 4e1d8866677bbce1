//! `toolgate store migrate` and `toolgate store check`: the database, without a gateway.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use super::{load, print, print_json, table};
use crate::config::{self, Durability, Location};
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
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    #[command(flatten)]
    place: Place,
    /// Print JSON
    #[arg(long)]
    json: bool,
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
