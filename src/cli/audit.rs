//! `toolgate audit`: the records, for people and for programs. Every reading is recorded.

mod export;
mod filter;
mod list;
mod place;
mod plain;
mod pretty;
mod proof;
mod show;
mod stats;
mod tail;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::PossibleValuesParser;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use self::export::{FormatArg, WhatArg};
use self::filter::FilterArgs;
use self::list::Listed;
use self::place::Place;
use self::tail::Tail;
use crate::audit::read::Whole;
use crate::audit::{Action, Reader};
use crate::domain::InterceptionId;
use crate::store::StoreError;
use crate::store::queries::{self, By, Dimension, Filter, Page, PageRequest, ToolBy};

pub use show::render as render_show;

/// Reads the audit.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Reading(Box<Reading>),
    #[command(flatten)]
    Proof(proof::Command),
}

#[derive(Debug, clap::Subcommand)]
enum Reading {
    /// Lists the newest interceptions, newest first
    List(ListArgs),
    /// Lists the newest tool calls, newest first
    Calls(ListArgs),
    /// Lists the newest conversations, newest first
    Threads(ListArgs),
    /// Lists who has asked
    Users(ListArgs),
    /// Lists what was done with the records
    Events(EventsArgs),
    /// Shows everything about one interception, or one conversation
    Show(ShowArgs),
    /// Tells of interceptions as they begin and end
    Tail(TailArgs),
    /// Writes records as a file to standard output
    Export(ExportArgs),
    /// Sums up interceptions and their tokens, or tool calls
    Stats(StatsArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most so many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct EventsArgs {
    #[command(flatten)]
    list: ListArgs,
    /// Only of this kind
    #[arg(long, value_parser = PossibleValuesParser::new(Action::ALL.map(Action::word)))]
    action: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// The interception's id, or the beginning or end of it
    id: String,
    /// Show the whole conversation that it belongs to
    #[arg(long)]
    thread: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct TailArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: FilterArgs,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: FilterArgs,
    /// What to export
    #[arg(long, value_enum, default_value = "interceptions")]
    what: WhatArg,
    /// How to write it
    #[arg(long, value_enum, default_value = "jsonl")]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct StatsArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    filter: FilterArgs,
    /// By what sums are told apart, with commas between: day, hour, user, key, provider, model, client, dialect, outcome;
    /// of tool calls: day, hour, server, tool, injected, outcome
    #[arg(long, value_name = "WORDS")]
    by: Option<String>,
    /// Sum up tool calls
    #[arg(long)]
    tools: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Since when sums are made where nobody says it.
const STATS_SINCE: &str = "30d";

/// Interceptions of a conversation that are in memory at once.
const AT_ONCE: u32 = 20;

/// Runs the command; what it prints may be cut off by a closed pipe, as by `head`.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout();
    let done = match args.command {
        Command::Reading(command) => match *command {
            Reading::Tail(args) => follow(&mut out, &args).await,
            command => page(&mut out, command).await,
        },
        Command::Proof(command) => return proof::run(command).await,
    };
    match done {
        Err(error) if !is_closed_pipe(&error) => Err(error),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

async fn page(out: &mut impl Write, command: Reading) -> anyhow::Result<()> {
    let now = Timestamp::now();
    match command {
        Reading::List(args) => {
            let (reader, filter, request) = ask(&args, "interceptions", &Filter::ALL, now).await?;
            listed(out, &args, queries::interceptions(reader.store(), &filter, &request).await)
        }
        Reading::Calls(args) => {
            let (reader, filter, request) = ask(&args, "tool_calls", &Filter::ALL, now).await?;
            listed(out, &args, queries::tool_calls(reader.store(), &filter, &request).await)
        }
        Reading::Threads(args) => {
            let (reader, filter, request) = ask(&args, "threads", &Filter::ALL, now).await?;
            listed(out, &args, queries::threads(reader.store(), &filter, &request).await)
        }
        Reading::Users(args) => {
            let (reader, filter, request) = ask(&args, "users", &Filter::OF_PEOPLE, now).await?;
            listed(out, &args, queries::users(reader.store(), &filter, &request).await)
        }
        Reading::Events(EventsArgs { list: args, action }) => {
            let action = action.as_deref().and_then(Action::of_word);
            let (reader, filter, request) = ask(&args, "audit_events", &Filter::OF_PEOPLE, now).await?;
            listed(out, &args, queries::events(reader.store(), &filter, action, &request).await)
        }
        Reading::Show(args) => show(out, &args).await,
        Reading::Export(args) => export(out, &args, now).await,
        Reading::Stats(args) => sum(out, &args, now).await,
        Reading::Tail(args) => follow(out, &args).await,
    }
}

async fn ask(
    args: &ListArgs,
    what: &str,
    filters: &[&str],
    now: Timestamp,
) -> anyhow::Result<(Reader, Filter, PageRequest)> {
    let filter = args.filter.filter(filters, now)?;
    let reader = args.place.read(Action::Read, json!({"what": what}), Some(&filter)).await?;
    Ok((reader, filter, PageRequest::newest(args.limit)))
}

fn listed<T: Listed + Serialize>(
    out: &mut impl Write,
    args: &ListArgs,
    page: Result<Page<T>, sqlx::Error>,
) -> anyhow::Result<()> {
    let rows = page.map_err(StoreError::from)?.items;
    if args.json { write_json(out, &rows) } else { Ok(list::render(out, &rows)?) }
}

fn write_json(out: &mut impl Write, value: &(impl Serialize + ?Sized)) -> anyhow::Result<()> {
    writeln!(out, "{}", plain::json(&serde_json::to_string_pretty(value)?))?;
    Ok(())
}

async fn show(out: &mut impl Write, args: &ShowArgs) -> anyhow::Result<()> {
    let what = if args.thread { "thread" } else { "interception" };
    let reader = args.place.read(Action::Read, json!({"what": what, "id": args.id}), None).await?;
    let id = find(&reader, &args.id).await?;
    let Some(whole) = reader.whole(id).await? else { bail!("there is no interception {id}") };
    match (args.thread, args.json) {
        (false, true) => write_json(out, &whole),
        (false, false) => Ok(show::render(out, &whole)?),
        (true, json) => conversation(out, &reader, whole.interception.thread, json).await,
    }
}

/// The whole conversation, a few interceptions at a time; as JSON, one interception a line.
async fn conversation(
    out: &mut impl Write,
    reader: &Reader,
    thread: InterceptionId,
    json: bool,
) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let is_first = after.is_none();
        let (wholes, next): (Vec<Whole>, _) = reader.conversation(thread, after, AT_ONCE).await?;
        if json {
            for whole in &wholes {
                writeln!(out, "{}", plain::json(&serde_json::to_string(whole)?))?;
            }
        } else {
            show::render_conversation(out, &wholes, is_first)?;
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

async fn export(out: &mut impl Write, args: &ExportArgs, now: Timestamp) -> anyhow::Result<()> {
    if args.format == FormatArg::Ocsf && args.what == WhatArg::AuditEvents {
        bail!("OCSF is written of interceptions and tool calls");
    }
    let filters = if args.what == WhatArg::AuditEvents { &Filter::OF_PEOPLE[..] } else { &Filter::ALL };
    let filter = args.filter.filter(filters, now)?;
    let reader = args.place.read(Action::Export, json!({"what": args.what.word()}), Some(&filter)).await?;
    export::write(out, &reader, args.what, args.format, filter, now).await
}

async fn sum(out: &mut impl Write, args: &StatsArgs, now: Timestamp) -> anyhow::Result<()> {
    let mut filter = args.filter.filter(&Filter::ALL, now)?;
    if filter.from.is_none() {
        filter.set("from", STATS_SINCE, now).map_err(anyhow::Error::msg)?;
    }
    let failed = |error: sqlx::Error| StoreError::from(error);
    if args.tools {
        let by = dimensions::<ToolBy>(args.by.as_deref().unwrap_or("server,tool,outcome"))?;
        let reader = args.place.read(Action::Read, json!({"what": "tool_statistics"}), Some(&filter)).await?;
        let rows = queries::tool_statistics(reader.store(), &filter, &by).await.map_err(failed)?;
        return if args.json { write_json(out, &rows) } else { Ok(stats::tools(out, &by, &rows)?) };
    }
    let by = dimensions::<By>(args.by.as_deref().unwrap_or("day,model"))?;
    let reader = args.place.read(Action::Read, json!({"what": "token_statistics"}), Some(&filter)).await?;
    let rows = queries::token_statistics(reader.store(), &filter, &by).await.map_err(failed)?;
    if args.json { write_json(out, &rows) } else { Ok(stats::tokens(out, &by, &rows)?) }
}

fn dimensions<D: Dimension>(text: &str) -> anyhow::Result<Vec<D>> {
    D::list(text).map_err(|why| anyhow::anyhow!("--by {text}: {why}"))
}

/// Tells until the program is ended.
async fn follow(out: &mut impl Write, args: &TailArgs) -> anyhow::Result<()> {
    let filter = args.filter.filter(&Filter::ALL, Timestamp::now())?;
    let mut tail = Tail::new(filter.clone(), Timestamp::now())?;
    let reader = args.place.read(Action::Read, json!({"what": "tail"}), Some(&filter)).await?;
    let mut looks = tokio::time::interval(tail::PAUSE);
    loop {
        looks.tick().await;
        let rows = tail.look(reader.store(), Timestamp::now()).await?;
        if args.json {
            tail::write_json(out, &rows)?;
        } else {
            tail::write_lines(out, &rows)?;
        }
        out.flush().context("cannot print")?;
    }
}

/// The one interception whose id begins or ends with this.
async fn find(reader: &Reader, piece: &str) -> anyhow::Result<InterceptionId> {
    const SHOWN: u32 = 10;
    let piece = piece.trim().to_ascii_lowercase();
    if piece.is_empty() || !piece.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()) {
        bail!("{piece:?} is no id and no part of one: ids have only the digits 0-9, a-f and dashes");
    }
    let found = queries::ids_like(reader.store(), &piece, SHOWN).await.map_err(StoreError::from)?;
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
