//! `toolgate tools`: which tools the servers have, and which of their definitions are approved.
//!
//! `survey.rs` asks the servers; `show.rs` prints what differs from `tools.lock`; `decide.rs` writes it.

mod decide;
mod show;
mod survey;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use anyhow::Context;

use super::ConfigArgs;
use survey::Survey;

/// The approved tools, and what the servers list by now.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Approve all tools that are new, and begin `tools.lock` where there is none
    Lock(LockArgs),
    /// Show what servers list otherwise than it was approved; exits with 1 where there is anything
    Diff(DiffArgs),
    /// Approve what servers list now
    Approve(ApproveArgs),
    /// Note that a tool may not be used as it is listed now
    Reject(RejectArgs),
}

#[derive(Debug, clap::Args)]
struct LockArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, clap::Args)]
struct ApproveArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    which: Which,
    /// Everything that is new, changed or gone on every server
    #[arg(long, conflicts_with_all = ["server", "tool"], required_unless_present = "server")]
    all: bool,
    #[command(flatten)]
    consent: Consent,
}

#[derive(Debug, clap::Args)]
struct RejectArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The server
    server: String,
    /// The tool, by its server's name for it
    tool: String,
}

/// A part of the fleet.
#[derive(Debug, Default, clap::Args)]
struct Which {
    /// Only this server
    server: Option<String>,
    /// Only this tool of it, by its server's name for it
    tool: Option<String>,
}

/// What is not asked for any more.
#[derive(Debug, clap::Args)]
struct Consent {
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Approve also what has serious findings
    #[arg(long)]
    accept_findings: bool,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Lock(args) => decide::lock(&args).await,
        Command::Diff(args) => diff(&args).await,
        Command::Approve(args) => decide::approve(&args).await,
        Command::Reject(args) => decide::reject(&args).await,
    }
}

async fn diff(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    let survey = match Survey::take(&args.config, &args.which).await? {
        Ok(survey) => survey,
        Err(code) => return Ok(code),
    };
    print(&show::differences(&survey))?;
    let differs = survey.tools().any(|(_, tool)| tool.is_open());
    Ok(if differs || !survey.is_whole() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is printed may be cut off by a closed pipe, as by `head`.
fn print(text: &str) -> anyhow::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot print"),
        _ => Ok(()),
    }
}
