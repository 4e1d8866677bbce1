//! The only place where all parts meet: a configuration becomes a running gateway, changes while it runs
//! (`app/reload.rs`), and ends in order.

mod changes;
mod files;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::signal::unix::Signal;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::reload::Reloader;
use crate::audit::checkpoint::{Notary, Signer, SigningKeyError};
use crate::audit::retention::Retention;
use crate::audit::{self, Audit, Clock, Reader};
use crate::config::{Config, LockMode};
use crate::egress::Egress;
use crate::gateway::{Continuity, Gateway, IssuedIds, Journals, Pins, Searches, retention};
use crate::http::{AppState, metrics_router, router, undelayed};
use crate::identity::Identity;
use crate::mcp::lock::{self, Lock, LockError};
use crate::mcp::{Access, Fleet};
use crate::mcp_server::McpServer;
use crate::policy::{InForce, Policy, PolicyError};
use crate::provider::{ProviderError, Providers};
use crate::seal::{KeyFileError, Sealer};
use crate::store::{Store, StoreError};
use crate::telemetry::Telemetry;

/// How long clients have at shutdown to read what has been sent.
const CLOSE_CONNECTIONS: Duration = Duration::from_secs(5);

/// How long records that are committed have at shutdown to go out.
const SEND_RECORDS: Duration = Duration::from_secs(5);

/// How long connections to MCP servers have to close at shutdown.
const CLOSE_SERVERS: Duration = Duration::from_secs(5);

/// How long the last checkpoint may take.
const LAST_CHECKPOINT: Duration = Duration::from_secs(10);

/// A gateway that is ready to serve.
#[derive(Debug)]
pub struct App {
    /// The records.
    pub store: Store,
    mcp: Arc<McpServer>,
    current: Arc<ArcSwap<Gateway>>,
    config: Config,
    shared: Shared,
    telemetry: Arc<Telemetry>,
    notary: Arc<Notary>,
    servers: TaskTracker,
    background: TaskTracker,
    /// Ends what runs in the background.
    ending: CancellationToken,
}

/// What an interception needs besides the configuration: it outlives every reload.
#[derive(Debug, Clone)]
struct Shared {
    policy: Arc<InForce>,
    fleet: Fleet,
    audit: Audit,
    reader: Reader,
    issued: Arc<IssuedIds>,
    searches: Arc<Searches>,
    pins: Arc<Pins>,
    continuity: Arc<Continuity>,
    journals: Arc<Journals>,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Shared {
    /// The gateway with this configuration, whose providers have been made.
    fn gateway(&self, config: &Config, providers: Providers) -> Gateway {
        let Self {
            policy,
            fleet,
            audit,
            reader,
            issued,
            searches,
            pins,
            continuity,
            journals,
            places,
            tasks,
            closing,
        } = self.clone();
        Gateway {
            identity: Identity::new(&config.auth),
            providers,
            policy,
            fleet,
            audit,
            reader,
            limits: config.limits.clone(),
            settings: config.settings,
            inject_limits: config.inject_limits,
            hosted_tools: config.hosted_tools,
            issued,
            searches,
            pins,
            continuity,
            journals,
            places,
            tasks,
            exports_traces: config.telemetry.otlp.is_some(),
            closing,
        }
    }
}

/// Why a gateway cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A policy file is wrong.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A provider is wrong.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// `tools.lock` cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The system gives no HTTP client.
    #[error("the HTTP client cannot be made: {0}")]
    HttpClient(#[source] reqwest::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key that signs checkpoints cannot be had.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// The key that seals conversations cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The audit cannot begin.
    #[error(transparent)]
    Audit(#[from] audit::OpenError),
}

/// Why serving has not ended well.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The store was away for too long.
    #[error("the gateway has stopped, and {0} records could not be written: they are lost")]
    Lost(u64),
}

impl StartError {
    /// Whether the configuration is to blame.
    pub fn is_configuration(&self) -> bool {
        !matches!(
            self,
            Self::HttpClient(_) | Self::Store(_) | Self::Key(_) | Self::SigningKey(_) | Self::Audit(_)
        )
    }
}

impl App {
    /// Builds all parts; MCP servers come up in the background.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::build(config, true).await
    }

    /// The same with an audit that keeps nothing, to measure what the real one costs.
    #[doc(hidden)]
    pub async fn discarding(config: Config) -> Result<Self, StartError> {
        Self::build(config, false).await
    }

