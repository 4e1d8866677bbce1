//! `toolgate audit list` and `toolgate audit show ID`: the records, for people and for programs.

mod list;
mod plain;
mod pretty;
mod show;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::domain::InterceptionId;
use crate::store::{Store, interceptions};

pub use list::render_list;
pub use show::render_show;

/// Reads the audit.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists the newest interceptions, newest first
    List(ListArgs),
    /// Shows everything about one interception
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Only those of this user
    #[arg(long)]
    user: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// The interception's id, or the beginning or end of it
    id: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Where the records are; the configuration says it where no option does.
#[derive(Debug, clap::Args)]
struct Place {
    /// The database file; no configuration is read then
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    store: Option<PathBuf>,
    /// The configuration that names the database file
    #[arg(long, value_name = "PATH", default_value = "toolgate.yaml")]
    config: PathBuf,
}

/// Runs the command; what it prints may be cut off by a closed pipe, as by `head`.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match io::stdout().lock().write_all(&page(args).await?) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn page(args: Args) -> anyhow::Result<Vec<u8>> {
    let mut page = Vec::new();
    match args.command {
        Command::List(args) => list(&mut page, &args).await?,
        Command::Show(args) => show(&mut page, &args).await?,
    }
    Ok(page)
}

async fn list(out: &mut impl Write, args: &ListArgs) -> anyhow::Result<()> {
    let store = open(&args.place).await?;
    let rows = interceptions::newest(&store, args.user.as_deref(), args.limit).await?;
    if args.json {
        return list::write_json(out, &rows);
    }
    Ok(render_list(out, &rows)?)
}

async fn show(out: &mut impl Write, args: &ShowArgs) -> anyhow::Result<()> {
    let store = open(&args.place).await?;
    let id = find(&store, &args.id).await?;
    if args.json { show::write_json(out, &store, id).await } else { render_show(out, &store, id).await }
}

async fn open(place: &Place) -> anyhow::Result<Store> {
    let at = match &place.store {
        Some(path) => crate::config::Store::sqlite(path, crate::config::Durability::default()),
        None => crate::config::load(&place.config)?.store,
    };
    Ok(Store::open_read_only(&at).await?)
}

/// The one interception whose id begins or ends with this.
async fn find(store: &Store, piece: &str) -> anyhow::Result<InterceptionId> {
    const SHOWN: u32 = 10;
    let piece = piece.trim().to_ascii_lowercase();
    if piece.is_empty() || !piece.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        bail!("{piece:?} is no id and no part of one: ids have only the digits 0-9, a-f and dashes");
    }
    let found = interceptions::ids_like(store, &piece, SHOWN).await?;
    match found.as_slice() {
        [] => bail!("no interception has an id that begins or ends with {piece}: see `toolgate audit list`"),
        [id] => Ok(*id),
        several => {
            let names: Vec<_> = several.iter().map(|id| format!("  {id}")).collect();
            bail!("{piece} fits more than one interception, such as:\n{}", names.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests;
