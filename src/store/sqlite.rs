//! What is SQLite's own: the file, its PRAGMAs, and the lock that gives it to one gateway.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, Row};
use tokio::time::sleep;

use super::schema::{self, Schema};
use super::wal::Wal;
use super::{Database, QUESTIONS, Store, StoreError, apart};
use crate::config::Durability;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

const SCHEMA: &str = "SELECT COUNT(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
const READERS: u32 = 4;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const CLAIM_TRIES: u32 = 10;
const CLAIM_PAUSE: Duration = Duration::from_millis(20);

// journal_mode is kept in the file; the rest is forgotten with each connection. What is deleted is overwritten: keys that were
// thrown away, and words of the search index, which is written anew all the time, would else stay in the file. The log is brought over
// by `wal.rs`; where it cannot keep up, by the writer at 16 MiB.
const WRITER_PROCESS: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = ON";
const WRITER_POWER: &str = "PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; \
    PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON; PRAGMA foreign_keys = ON; \
    PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 67108864; PRAGMA secure_delete = ON";
const READER: &str = "PRAGMA busy_timeout = 2000; PRAGMA query_only = ON";
const WAL: &str = "PRAGMA busy_timeout = 2000; PRAGMA synchronous = NORMAL; PRAGMA checkpoint_fullfsync = ON";
/// Before this version a log that one connection brought over while another began it anew could break the database.
const WAL_IS_SAFE: [u32; 3] = [3, 51, 3];
const MEMORY: &str = "PRAGMA foreign_keys = ON";

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
    migrate(&path, &writer).await?;
    let readers = connect(&path, "rw", READER, READERS).await?;
    let wal = match version(&writer).await.map_err(|source| open_error(&path, source))? {
        version if version >= WAL_IS_SAFE => Some(Wal::new(connect(&path, "rw", WAL, 1).await?)),
        _ => None,
    };
    let (commits, questions) = (writer.clone(), apart(&readers, QUESTIONS));
    let path = Some(path);
    Ok(Store { database: Database::Sqlite, commits, writer, readers, questions, longest: None, path, wal })
}

/// Of the SQLite that this program was linked with.
async fn version(pool: &AnyPool) -> Result<[u32; 3], sqlx::Error> {
    let text: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(pool).await?;
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
    Ok([(); 3].map(|()| parts.next().unwrap_or(0)))
}

pub(super) async fn open_read_only(path: &Path) -> Result<Store, StoreError> {
    if !path.is_file() {
        return Err(StoreError::Missing(path.to_owned()));
    }
    let path = resolve(path)?;
    let readers = connect(&path, "ro", READER, READERS).await?;
    match compare(&path, &readers).await? {
        Schema::Missing => Err(StoreError::Foreign(shown(&path))),
        Schema::Behind => Err(StoreError::Behind(shown(&path))),
        Schema::Ahead => Err(StoreError::Ahead(shown(&path))),
        Schema::Current => Ok(Store {
            database: Database::Sqlite,
            commits: readers.clone(),
            writer: readers.clone(),
            questions: readers.clone(),
            readers,
            longest: None,
            path: Some(path),
            wal: None,
        }),
    }
}

pub(super) async fn in_memory() -> Result<Store, StoreError> {
    // One connection in all: a second one would have to share its cache, and its table locks with it.
    install_default_drivers();
    let pool = options(MEMORY, 1).connect("sqlite::memory:").await?;
    MIGRATIONS.run(&pool).await.map_err(|source| migration_error(Path::new(":memory:"), source))?;
    let (commits, writer, questions) = (pool.clone(), pool.clone(), pool.clone());
    Ok(Store {
        database: Database::Sqlite,
        commits,
        writer,
        readers: pool,
        questions,
        longest: None,
        path: None,
        wal: None,
    })
}

