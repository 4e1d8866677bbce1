//! What is SQLite's own: the file, its PRAGMAs, and the lock that gives it to one gateway.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, Connection, Executor};

use super::{Database, Store, StoreError};
use crate::config::Durability;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

// journal_mode is kept in the file; the rest is forgotten with each connection.
const WRITER_PROCESS: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864";
const WRITER_POWER: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864";
const READER: &str = "PRAGMA busy_timeout = 2000; PRAGMA query_only = ON";
const MEMORY: &str = "PRAGMA foreign_keys = ON";

/// The settings in force on the writing connection, as the database tells them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pragmas {
    /// `wal`; `memory` in a store without a file.
    pub journal_mode: String,
    /// 1 is NORMAL (a commit survives the process), 2 is FULL (it survives a power cut).
    pub synchronous: i64,
    /// Whether references between tables are checked.
    pub foreign_keys: bool,
    /// How long a statement waits for another process's lock.
    pub busy_timeout: Duration,
    /// After how many pages the write-ahead log goes into the database.
    pub wal_autocheckpoint: i64,
}

/// The proof that this gateway alone writes to the store.
#[derive(Debug)]
pub struct Claim {
    _lock: Option<File>,
}

pub(super) async fn open(path: &Path, durability: Durability) -> Result<Store, StoreError> {
    create(path).map_err(|source| StoreError::Create { path: path.to_owned(), source })?;
    let path = resolve(path)?;
    let settings = match durability {
        Durability::Process => WRITER_PROCESS,
        Durability::Power => WRITER_POWER,
    };
    let writer = connect(&path, "rw", settings, 1).await?;
    MIGRATIONS.run(&writer).await.map_err(|source| migration_error(&path, source))?;
    let readers = connect(&path, "rw", READER, READERS).await?;
    Ok(Store { database: Database::Sqlite, writer, readers, path: Some(path) })
}

pub(super) async fn open_read_only(path: &Path) -> Result<Store, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let path = resolve(path)?;
    let readers = connect(&path, "ro", READER, READERS).await?;
    let ours = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'interceptions'")
        .fetch_optional(&readers)
        .await
        .map_err(|source| StoreError::Open { path: path.clone(), source })?;
    if ours.is_none() {
        return Err(StoreError::Foreign(path));
    }
    Ok(Store { database: Database::Sqlite, writer: readers.clone(), readers, path: Some(path) })
}

pub(super) async fn in_memory() -> Result<Store, StoreError> {
    // One connection in all: a second one would have to share its cache, and its table locks with it.
    let pool = pool("sqlite::memory:", MEMORY, 1).await?;
    MIGRATIONS.run(&pool).await.map_err(|source| migration_error(Path::new(":memory:"), source))?;
    Ok(Store { database: Database::Sqlite, writer: pool.clone(), readers: pool, path: None })
}

pub(super) fn claim(path: Option<&Path>) -> Result<Claim, StoreError> {
    let Some(database) = path else { return Ok(Claim { _lock: None }) };
    // A file of its own: closing any handle of the database file would drop SQLite's own locks on it.
    let path = with_suffix(database, ".lock");
    let file = private_file().create(true).truncate(false).open(&path);
    let file = file.map_err(|source| StoreError::Create { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(Claim { _lock: Some(file) }),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(database.to_owned())),
        Err(TryLockError::Error(source)) => Err(StoreError::Create { path, source }),
    }
}

pub(super) async fn pragmas(pool: &AnyPool) -> Result<Pragmas, StoreError> {
    let mut connection = pool.acquire().await?;
    let journal_mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    let synchronous = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
    let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&mut *connection).await?;
    let busy_timeout: i64 = sqlx::query_scalar("PRAGMA busy_timeout").fetch_one(&mut *connection).await?;
    let wal_autocheckpoint =
        sqlx::query_scalar("PRAGMA wal_autocheckpoint").fetch_one(&mut *connection).await?;
    Ok(Pragmas {
        journal_mode,
        synchronous,
        foreign_keys: foreign_keys == 1,
        busy_timeout: Duration::from_millis(busy_timeout.unsigned_abs()),
        wal_autocheckpoint,
    })
}

/// Makes the file for its owner alone; the write-ahead log gets the file's mode from SQLite.
fn create(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        private_folder().create(folder)?;
    }
    match private_file().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map(drop),
    }
}

fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The real, absolute path: a URL would read `..` and symbolic links its own way.
fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    fs::canonicalize(path)
        .map_err(|error| StoreError::Open { path: path.to_owned(), source: sqlx::Error::Io(error) })
}

async fn connect(
    path: &Path,
    mode: &str,
    settings: &'static str,
    connections: u32,
) -> Result<AnyPool, StoreError> {
    let url = url(path, mode).ok_or_else(|| StoreError::PathNotUtf8(path.to_owned()))?;
    pool(&url, settings, connections)
        .await
        .map_err(|source| StoreError::Open { path: path.to_owned(), source })
}

async fn pool(url: &str, settings: &'static str, connections: u32) -> Result<AnyPool, sqlx::Error> {
    install_default_drivers();
    // A pool tries again until its time-out and then tells only of that; one connection tells what is wrong.
    let mut first = AnyConnection::connect(url).await?;
    first.execute(settings).await?;
    first.close().await?;
    AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        // An embedded connection does not go stale, and a store in memory lives in its connection.
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(settings).await.map(drop) })
        })
        .connect(url)
        .await
}

/// `sqlite:` and the path, with everything escaped that a URL could misread.
fn url(path: &Path, mode: &str) -> Option<String> {
    let mut url = String::from("sqlite:");
    for byte in path.to_str()?.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(char::from(byte));
        } else {
            write!(url, "%{byte:02X}").ok()?;
        }
    }
    url.push_str("?mode=");
    url.push_str(mode);
    Some(url)
}

fn migration_error(path: &Path, source: MigrateError) -> StoreError {
    match source {
        MigrateError::Execute(source) => StoreError::Open { path: path.to_owned(), source },
        source => StoreError::Schema { path: path.to_owned(), source },
    }
}
