//! The log: lines on standard error, plain or JSON.

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

/// What rmcp logs about ordinary ends of connections is noise, and its debug lines hold arguments.
const QUIET: &str = "rmcp=off";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Plain,
    /// One JSON object a line.
    Json,
}

/// Starts the log; `filter` is a level, or directives such as `info,toolgate::mcp=debug`.
pub fn init(filter: &str, format: LogFormat) -> Result<(), String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|error| format!("the log filter {filter:?} is not understood: {error}"))?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Plain => lines.with_ansi(false).finish().try_init(),
        LogFormat::Json => lines.json().finish().try_init(),
    };
    started.map_err(|error| error.to_string())
}
