//! Tells when the files of a configuration may have changed.
//!
//! Folders are watched and not files, which editors replace. What symbolic links lead to is watched as well: a
//! mounted `ConfigMap` changes by another link.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::RecommendedWatcher;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::{config, folder_watch};

/// How long the files must be left alone before they are read: whoever changes them does so in several steps.
const SETTLE: Duration = Duration::from_millis(300);

/// After so many steps they are read all the same.
const MOST_STEPS: usize = 20;

/// A watch over the folders as they are now; one that is replaced needs another watch.
#[derive(Debug)]
pub(super) struct Files {
    changed: Arc<Notify>,
    /// `None` where the system cannot watch.
    _watcher: Option<RecommendedWatcher>,
}

impl Files {
    /// Watches the files of the configuration at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let watcher = watcher(path, Arc::clone(&changed));
        if let Err(error) = &watcher {
            tracing::error!(%error, "changes of the configuration are seen on SIGHUP only");
        }
        Self { changed, _watcher: watcher.ok() }
    }

    /// Returns when something may have changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns when nothing has changed for a while.
    pub(super) async fn settled(&self) {
        for _ in 0..MOST_STEPS {
            if timeout(SETTLE, self.changed()).await.is_err() {
                break;
            }
        }
    }
}

fn watcher(path: &Path, changed: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let name = path.file_name().map(ToOwned::to_owned);
    let concerns = move |path: &Path| is_ours(path) || path.file_name() == name.as_deref();
    folder_watch::watch(folders(path).iter().map(PathBuf::as_path), concerns, move || changed.notify_one())
}

/// What else lies there, such as the database, changes all the time.
fn is_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    // A mounted volume's links begin like this.
    is_yaml || name.starts_with("..") || name == "mcp-servers" || name == "policies"
}

/// The folders of the configuration that are there, and those that links in them lead to.
fn folders(path: &Path) -> BTreeSet<PathBuf> {
    let named: Vec<PathBuf> = config::folders(path).into_iter().filter(|folder| folder.is_dir()).collect();
    let entries =
        named.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().filter_map(Result::ok);
    let links = entries.map(|entry| entry.path()).filter(|path| path.is_symlink() && is_ours(path));
    let targets = links.chain([path.to_owned()]).filter_map(|link| fs::canonicalize(link).ok());
    let behind: Vec<PathBuf> = targets.filter_map(|target| folder_of(&target)).collect();
    named.into_iter().chain(behind).collect()
}

fn folder_of(target: &Path) -> Option<PathBuf> {
    if target.is_dir() { Some(target.to_owned()) } else { target.parent().map(Path::to_owned) }
}
