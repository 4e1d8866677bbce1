//! Where the records are, and with which keys their texts open.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use serde_json::Value;

use crate::app;
use crate::audit::{Action, Reader, event};
use crate::config::{Config, Durability, Store as StoreConfig};
use crate::seal::Sealer;
use crate::store::Store;
use crate::store::queries::Filter;

/// Where the records are; the configuration says it where no option does.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// The database file, with the key beside it; no configuration is read then
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub(super) store: Option<PathBuf>,
    /// The configuration that names the database and the keys
    #[arg(long, value_name = "PATH", default_value = "toolgate.yaml")]
    pub(super) config: PathBuf,
}

impl Place {
    /// Opens what is there, and records what is read of it.
    pub(super) async fn read(
        &self,
        action: Action,
        mut detail: Value,
        filter: Option<&Filter>,
    ) -> anyhow::Result<Reader> {
        let reader = self.open().await?;
        if let Some(filter) = filter {
            detail["question"] = reader.told(filter).await?;
        }
        let recorded = event::visit(reader.store(), action, detail, Timestamp::now()).await;
        recorded.context("reading the audit is recorded, and that failed")?;
        Ok(reader)
    }

    /// The file that calls wait for instead of PostgreSQL, where the configuration names one.
    pub(super) fn write_ahead(&self) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.load()?.and_then(|config| config.audit.write_ahead))
    }

    /// The configuration, unless a database is named without it.
    fn load(&self) -> anyhow::Result<Option<Config>> {
        Ok(self.store.is_none().then(|| crate::config::load(&self.config)).transpose()?)
    }

    /// Opens what is there.
    pub(super) async fn open(&self) -> anyhow::Result<Reader> {
        let (store, secrets) = if let Some(config) = self.load()? {
            (config.store, config.secret_keys)
        } else {
            let path = self.store.clone().unwrap_or_default();
            (StoreConfig::sqlite(path, Durability::Process), Vec::new())
        };
        // Looks before it opens: what is not there is not made.
        Store::open_read_only(&store).await?.close().await;
        let store = Store::open(&store).await?;
        let sealer = match Sealer::new(&secrets) {
            Some(sealer) => sealer,
            None => match store.path().map(app::key_file).filter(|file| file.exists()) {
                Some(file) => Sealer::from_file(&file)?,
                // What it would open is not there either.
                None => Sealer::random(),
            },
        };
        Ok(Reader::new(store, Arc::new(sealer)))
    }
}
