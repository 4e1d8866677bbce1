//! `toolgate demo`: a demo model, the example MCP server and the gateway, all on loopback, and one real
//! request through them.

mod brain;
mod model;
mod show;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::config::{Config, Pattern, Provider, ProviderKind, Server, Transport};
use crate::domain::{Inject, ToolSettings};

/// Show the main job with embedded defaults.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// End after the first conversation, instead of serving on
    #[arg(long)]
    once: bool,
    /// What to ask
    #[arg(long, default_value = "Search my notes for the release checklist, please.")]
    prompt: String,
    /// Where the demo gateway listens
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// Runs the demo.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    if !args.listen.ip().is_loopback() {
        anyhow::bail!(
            "the demo asks for no keys, so it listens on a loopback address only, not on {}",
            args.listen
        );
    }
    let folder = tempfile::tempdir().context("no temporary folder can be made")?;
    let stop = if args.once { CancellationToken::new() } else { super::serve::stop_on_signal()? };
    let tasks = TaskTracker::new();
    let model = model::start(&tasks, stop.clone()).await?;
    let listener =
        TcpListener::bind(args.listen).await.with_context(|| format!("cannot listen on {}", args.listen))?;
    let gateway = listener.local_addr()?;
    let app = App::start(config(model, args.listen, folder.path().join("toolgate.db"))?).await?;
    app.gateway().fleet.settled().await;

    let reader = app.gateway().reader.clone();
    let serving = tasks.spawn(app.serve(listener, stop.clone()));
    tasks.close();
    let shown = show::conversation(gateway, model, &args.prompt, &reader).await;
    if args.once || shown.is_err() {
        stop.cancel();
    } else {
        show::invitation(gateway)?;
    }
    serving.await??;
    tasks.wait().await;
    shown?;
    Ok(ExitCode::SUCCESS)
}

/// What the demo runs with: everything on loopback, no keys, tools for every request.
fn config(model: SocketAddr, listen: SocketAddr, database: PathBuf) -> anyhow::Result<Config> {
    let provider = |name: &str, kind, base_url| Provider {
        name: name.to_owned(),
        kind,
        base_url,
        api_key: None,
        headers: std::collections::BTreeMap::new(),
        settings: ToolSettings::default(),
        record: None,
    };
    let mut config = Config::loopback(vec![
        provider("anthropic", ProviderKind::Anthropic, format!("http://{model}")),
        provider("openai", ProviderKind::OpenAi, format!("http://{model}/v1")),
    ]);
    config.listen = listen;
    config.store = crate::config::Store::sqlite(database, config.store.durability);
    config.settings.inject = Some(Inject::Always);
    config.servers = vec![example_server()?];
    Ok(config)
}

/// The bundled example server, as a child of this process.
fn example_server() -> anyhow::Result<Server> {
    let program = std::env::current_exe().context("the program does not know where it is")?;
    let transport = Transport::Stdio {
        command: program.to_string_lossy().into_owned(),
        args: vec!["example-server".to_owned()],
        env: std::collections::BTreeMap::new(),
        cwd: None,
    };
    let read_only = vec![Pattern::parse("*").map_err(anyhow::Error::msg)?];
    Ok(Server { read_only, max_call_time: Duration::from_mins(2), ..Server::new("example", transport) })
}

/// Binds a port of the system's choice on loopback.
async fn loopback() -> std::io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0").await
}
