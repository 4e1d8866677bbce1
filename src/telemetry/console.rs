//! The operator's log: lines on standard error, plain or JSON, without content. One line tells of each interception.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use super::drain::{self, Log};
use super::open::Open;
use crate::audit::{Outlet, Published};
use crate::domain::visible;
use crate::store::records::{Row, Start};

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

/// Starts the log; `filter` is a level, or directives such as `info,toolgate::mcp=debug`. It is written to the end before
/// what this gives is dropped.
pub fn init(filter: &str, format: LogFormat) -> Result<Log, String> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .map_err(|error| format!("the log filter {filter:?} is not understood: {error}"))?;
    let (drain, log) = drain::start(io::stderr()).map_err(|error| error.to_string())?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter);
    let started = match format {
        LogFormat::Plain => {
            lines.with_writer(move || Events(drain.clone())).with_ansi(false).finish().try_init()
        }
        LogFormat::Json => lines.with_writer(move || drain.clone()).json().finish().try_init(),
    };
    started.map_err(|error| error.to_string())?;
    Ok(log)
}

/// Plain lines. What an event quotes may be written by a server: it must neither pass for an event of its own nor
/// steer a terminal.
struct Events<W>(W);

impl<W: Write> Write for Events<W> {
    /// Takes one whole event, as the subscriber writes it.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let text = visible(text.strip_suffix('\n').unwrap_or(&text)).replace('\n', "\n    ");
        self.0.write_all(format!("{text}\n").as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Tells of each interception once, when it has ended. The log never waits (`drain.rs`), so that this may be done in the
/// audit's writer.
#[derive(Debug, Default)]
pub(super) struct Ended(Mutex<Open<Box<Start>>>);

impl Outlet for Ended {
    fn publish(&self, records: &[Published]) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in records {
            let end = match &record.row {
                Row::Start(start) => {
                    running.insert(start.id, start.clone());
                    continue;
                }
                Row::End(end) => end,
                Row::Event(event) => {
                    if let Some(id) = event.late_end() {
                        running.remove(id);
                    }
                    continue;
                }
                _ => continue,
            };
            let start = running.remove(end.id);
            let start = start.as_deref();
            tracing::info!(
                target: "toolgate::interception",
                interception = %end.id,
                user = record.caller.as_ref().map(|caller| &caller.user),
                client = start.map(|start| &start.client),
                provider = start.map(|start| &start.provider),
                model = start.map(|start| &start.model),
                outcome = end.outcome,
                status = end.status,
                rounds = end.rounds,
                tools = end.injected_calls,
                ms = end.total_us.map(|micros| micros / 1_000),
                "an interception ended"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_pass_for_an_event() {
        let mut log = Events(vec![]);
        log.write_all(b"WARN failed error=it ended\nINFO all is well\x1b[2J\n").unwrap();
        log.write_all(b"INFO next\n").unwrap();
        let text = String::from_utf8(log.0).unwrap();
        assert_eq!(text, "WARN failed error=it ended\n    INFO all is well\\u{1b}[2J\nINFO next\n");
    }
}