    async fn build(config: Config, records: bool) -> Result<Self, StartError> {
        let policy = Policy::load(&config.policies)?;
        let providers = Providers::new(&config.providers)?;
        let lock = lock_in_force(&config)?;
        if lock.is_none() {
            tracing::info!("no tools.lock is in force: tools are used as their servers list them");
        }
        let store = Store::open(&config.store).await?;
        let sealer = Arc::new(sealer(&config, &store)?);
        let signer = signer(&config)?;
        let settings = audit::Settings::of(&config);
        let telemetry = Arc::new(Telemetry::start(&config).map_err(StartError::HttpClient)?);
        let audit = if records {
            Audit::open(store.clone(), Arc::clone(&sealer), telemetry.outlets(), settings).await?
        } else {
            Audit::discarding()
        };
        let servers = TaskTracker::new();
        let tasks = TaskTracker::new();
        let egress = Egress::new(&config.egress).map_err(StartError::HttpClient)?;
        let access = Access::new(egress, store.clone(), sealer.clone(), config.public_url.clone());
        let shared = Shared {
            policy: Arc::new(InForce::new(policy)),
            fleet: Fleet::start(&config.servers, &config.tool_name, lock.clone(), access, &servers),
            audit,
            reader: Reader::new(store.for_questions(), Arc::clone(&sealer)),
            searches: Arc::default(),
            issued: Arc::new(IssuedIds::new(store.clone())),
            pins: Arc::new(Pins::new(store.clone())),
            places: Arc::new(Semaphore::new(config.limits.max_interceptions)),
            continuity: Arc::new(Continuity::new(store.clone(), sealer, config.continuity, tasks.clone())),
            journals: Arc::new(Journals::new(config.continuity.repeat_window)),
            tasks,
            closing: CancellationToken::new(),
        };
        let (background, ending) = (TaskTracker::new(), CancellationToken::new());
        if config.lock != LockMode::Off {
            let (fleet, folder) = (shared.fleet.clone(), config.folder.clone());
            background.spawn(lock::watch(fleet, folder, lock, ending.clone()));
        }
        background.spawn(retention::keep(store.clone(), config.continuity.retention, ending.clone()));
        let notary = Arc::new(Notary {
            store: store.clone(),
            signer,
            file: config.audit.checkpoint_file.clone(),
            outlets: telemetry.outlets(),
            clock: Clock::default(),
        });
        let (notes, every, end) = (Arc::clone(&notary), config.audit.checkpoint_every, ending.clone());
        background.spawn(async move { notes.keep(every, end).await });
        let records = Retention::of(&config.audit, store.clone(), telemetry.outlets());
        let end = ending.clone();
        background.spawn(async move { records.keep(end).await });
        let gateway = shared.gateway(&config, providers);
        let current = Arc::new(ArcSwap::from_pointee(gateway));
        let mcp = Arc::new(McpServer::new(&config, Arc::clone(&current)));
        Ok(Self { store, mcp, current, config, shared, telemetry, notary, servers, background, ending })
    }

    /// The gateway as it is configured now.
    pub fn gateway(&self) -> Arc<Gateway> {
        self.current.load_full()
    }

    /// Takes over what changes in the files of this configuration from now on, and looks at once when `hangup` comes.
    pub fn follow(&self, path: &Path, hangup: Signal) {
        let reloader =
            Reloader::new(path, self.config.clone(), self.shared.clone(), Arc::clone(&self.current));
        self.background.spawn(reloader.run(hangup, self.background.clone(), self.ending.clone()));
    }

