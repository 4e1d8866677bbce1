//! Takes a changed `tools.lock` into a running fleet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::RecommendedWatcher;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{FILE, Lock};
use crate::folder_watch;
use crate::mcp::Fleet;

/// How long the file must be left alone before it is read: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(50);

/// Watches the file until `ending`; the fleet gets every version of it that can be read.
///
/// A file that cannot be read, or that is taken away, leaves the lock in force as it is: neither may open what was
/// closed. `in_force` is what the fleet started with.
pub async fn watch(fleet: Fleet, folder: PathBuf, in_force: Option<Lock>, ending: CancellationToken) {
    let (changed, mut changes) = watch::channel(());
    let _watcher = match watcher(&folder, changed) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::error!(%error, "changes of tools.lock are not seen before the next start");
            return;
        }
    };
    let path = Lock::path(&folder);
    let mut in_force = in_force;
    // The file may have changed between its first reading and the watch.
    take(&fleet, &path, &mut in_force);
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            change = changes.changed() => if change.is_err() { return },
        }
        sleep(SETTLE).await;
        changes.mark_unchanged();
        take(&fleet, &path, &mut in_force);
    }
}

/// The folder is watched and not the file, which is another one after each writing.
fn watcher(folder: &Path, changed: watch::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let concerns = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        // A mounted `ConfigMap` changes by another link of such a name.
        name == FILE || name.to_string_lossy().starts_with("..")
    };
    folder_watch::watch([folder], concerns, move || {
        changed.send_replace(());
    })
}

fn take(fleet: &Fleet, path: &Path, in_force: &mut Option<Lock>) {
    match Lock::read(path) {
        Ok(Some(lock)) if in_force.as_ref() != Some(&lock) => {
            tracing::info!("tools.lock is in force as it is now");
            *in_force = Some(lock.clone());
            fleet.set_lock(Some(lock));
        }
        Ok(None) if in_force.is_some() => {
            tracing::error!("tools.lock is gone: what it said stays in force until the next start");
        }
        Ok(_) => {}
        Err(error) => {
            tracing::error!(%error, "tools.lock is not taken over: what it said before stays in force");
        }
    }
}
