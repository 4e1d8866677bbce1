//! Watches folders for changes of some of the files in them.

use std::path::Path;

use notify::{Config, Event, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher as _};

/// What a watch is told of. A file counts as changed when whoever wrote it closes it, where the system tells of that:
/// the database, which may lie beside the configuration, is written all the time and never closed.
const KINDS: EventKindMask = {
    let always = EventKindMask::CREATE
        .union(EventKindMask::REMOVE)
        .union(EventKindMask::MODIFY_NAME)
        .union(EventKindMask::MODIFY_META)
        .union(EventKindMask::ACCESS_CLOSE);
    if cfg!(target_os = "linux") { always } else { always.union(EventKindMask::MODIFY_DATA) }
};

/// Calls `changed` whenever one of the files that `concerns` names may have changed, until what this returns is dropped.
pub(crate) fn watch<'a>(
    folders: impl IntoIterator<Item = &'a Path>,
    concerns: impl Fn(&Path) -> bool + Send + 'static,
    changed: impl Fn() + Send + 'static,
) -> notify::Result<RecommendedWatcher> {
    let told = move |event: notify::Result<Event>| {
        // Who cannot be told what changed has to look.
        let is_change = event
            .as_ref()
            .map_or(true, |event| event.need_rescan() || event.paths.iter().any(|path| concerns(path)));
        if is_change {
            changed();
        }
    };
    let mut watcher = RecommendedWatcher::new(told, Config::default().with_event_kinds(KINDS))?;
    for folder in folders {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn watched(folder: &Path) -> (RecommendedWatcher, Receiver<()>) {
        let (sender, changes) = channel();
        let is_yaml = |path: &Path| path.extension().is_some_and(|extension| extension == "yaml");
        let changed = move || {
            let _gone = sender.send(());
        };
        (watch([folder], is_yaml, changed).unwrap(), changes)
    }

    #[test]
    fn a_file_that_is_made_written_renamed_or_removed_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("a.yaml"), folder.path().join("a.txt"));
        fs::write(&file, "one").unwrap();
        let steps: [&dyn Fn(); 4] = [
            &|| fs::write(&file, "two").unwrap(),
            &|| fs::rename(&file, &other).unwrap(),
            &|| fs::rename(&other, &file).unwrap(),
            &|| fs::remove_file(&file).unwrap(),
        ];
        for step in steps {
            // A watch of its own hears nothing of the step before.
            let (_watcher, changes) = watched(folder.path());
            step();
            changes.recv().unwrap();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_written_and_stays_open_is_not_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut database = File::create(folder.path().join("database")).unwrap();
        let (sender, told) = channel();
        let concerns = move |path: &Path| sender.send(path.to_owned()).is_err();
        let _watcher = watch([folder.path()], concerns, || ()).unwrap();
        database.write_all(b"one").unwrap();
        database.sync_all().unwrap();
        fs::write(folder.path().join("a.yaml"), "one").unwrap();
        assert_eq!(told.recv().unwrap(), folder.path().join("a.yaml"));
    }
}
