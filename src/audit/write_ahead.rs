//! The write-ahead file of a store: the batch for whose records calls wait, until the database has it. An embedded
//! store has it beside its own; for a server it is where the configuration says.
//!
//! One write to a file survives the end of the process as a transaction does, and takes a tenth of its time. The file
//! holds one line of a spool, or nothing but zeros: what is in the database is overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, ErrorKind, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::line::{LONGEST, batch_of, line_of};
use super::spool::{beside, lock};
use crate::store::batch::Batch;
use crate::store::{Store, StoreError};

/// The file, of the gateway that has claimed the store.
#[derive(Debug)]
pub(super) struct WriteAhead {
    path: PathBuf,
    file: File,
    /// The link of the batch in it.
    holds: Option<String>,
    /// How much of it is not zeros, bytes.
    used: usize,
    /// Whether it could be written the last time.
    is_well: bool,
    _lock: Option<File>,
}

impl WriteAhead {
    /// Where it is: beside an embedded database, else where the configuration says.
    pub(super) fn path(store: &Store, configured: Option<&Path>) -> Option<PathBuf> {
        if store.is_shared() {
            return configured.map(Path::to_owned);
        }
        store.path().map(|database| beside(database, ".ahead"))
    }

    /// Takes the file for this gateway, where that is not done by taking the database beside it.
    pub(super) fn lock(store: &Store, path: &Path) -> io::Result<Option<File>> {
        store.is_shared().then(|| lock(path, "audit.write_ahead")).transpose()
    }

    /// Gives the batch that an earlier run left in this file, and cuts off what is behind it: who reads it next goes by
    /// the file's length. None where no line is whole: nobody was told that its batch is durable. An error where another
    /// version wrote it, so that nothing is lost.
    pub(super) fn recover(path: &Path) -> io::Result<Option<Batch>> {
        let file = match OpenOptions::new().read(true).write(true).open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let mut reader = BufReader::new(&file);
        if is_empty(&mut reader)? {
            return Ok(None);
        }
        if !reader.fill_buf()?.first().is_some_and(|byte| byte.is_ascii_hexdigit() || *byte == b'\n') {
            let what = "it is something else than a write-ahead file: move it away";
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        let mut line = Vec::new();
        let length = reader.take(LONGEST).read_until(b'\n', &mut line)? as u64;
        let Some(batch) = batch_of(&line) else {
            tracing::warn!(
                target: "toolgate::audit",
                file = %path.display(),
                "the batch in this file is not whole: no call has run with it, unless the file was damaged since",
            );
            return Ok(None);
        };
        let batch = batch?;
        file.set_len(length)?;
        Ok(Some(batch))
    }

    /// Takes the file, and overwrites what is in it; makes it, for its owner alone, where it is missing.
    pub(super) fn open(path: &Path, lock: Option<File>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        let used = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
        let mut opened = Self { path: path.to_owned(), file, holds: None, used, is_well: true, _lock: lock };
        opened.try_to_clear()?;
        Ok(opened)
    }

    pub(super) fn file(&self) -> &Path {
        &self.path
    }

    pub(super) fn holds_any(&self) -> bool {
        self.holds.is_some()
    }

    pub(super) fn holds(&self, batch: &Batch) -> bool {
        self.holds.as_ref() == Some(&batch.link.hash)
    }

    /// Puts a batch into the file, in place of what is there; true when it is durable.
    ///
    /// It waits for the system's memory, not for a disk: less than a way to another thread takes.
    pub(super) fn put(&mut self, batch: &Batch) -> bool {
        let written = self.try_to_put(batch);
        self.noted(written)
    }

    /// Overwrites what is in the file.
    pub(super) fn clear(&mut self) {
        if self.used > 0
            && let Err(error) = self.try_to_clear()
        {
            self.noted(Err(error));
        }
    }

    fn try_to_put(&mut self, batch: &Batch) -> io::Result<()> {
        let line = line_of(batch)?;
        self.holds = None;
        self.used = self.used.max(line.len());
        self.write(&line)?;
        self.holds = Some(batch.link.hash.clone());
        Ok(())
    }

    fn try_to_clear(&mut self) -> io::Result<()> {
        self.write(&vec![0; self.used])?;
        (self.holds, self.used) = (None, 0);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(bytes)
    }

    /// Says when the file cannot be written any more, and when it can again; true when it can.
    fn noted(&mut self, written: io::Result<()>) -> bool {
        let (file, was_well) = (self.path.display(), self.is_well);
        self.is_well = written.is_ok();
        match written {
            Err(error) if was_well => {
                tracing::warn!(target: "toolgate::audit", %file, %error, "the file cannot be written: calls wait for the database");
            }
            Ok(()) if !was_well => {
                tracing::info!(target: "toolgate::audit", %file, "the file can be written again");
            }
            _ => {}
        }
        self.is_well
    }
}

/// The write-ahead file of a store, where a gateway that is gone left something in it. Its next start brings that in:
/// what is done with the records before would miss it.
pub async fn left_behind(store: &Store, configured: Option<&Path>) -> Result<Option<PathBuf>, StoreError> {
    let Some(path) = WriteAhead::path(store, configured) else { return Ok(None) };
    let _claim = match store.claim().await {
        // A gateway that runs has it in its database, or tries.
        Err(StoreError::InUse(_)) => return Ok(None),
        claim => claim?,
    };
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(sqlx::Error::Io)?,
    };
    let _lock = match WriteAhead::lock(store, &path) {
        Err(error) if error.kind() == ErrorKind::ResourceBusy => return Ok(None),
        lock => lock.map_err(sqlx::Error::Io)?,
    };
    let is_empty = is_empty(&mut BufReader::new(file)).map_err(sqlx::Error::Io)?;
    Ok((!is_empty).then_some(path))
}

