//! Where the gateway under test keeps its records.

use std::path::PathBuf;

use sqlx::any::install_default_drivers;
use sqlx::{AnyConnection, Connection as _, Executor as _};
use tempfile::TempDir;
use toolgate::config;

use crate::chance::Chance;
use crate::gateway;

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// Which program and which store.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The gateway
    #[arg(long, default_value = env!("CARGO_BIN_EXE_toolgate"))]
    program: PathBuf,
    /// Where it keeps its records
    #[arg(long, value_enum, default_value = "sqlite")]
    store: Kind,
    /// A database of a PostgreSQL cluster in which others may be made
    #[arg(long, required_if_eq("store", "postgres"))]
    postgres: Option<String>,
    /// The folder in which the file of SQLite's is made
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// A store of its own for one run.
#[derive(Debug)]
pub struct Store {
    pub program: PathBuf,
    pub kind: Kind,
    pub url: String,
    pub folder: TempDir,
}

impl Store {
    pub async fn make(args: &Args) -> Self {
        let folder = match &args.folder {
            Some(parent) => tempfile::tempdir_in(parent),
            None => tempfile::tempdir(),
        };
        let folder = folder.unwrap();
        let url = match &args.postgres {
            Some(cluster) if args.store == Kind::Postgres => new_database(cluster).await,
            _ => format!("sqlite:{}", folder.path().join("toolgate.db").display()),
        };
        Self { program: args.program.clone(), kind: args.store, url, folder }
    }

    /// What is under test, where so many gateways are.
    pub fn name(&self, gateways: usize) -> String {
        let store = match self.kind {
            Kind::Sqlite => "SQLite",
            Kind::Postgres => "PostgreSQL",
        };
        format!("{gateways} gateway{} on {store}", if gateways == 1 { "" } else { "s" })
    }

    /// As the gateway's configuration names it, with what a commit survives.
    pub fn yaml(&self, durability: &str) -> String {
        format!("{{ url: '{}', durability: {durability} }}", self.url)
    }

    /// As it is opened to be read; gateways go on meanwhile.
    pub fn reading(&self) -> String {
        match self.kind {
            Kind::Sqlite => format!("{}?mode=ro", self.url),
            Kind::Postgres => self.url.clone(),
        }
    }

    /// As a gateway opens it.
    pub async fn open(&self) -> toolgate::store::Store {
        let file = self.folder.path().join("toolgate.yaml");
        let provider = "providers: [{ name: none, type: anthropic, base_url: 'http://127.0.0.1:1' }]";
        let keys = "secret_keys: ['${SECRET}']\naudit: { signing_key: '${SIGNING_KEY}' }";
        std::fs::write(&file, format!("auth: none\nstore: {}\n{keys}\n{provider}\n", self.url)).unwrap();
        let config = config::load_with(&file, &gateway::variable).unwrap();
        toolgate::store::Store::open(&config.store).await.unwrap()
    }

    /// What it takes on disk.
    pub async fn bytes(&self) -> u64 {
        match self.kind {
            Kind::Sqlite => std::fs::metadata(self.url.strip_prefix("sqlite:").unwrap()).unwrap().len(),
            Kind::Postgres => {
                install_default_drivers();
                let mut connection = AnyConnection::connect(&self.url).await.unwrap();
                let size = "SELECT pg_database_size(current_database())";
                let size: i64 = sqlx::query_scalar(size).fetch_one(&mut connection).await.unwrap();
                u64::try_from(size).unwrap()
            }
        }
    }

    /// How many gateways may share it.
    pub fn replicas(&self) -> usize {
        match self.kind {
            Kind::Sqlite => 1,
            Kind::Postgres => 2,
        }
    }
}

async fn new_database(cluster: &str) -> String {
    install_default_drivers();
    let name = format!("force_{}_{}", std::process::id(), Chance::any_seed());
    let mut connection = AnyConnection::connect(cluster).await.unwrap();
    connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    connection.close().await.unwrap();
    let (server, _) = cluster.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}
