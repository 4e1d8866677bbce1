//! `toolgate tools`: which tools the servers have, and which of their definitions are approved.
//!
//! For the lock, `survey.rs` asks the servers, `difference.rs` prints what differs from it, and `decide.rs` writes it.
//! `list.rs` and `call.rs` ask a running gateway.

mod call;
mod decide;
mod difference;
mod list;
mod survey;

use std::process::ExitCode;

use super::{ConfigArgs, print, print_coloured};
use survey::Survey;

/// The approved tools, and what the servers list by now.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the tools that a running gateway has for you
    List(list::ListArgs),
    /// Show one of them, with its arguments
    Show(list::ShowArgs),
    /// Call one of them, as an MCP client does
    Call(call::Args),
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
        Command::List(args) => list::list(&args).await,
        Command::Show(args) => list::show(&args).await,
        Command::Call(args) => call::run(&args).await,
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
    print_coloured(&difference::all(&survey))?;
    let differs = survey.tools().any(|(_, tool)| tool.is_open());
    Ok(if differs || !survey.is_whole() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