fn is_empty(file: &mut impl BufRead) -> io::Result<bool> {
    Ok(file.fill_buf()?.first().is_none_or(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::store::testing::batch;

    fn is_zeros(path: &Path) -> bool {
        std::fs::read(path).unwrap().iter().all(|byte| *byte == 0)
    }

    #[test]
    fn holds_one_batch_and_forgets_it() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.db.ahead");
        assert_eq!(WriteAhead::recover(&path).unwrap(), None);
        let mut ahead = WriteAhead::open(&path, None).unwrap();
        let (long, short) = (batch(1, &"long".repeat(99), Vec::new()), batch(2, "short", Vec::new()));
        for batch in [&long, &short] {
            assert!(ahead.put(batch));
            assert!(ahead.holds(batch));
        }
        assert!(!ahead.holds(&long));
        assert_eq!(WriteAhead::recover(&path).unwrap().unwrap(), short);
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.last(), Some(&b'\n'), "the end of the longer one is cut off");

        ahead.clear();
        assert!(is_zeros(&path) && !ahead.holds(&short));
        // By this gateway, or by the next.
        std::fs::write(&path, &bytes).unwrap();
        WriteAhead::open(&path, None).unwrap();
        assert!(is_zeros(&path));
        assert_eq!(WriteAhead::recover(&path).unwrap(), None);
    }

    #[test]
    fn a_torn_line_is_none_and_one_of_another_version_an_error() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.db.ahead");
        let mut ahead = WriteAhead::open(&path, None).unwrap();
        assert!(ahead.put(&batch(1, "one", Vec::new())));
        let whole = std::fs::read(&path).unwrap();
        for torn in [&whole[..whole.len() - 1], &whole[..70], b"\n", b""] {
            std::fs::write(&path, [torn, &[0; 9]].concat()).unwrap();
            assert_eq!(WriteAhead::recover(&path).unwrap(), None);
        }
        let json = b"{}";
        let digest = blake3::hash(json).to_hex();
        std::fs::write(&path, [digest.as_bytes(), b" ", json, b"\n"].concat()).unwrap();
        WriteAhead::recover(&path).unwrap_err();
        std::fs::write(&path, [&whole[..], &whole[..9]].concat()).unwrap();
        assert!(WriteAhead::recover(&path).unwrap().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn what_is_something_else_stays() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("checkpoints.jsonl");
        std::fs::write(&path, "{\"heads\":[]}\n").unwrap();
        let error = WriteAhead::recover(&path).unwrap_err().to_string();
        assert!(error.contains("something else than a write-ahead file"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.db.ahead");
        WriteAhead::open(&path, None).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
