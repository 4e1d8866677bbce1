//! The commands of `toolgate`.

pub mod audit;
mod check;
mod demo;
mod example_server;
mod explain;
mod import;
mod keys;
mod output;
mod policy;
mod remote;
mod schema;
mod serve;
mod servers;
mod store;
mod tools;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use output::{complain, indented, print, print_coloured, print_json, table};

use crate::config::{self, Config};
use crate::egress::Egress;
use crate::mcp::Access;
use crate::policy::PolicyError;
use crate::seal::Sealer;
use crate::store::Store;
use crate::telemetry::{self, LogFormat};

/// The exit code for a configuration that cannot be used (`EX_USAGE` of sysexits.h).
const BAD_CONFIGURATION: u8 = 64;

/// An LLM gateway that hands every agent its organisation's approved MCP tools.
#[derive(Debug, Parser)]
#[command(name = "toolgate", version, arg_required_else_help = true)]
struct Cli {
    /// What to log: a level, or directives such as `info,toolgate::mcp=debug`
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the gateway
    Serve(ConfigArgs),
    /// Show the main job with embedded defaults: a demo model, an example MCP server and the gateway
    Demo(demo::Args),
    /// Load everything, connect to every server, and print what a caller would get
    Check(ConfigArgs),
    /// Show which tools a caller's requests get, and what leaves out the others
    Explain(explain::Args),
    /// Read the records
    Audit(audit::Args),
    /// Look after the store
    Store(store::Args),
    /// Make keys for callers
    Keys(keys::KeysArgs),
    /// Test policies
    Policy(policy::PolicyArgs),
    /// See how the servers of a running gateway are doing
    Servers(servers::Args),
    /// See and try tools, approve them, and see what changed since
    Tools(tools::Args),
    /// Take over MCP servers from Claude's or LiteLLM's configuration
    Import(import::Args),
    /// Print the JSON Schemas of the configuration files
    Schema(schema::SchemaArgs),
    /// Run the bundled example MCP server
    ExampleServer {
        /// Serve streamable HTTP at this loopback address, instead of standard input and output
        #[arg(long, value_name = "ADDRESS")]
        http: Option<SocketAddr>,
    },
}

/// Where the configuration is.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// The configuration file; `toolgate.yaml` in the working folder by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The whole command: reads the arguments, runs, and says with which code to exit.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let quiet = matches!(
        cli.command,
        Command::Demo(_)
            | Command::Check(_)
            | Command::Explain(_)
            | Command::Servers(_)
            | Command::Store(_)
            | Command::Tools(_)
            | Command::ExampleServer { .. }
    );
    let filter = cli.log.as_deref().unwrap_or(if quiet { "error" } else { "info" });
    let log = match telemetry::init(filter, cli.log_format) {
        Ok(log) => log,
        Err(error) => return complain(&error, BAD_CONFIGURATION),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("the runtime cannot start: {error}"), 1),
    };
    let done = runtime.block_on(command(cli.command));
    log.flush();
    match done {
        Ok(code) => code,
        Err(error) => {
            let bad_configuration = error.is::<config::ConfigError>() || error.is::<PolicyError>();
            complain(&format!("{error:#}"), if bad_configuration { BAD_CONFIGURATION } else { 1 })
        }
    }
}

async fn command(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::Check(args) => check::run(&args).await,
        Command::Explain(args) => explain::run(&args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::Store(args) => store::run(args).await,
        Command::Keys(args) => keys::run(args),
        Command::Policy(args) => policy::run(args),
        Command::Servers(args) => servers::run(&args).await,
        Command::Tools(args) => tools::run(args).await,
        Command::Import(args) => import::run(&args),
        Command::Schema(args) => schema::run(args),
        Command::ExampleServer { http } => {
            example_server::run(http, serve::stop_on_signal()?).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Loads the configuration, or says what is wrong with it.
fn load(explicit: Option<&Path>) -> Result<Config, ExitCode> {
    located(explicit).map(|(_, config)| config)
}

/// The same, with the place of the file.
fn located(explicit: Option<&Path>) -> Result<(PathBuf, Config), ExitCode> {
    let loaded = config::locate(explicit).and_then(|path| Ok((path.clone(), config::load(&path)?)));
    loaded.map_err(|error| complain(&error.to_string(), BAD_CONFIGURATION))
}

/// What credentials need, with a store of its own: a gateway may be running, and what users granted is not needed to
/// look at servers.
async fn access(config: &Config) -> anyhow::Result<Access> {
    let (egress, store) = (Egress::new(&config.egress)?, Store::in_memory().await?);
    Ok(Access::new(egress, store, Arc::new(Sealer::random()), config.public_url.clone()))
}
