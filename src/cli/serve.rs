use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{BAD_CONFIGURATION, ConfigArgs, complain, located};
use crate::app::{App, StartError};

/// Serves until it is told to stop.
pub async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let (path, config) = match located(args.config.as_deref()) {
        Ok(located) => located,
        Err(code) => return Ok(code),
    };
    // From now on it does not end the process.
    let hangup = signal(SignalKind::hangup())?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    let app = match App::start(config).await {
        Ok(app) => app,
        Err(error) => return Ok(start_failed(&error)),
    };
    app.follow(&path, hangup);
    let stop = stop_on_signal()?;
    writeln!(std::io::stdout(), "toolgate listening on http://{address}")?;
    app.serve(listener, stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says why a gateway cannot start.
pub fn start_failed(error: &StartError) -> ExitCode {
    complain(&error.to_string(), if error.is_configuration() { BAD_CONFIGURATION } else { 1 })
}

/// A token that SIGINT or SIGTERM cancels.
pub fn stop_on_signal() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stopped = stop.clone();
    // Lives as long as the process; there is nobody left to wait for it.
    tokio_util::task::TaskTracker::new().spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopped.cancel();
    });
    Ok(stop)
}