pub(super) async fn claim(path: Option<&Path>) -> Result<Claim, StoreError> {
    let Some(database) = path else { return Ok(Claim { _lock: None }) };
    // A file of its own: closing any handle of the database file would drop SQLite's own locks on it.
    let path = with_suffix(database, ".lock");
    let file = private_file().create(true).truncate(false).open(&path);
    let file = file.map_err(|source| StoreError::Create { path: path.clone(), source })?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Claim { _lock: Some(file) }),
            // A process that was just being started holds what its parent held, until it becomes another program.
            Err(TryLockError::WouldBlock) if tries < CLAIM_TRIES => sleep(CLAIM_PAUSE).await,
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse(database.to_owned())),
            Err(TryLockError::Error(source)) => return Err(StoreError::Create { path, source }),
        }
        tries += 1;
    }
}

pub(super) async fn settings(pool: &AnyPool) -> Result<Vec<(String, String)>, sqlx::Error> {
    let mut connection = pool.acquire().await?;
    let mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *connection).await?;
    let mut settings = vec![("journal_mode".to_owned(), mode)];
    for name in ["synchronous", "foreign_keys", "busy_timeout", "wal_autocheckpoint"] {
        let query = AssertSqlSafe(format!("PRAGMA {name}"));
        let value: i64 = sqlx::query_scalar(query).fetch_one(&mut *connection).await?;
        settings.push((name.to_owned(), value.to_string()));
    }
    Ok(settings)
}

/// What is broken, in the database's words.
pub(super) async fn broken(pool: &AnyPool) -> Result<Vec<String>, sqlx::Error> {
    let mut broken: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check").fetch_all(pool).await?;
    broken.retain(|word| word != "ok");
    for row in sqlx::query("PRAGMA foreign_key_check").fetch_all(pool).await? {
        let (table, parent): (String, String) = (row.try_get(0)?, row.try_get(2)?);
        broken.push(format!("a row of {table} refers to a row of {parent} that is not there"));
    }
    Ok(broken)
}

pub(super) async fn bytes(pool: &AnyPool) -> Result<u64, sqlx::Error> {
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(pool).await?;
    let size: i64 = sqlx::query_scalar("PRAGMA page_size").fetch_one(pool).await?;
    Ok(pages.unsigned_abs() * size.unsigned_abs())
}

/// Where there is anything to do, under the lock that gives the store to one gateway.
async fn migrate(path: &Path, pool: &AnyPool) -> Result<(), StoreError> {
    let _claim = match compare(path, pool).await? {
        Schema::Current | Schema::Ahead => None,
        Schema::Missing | Schema::Behind => Some(claim(Some(path)).await?),
    };
    MIGRATIONS.run(pool).await.map_err(|source| migration_error(path, source))
}

async fn compare(path: &Path, pool: &AnyPool) -> Result<Schema, StoreError> {
    schema::compare(pool, SCHEMA, &MIGRATIONS).await.map_err(|source| open_error(path, source))
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
    fs::canonicalize(path).map_err(|error| open_error(path, sqlx::Error::Io(error)))
}

async fn connect(
    path: &Path,
    mode: &str,
    settings: &'static str,
    connections: u32,
) -> Result<AnyPool, StoreError> {
    let url = url(path, mode).ok_or_else(|| StoreError::PathNotUtf8(path.to_owned()))?;
    let pool = async {
        // A pool tries again until its time-out and then tells only of that; one connection tells what is wrong.
        install_default_drivers();
        let mut first = AnyConnection::connect(&url).await?;
        first.execute(settings).await?;
        first.close().await?;
        // After some errors, such as a full disk, SQLite has rolled back by itself, and sqlx believes that the
        // transaction goes on: whatever came next on this connection would be part of it, and never be committed.
        let options = options(settings, connections).after_release(|connection, _| {
            let idle = !connection.is_in_transaction();
            Box::pin(std::future::ready(Ok(idle)))
        });
        options.connect(&url).await
    };
    pool.await.map_err(|source| open_error(path, source))
}

fn options(settings: &'static str, connections: u32) -> AnyPoolOptions {
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

fn open_error(path: &Path, source: sqlx::Error) -> StoreError {
    StoreError::Open { at: shown(path), source }
}

fn migration_error(path: &Path, source: MigrateError) -> StoreError {
    match source {
        MigrateError::Execute(source) => open_error(path, source),
        source => StoreError::Schema { at: shown(path), source },
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