    /// Serves until `stop` is cancelled, lets running interceptions finish, and closes everything.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> Result<(), ServeError> {
        let state = AppState {
            current: Arc::clone(&self.current),
            mcp: Arc::clone(&self.mcp),
            telemetry: Arc::clone(&self.telemetry),
        };
        if let Err(error) = self.serve_metrics(state.clone()).await {
            return self.close_after(Err(error)).await;
        }
        let begins_to_end = stop.clone();
        let connections = axum::serve(undelayed(listener), router(state))
            .with_graceful_shutdown(async move { begins_to_end.cancelled().await });
        let connections = std::future::IntoFuture::into_future(connections);
        tokio::pin!(connections);
        tokio::select! {
            served = &mut connections => return self.close_after(served).await,
            () = stop.cancelled() => {}
        }
        let drained = self.drain();
        tokio::pin!(drained);
        // The connections go on being served, which is also what closes the listener at once.
        let served = tokio::select! {
            served = &mut connections => {
                drained.await;
                served
            }
            // Their answers are complete; what clients have not read yet has a little time to reach them.
            () = &mut drained => tokio::time::timeout(CLOSE_CONNECTIONS, connections).await.unwrap_or(Ok(())),
        };
        self.close_after(served).await
    }

    /// Serves metrics on an address of their own, where one is configured.
    async fn serve_metrics(&self, state: AppState) -> std::io::Result<()> {
        let Some(address) = self.config.telemetry.metrics_listen else { return Ok(()) };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            std::io::Error::new(
                error.kind(),
                format!("cannot listen on {address} (telemetry.metrics_listen): {error}"),
            )
        })?;
        let ending = self.ending.clone();
        self.background.spawn(async move {
            let serving = std::future::IntoFuture::into_future(axum::serve(listener, metrics_router(state)));
            tokio::select! {
                _ = serving => {}
                () = ending.cancelled() => {}
            }
        });
        Ok(())
    }

    /// Lets running interceptions finish, and tells those that do not in time to end.
    async fn drain(&self) {
        self.mcp.end_streams();
        let Shared { tasks, closing, .. } = &self.shared;
        tasks.close();
        if tokio::time::timeout(self.gateway().limits.drain, tasks.wait()).await.is_err() {
            closing.cancel();
            tasks.wait().await;
        }
    }

    async fn close_after(&self, served: std::io::Result<()>) -> Result<(), ServeError> {
        let lost = self.close().await;
        served?;
        if lost > 0 { Err(ServeError::Lost(lost)) } else { Ok(()) }
    }

    /// Closes the MCP servers and commits what is still to be recorded; tells how many records were lost.
    pub async fn close(&self) -> u64 {
        // First of all, so that no reload starts servers that nobody stops.
        self.ending.cancel();
        self.mcp.end_streams();
        self.mcp.ended().await;
        self.background.close();
        self.background.wait().await;
        self.shared.fleet.shutdown(CLOSE_SERVERS).await;
        self.servers.close();
        let lost = self.shared.audit.close().await;
        if tokio::time::timeout(LAST_CHECKPOINT, self.notary.checkpoint_or_complain()).await.is_err() {
            tracing::error!("the last checkpoint was not made: the store does not answer");
        }
        self.telemetry.close(SEND_RECORDS).await;
        self.store.close().await;
        lost
    }
}

/// The lock beside the configuration, unless it is switched off.
pub fn lock_in_force(config: &Config) -> Result<Option<Lock>, LockError> {
    let path = Lock::path(&config.folder);
    match config.lock {
        LockMode::Auto => Lock::read(&path),
        LockMode::Required => Lock::required(&path).map(Some),
        LockMode::Off => Ok(None),
    }
}

/// Who signs checkpoints: the configured key, or that of the file beside the store.
pub fn signer(config: &Config) -> Result<Signer, SigningKeyError> {
    match config.audit.signing_key.as_ref().and_then(Signer::new) {
        Some(signer) => Ok(signer),
        None => Signer::from_file(&signing_key_file(config)),
    }
}

/// The file of the key that signs checkpoints, where none is configured: beside the database, else the configuration.
pub fn signing_key_file(config: &Config) -> PathBuf {
    match config.store.path() {
        Some(store) => beside(store, ".signing-key"),
        None => config.folder.join("toolgate.signing-key"),
    }
}

/// With the configured keys, or with that of the file beside the store.
fn sealer(config: &Config, store: &Store) -> Result<Sealer, KeyFileError> {
    if let Some(sealer) = Sealer::new(&config.secret_keys) {
        return Ok(sealer);
    }
    match store.path() {
        Some(path) => Sealer::from_file(&key_file(path)),
        None => Ok(Sealer::random()),
    }
}

/// The file of the sealing key of an embedded store, where no key is configured.
pub(crate) fn key_file(store: &Path) -> PathBuf {
    beside(store, ".key")
}

/// A file beside an embedded store, with its name and this behind it.
pub(crate) fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut file = store.as_os_str().to_owned();
    file.push(suffix);
    PathBuf::from(file)
}
