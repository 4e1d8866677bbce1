//! SQL: migrations, and typed rows in and out. No logic: what a record means is the audit's business.
//!
//! One file a table; what the audit writes is in `records/`, and goes in by `batch.rs`. Queries keep to what SQLite and
//! PostgreSQL both understand (`$1` placeholders, TEXT, BIGINT and binary columns, `json_each` for many rows); what is
//! one database's own is in `sqlite.rs` (with `wal.rs`) and `postgres.rs`.

pub mod batch;
pub mod checkpoints;
pub(crate) mod column;
pub mod content;
pub mod continuations;
pub mod health;
pub mod instances;
pub mod issued;
pub mod links;
pub mod oauth_clients;
pub mod oauth_tokens;
pub(crate) mod patience;
pub mod people;
pub mod pins;
mod postgres;
pub mod prune;
pub mod queries;
pub mod records;
mod schema;
pub mod search;
mod sqlite;
mod wal;

use std::io;
use std::path::{Path, PathBuf};

use sqlx::any::AnyConnectOptions;
use sqlx::error::DatabaseError;
use sqlx::{Any, AnyPool, Transaction};
use tokio::time::{Duration, timeout};

use crate::config::{self, Location};

use wal::Wal;

pub use sqlite::Claim;

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    database: Database,
    /// One connection, for the audit's batches.
    commits: AnyPool,
    /// For everything else that writes; with SQLite the same connection.
    writer: AnyPool,
    readers: AnyPool,
    /// For questions of people, which may be slow: nothing else waits for these.
    questions: AnyPool,
    /// How long a question may take, where that is limited.
    longest: Option<Duration>,
    path: Option<PathBuf>,
    /// SQLite's log, where this store writes to it.
    wal: Option<Wal>,
}

/// How many questions of people are asked at once.
const QUESTIONS: u32 = 3;

/// How long one may take.
const LONGEST: Duration = Duration::from_secs(30);

/// How long a connection for them is kept when nobody asks.
const IDLE: Duration = Duration::from_mins(5);

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// Embedded: it belongs to one gateway.
    Sqlite,
    /// A server, which several gateways may share.
    Postgres,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing at this path.
    #[error("there is no database at {0}: start the gateway once, or name another file with --store")]
    Missing(PathBuf),
    /// The file or its folder cannot be made.
    #[error("cannot create the database {path}: {source}")]
    Create {
        /// The file, or its folder.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// There is something, but no database, or it may not be opened.
    #[error("cannot open {at} as a database: {source}")]
    Open {
        /// The file, or the server's URL without user and password.
        at: String,
        /// The database's word.
        source: sqlx::Error,
    },
    /// A path that SQLite cannot be given.
    #[error("the path {0:?} is not UTF-8, which a database's path must be")]
    PathNotUtf8(PathBuf),
    /// A database of something else, or of no migration yet.
    #[error(
        "{0} is a database, but Toolgate has no tables in it: start the gateway once, or name another one"
    )]
    Foreign(String),
    /// It is to be read only, but the schema is older than this program.
    #[error("the schema of {0} is older than this version of Toolgate: run `toolgate store migrate`")]
    Behind(String),
    /// The schema is newer than this program.
    #[error("the schema of {0} is newer than this version of Toolgate")]
    Ahead(String),
    /// The schema is newer than this program, of a version that was never released, or was changed by hand.
    #[error("the schema of {at} does not fit this version of Toolgate: {source}")]
    Schema {
        /// The file, or the server's URL without user and password.
        at: String,
        /// Which migration.
        source: sqlx::migrate::MigrateError,
    },
    /// Another gateway writes to this store.
    #[error("{0} is in use by another gateway: an embedded store belongs to one gateway at a time")]
    InUse(PathBuf),
    /// A query failed.
    #[error("the database failed: {0}")]
    Query(#[from] sqlx::Error),
}

impl Store {
    /// Opens the configured store; makes the file, its folder and its tables where they are missing.
    pub async fn open(store: &config::Store) -> Result<Self, StoreError> {
        match &store.at {
            Location::Sqlite(path) => sqlite::open(path, store.durability).await,
            Location::Postgres(server) => postgres::open(server, store.durability).await,
        }
    }

    /// Opens an existing store to read it, also while a gateway writes to it.
    pub async fn open_read_only(store: &config::Store) -> Result<Self, StoreError> {
        match &store.at {
            Location::Sqlite(path) => sqlite::open_read_only(path).await,
            Location::Postgres(server) => postgres::open_read_only(server).await,
        }
    }

    /// A store that is gone with its last handle.
    pub async fn in_memory() -> Result<Self, StoreError> {
        sqlite::in_memory().await
    }

    /// Takes the store for one gateway until the claim is dropped, also by the end of the process; a store that is
    /// shared can be claimed by all.
    pub async fn claim(&self) -> Result<Claim, StoreError> {
        sqlite::claim(self.path.as_deref()).await
    }

    /// What is in force on the connection of the audit's batches, as the database tells it: names and values.
    pub async fn settings(&self) -> Result<Vec<(String, String)>, sqlx::Error> {
        match self.database {
            Database::Sqlite => sqlite::settings(&self.commits).await,
            Database::Postgres => postgres::settings(&self.commits).await,
        }
    }

    /// A transaction; with SQLite it waits for the one before it.
    pub async fn begin(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.writer.begin().await
    }

    /// Where the reading queries go.
    pub fn readers(&self) -> &AnyPool {
        &self.readers
    }

    /// The same store for questions of people: they have few connections of their own, and a limited time.
    #[must_use]
    pub fn for_questions(&self) -> Self {
        Self { readers: self.questions.clone(), longest: Some(LONGEST), ..self.clone() }
    }

    /// Waits for an answer for as long as a question may take here.
    async fn wait<T>(&self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
        let Some(longest) = self.longest else { return answer.await };
        // SQLite goes on with it all the same; until it is done, its connection does not come back.
        let late = || Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
        timeout(longest, answer).await.unwrap_or_else(|_elapsed| late())
    }

    /// Which database it is.
    pub fn database(&self) -> Database {
        self.database
    }

    /// Whether other gateways may write to it as well.
    pub fn is_shared(&self) -> bool {
        self.database == Database::Postgres
    }

    /// The file of the database; none for a store in memory.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Closes all connections, after the queries that run.
    pub async fn close(&self) {
        if let Some(wal) = &self.wal {
            wal.close().await;
        }
        self.questions.close().await;
        self.readers.close().await;
        self.writer.close().await;
        self.commits.close().await;
    }
}

impl StoreError {
    /// Whether there was an answer to come, and it was not waited for any longer.
    pub fn is_too_slow(&self) -> bool {
        /// PostgreSQL: the statement was cancelled.
        const CANCELLED: &str = "57014";
        match self {
            Self::Query(sqlx::Error::Io(error)) => error.kind() == io::ErrorKind::TimedOut,
            Self::Query(error) => {
                error.as_database_error().and_then(DatabaseError::code) == Some(CANCELLED.into())
            }
            _ => false,
        }
    }
}

/// So many connections more like those of a pool, each made when it is needed.
fn apart(pool: &AnyPool, connections: u32) -> AnyPool {
    let options = pool.options().clone().min_connections(0).max_connections(connections);
    options.idle_timeout(IDLE).connect_lazy_with(AnyConnectOptions::clone(&pool.connect_options()))
}

#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
