//! The only place where all parts meet: a configuration becomes a running gateway, and ends in order.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{self, Audit};
use crate::config::{Config, LockMode};
use crate::egress::Egress;
use crate::gateway::{Continuity, Gateway, IssuedIds, Journals, Pins, retention};
use crate::http::{AppState, router};
use crate::identity::Identity;
use crate::mcp::lock::{self, Lock, LockError};
use crate::mcp::{Access, Fleet};
use crate::policy::{Policy, PolicyError};
use crate::provider::{ProviderError, Providers};
use crate::seal::{KeyFileError, Sealer};
use crate::store::{Store, StoreError};

/// Interceptions over the limit whose refusals can be recorded at once.
const REFUSALS: u32 = 256;

/// How long clients have at shutdown to read what has been sent.
const CLOSE_CONNECTIONS: Duration = Duration::from_secs(5);

/// How long connections to MCP servers have to close at shutdown.
const CLOSE_SERVERS: Duration = Duration::from_secs(5);

/// A gateway that is ready to serve.
#[derive(Debug)]
pub struct App {
    /// The interceptions.
    pub gateway: Arc<Gateway>,
    /// The records.
    pub store: Store,
    identity: Arc<Identity>,
    servers: TaskTracker,
    background: TaskTracker,
    /// Ends what runs in the background.
    ending: CancellationToken,
    drain: Duration,
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
    /// The key that seals conversations cannot be had.
    #[error(transparent)]
    Key(#[from] KeyFileError),
}

impl StartError {
    /// Whether the configuration is to blame.
    pub fn is_configuration(&self) -> bool {
        !matches!(self, Self::HttpClient(_) | Self::Store(_) | Self::Key(_))
    }
}

impl App {
    /// Builds all parts; MCP servers come up in the background.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let policy = Policy::load(&config.policies)?;
        let providers = Providers::new(&config.providers)?;
        let lock = lock_in_force(&config)?;
        let store = Store::open(&config.store).await?;
        let defaults = audit::Settings::default();
        let places =
            u32::try_from(config.limits.max_interceptions).unwrap_or(u32::MAX).saturating_add(REFUSALS);
        let settings = audit::Settings { capacity: defaults.capacity.max(places), ..defaults };
        let audit = Audit::open(store.clone(), settings).await?;
        let servers = TaskTracker::new();
        let tasks = TaskTracker::new();
        let sealer = Arc::new(sealer(&config, &store)?);
        let egress = Egress::new(&config.egress).map_err(StartError::HttpClient)?;
        let access = Access::new(egress, store.clone(), sealer.clone(), config.public_url.clone());
        let gateway = Gateway {
            providers,
            policy,
            fleet: Fleet::start(&config.servers, &config.tool_name, lock.clone(), access, &servers),
            audit,
            settings: config.settings,
            hosted_tools: config.hosted_tools,
            issued: IssuedIds::new(store.clone()),
            pins: Pins::new(store.clone()),
            places: Arc::new(Semaphore::new(config.limits.max_interceptions)),
            continuity: Continuity::new(store.clone(), sealer, config.continuity, tasks.clone()),
            journals: Journals::new(config.continuity.repeat_window),
            tasks,
            closing: CancellationToken::new(),
            limits: config.limits.clone(),
        };
        let (background, ending) = (TaskTracker::new(), CancellationToken::new());
        if config.lock == LockMode::Auto {
            let (fleet, folder) = (gateway.fleet.clone(), config.folder.clone());
            background.spawn(lock::watch(fleet, folder, lock, ending.clone()));
        }
        background.spawn(retention::keep(store.clone(), config.continuity.retention, ending.clone()));
        Ok(Self {
            gateway: Arc::new(gateway),
            store,
            identity: Arc::new(Identity::new(&config.auth)),
            servers,
            background,
            ending,
            drain: config.limits.drain,
        })
    }

    /// Serves until `stop` is cancelled, lets running interceptions finish, and closes everything.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        let state = AppState { gateway: Arc::clone(&self.gateway), identity: Arc::clone(&self.identity) };
        let begins_to_end = stop.clone();
        let connections = axum::serve(listener, router(state))
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

    /// Lets running interceptions finish, and tells those that do not in time to end.
    async fn drain(&self) {
        let tasks = &self.gateway.tasks;
        tasks.close();
        if tokio::time::timeout(self.drain, tasks.wait()).await.is_err() {
            self.gateway.closing.cancel();
            tasks.wait().await;
        }
    }

    async fn close_after(&self, served: std::io::Result<()>) -> std::io::Result<()> {
        self.close().await;
        served
    }

    /// Closes the MCP servers and commits what is still to be recorded.
    pub async fn close(&self) {
        self.gateway.fleet.shutdown(CLOSE_SERVERS).await;
        self.servers.close();
        self.ending.cancel();
        self.background.close();
        self.background.wait().await;
        self.gateway.audit.close().await;
        self.store.close().await;
    }
}

/// The lock beside the configuration, unless it is switched off.
pub fn lock_in_force(config: &Config) -> Result<Option<Lock>, LockError> {
    match config.lock {
        LockMode::Auto => Lock::read(&Lock::path(&config.folder)),
        LockMode::Off => Ok(None),
    }
}

/// With the configured keys, or with that of the file beside the store.
fn sealer(config: &Config, store: &Store) -> Result<Sealer, KeyFileError> {
    if let Some(sealer) = Sealer::new(&config.secret_keys) {
        return Ok(sealer);
    }
    match store.path() {
        Some(path) => {
            let mut file = path.as_os_str().to_owned();
            file.push(".key");
            Sealer::from_file(Path::new(&file))
        }
        None => Ok(Sealer::random()),
    }
}
