//! The file in which batches wait for the store, one line a batch.
//!
//! It is only ever appended to, and emptied when all of it is in the store. The last line may have been torn by the end
//! of the process, and nobody was told that it is durable.

use std::fs::TryLockError;
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};

use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, BufReader};

use super::line::{LONGEST, batch_of, line_of};
use crate::store::batch::Batch;
use crate::store::records::Row;

/// The file, held by this gateway alone.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    /// Whether a line must survive a power cut.
    sync: bool,
    file: File,
    length: u64,
    _lock: Option<std::fs::File>,
}

/// The lines of a spool, one after the other.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    /// Where the next line begins.
    pub offset: u64,
    end: u64,
    damaged: u64,
}

impl Spool {
    /// Opens the file and takes it for this gateway; makes it, for its owner alone, where it is missing.
    pub(super) async fn open(path: &Path, sync: bool) -> io::Result<Self> {
        let lock = lock(path, "audit.spool")?;
        Ok(Self { _lock: Some(lock), ..Self::open_own(path, sync).await? })
    }

    /// The same, where nobody else can have it.
    pub(super) async fn open_own(path: &Path, sync: bool) -> io::Result<Self> {
        let file = options().open(path).await?;
        let length = file.metadata().await?.len();
        sync_folder(path).await?;
        Ok(Self { path: path.to_owned(), sync, file, length, _lock: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a batch; it is durable when this returns. After an error the file is as it was.
    pub(super) async fn append(&mut self, batch: &Batch) -> io::Result<()> {
        let line = line_of(batch)?;
        // Also what an earlier try left half-written, and could not take back.
        self.file.set_len(self.length).await?;
        if let Err(error) = write(&mut self.file, &line, self.sync).await {
            // If it cannot be taken back now, the next try does it; the digest tells it from a line.
            let _still_there = self.file.set_len(self.length).await;
            return Err(error);
        }
        self.length += line.len() as u64;
        Ok(())
    }

    /// Removes all lines.
    pub(super) async fn empty(&mut self) -> io::Result<()> {
        self.file.set_len(0).await?;
        self.file.sync_all().await?;
        self.length = 0;
        Ok(())
    }

    /// Leaves the lines before an offset out and changes the others, all at once.
    pub(super) async fn rewrite(&mut self, from: u64, mut change: impl FnMut(&mut Batch)) -> io::Result<()> {
        let new_path = beside(&self.path, ".new");
        let mut new = options().open(&new_path).await?;
        new.set_len(0).await?;
        let mut lines = Lines::open(&self.path, from, self.length).await?;
        let mut length = 0;
        while let Some(mut batch) = lines.next().await? {
            change(&mut batch);
            let line = line_of(&batch)?;
            length += line.len() as u64;
            write(&mut new, &line, false).await?;
        }
        new.sync_all().await?;
        fs::rename(&new_path, &self.path).await?;
        sync_folder(&self.path).await?;
        (self.file, self.length) = (new, length);
        Ok(())
    }
}

impl Lines {
    pub(super) async fn open(path: &Path, from: u64, end: u64) -> io::Result<Self> {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(from)).await?;
        let reader = BufReader::new(file);
        Ok(Self { path: path.to_owned(), reader, offset: from, end, damaged: 0 })
    }

    /// The next batch; `None` at the end. Lines that are damaged are left out, and said to be; one that another version
    /// wrote, and this one cannot read, is an error.
    pub(super) async fn next(&mut self) -> io::Result<Option<Batch>> {
        while self.offset < self.end {
            let mut line = Vec::new();
            let most = LONGEST.min(self.end - self.offset);
            let read = (&mut self.reader).take(most).read_until(b'\n', &mut line).await?;
            if read == 0 {
                break;
            }
            let offset = self.offset;
            self.offset += read as u64;
            if let Some(batch) = batch_of(&line) {
                return Ok(Some(batch?));
            }
            self.damaged += 1;
            let (file, damaged) = (self.path.display(), self.damaged);
            tracing::error!(target: "toolgate::audit", %file, offset, bytes = read, damaged, "a line of the file is damaged and left out");
        }
        Ok(None)
    }
}

/// Keeps a batch that the store refuses, in a file beside the spool.
pub(super) async fn set_aside(spool: &Path, batch: &Batch, why: &sqlx::Error) -> io::Result<()> {
    let path = beside(spool, ".refused");
    tracing::error!(
        target: "toolgate::audit",
        error = %why, file = %path.display(), rows = ?batch.rows.iter().map(Row::key).collect::<Vec<_>>(),
        "the database refuses a batch that waited in a file: it is set aside",
    );
    write(&mut options().open(&path).await?, &line_of(batch)?, true).await
}

async fn write(file: &mut File, line: &[u8], sync: bool) -> io::Result<()> {
    file.write_all(line).await?;
    file.flush().await?;
    if sync { file.sync_data().await } else { Ok(()) }
}

/// Makes a file's name as durable as what is in it.
async fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder).await?.sync_all().await,
        None => Ok(()),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).read(true).create(true);
    #[cfg(unix)]
    options.mode(0o600);
    options
}

/// Takes a file for this gateway; `setting` says where it is configured.
pub(super) fn lock(path: &Path, setting: &str) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(beside(path, ".lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let what = format!("another gateway uses it ({setting})");
            Err(io::Error::new(io::ErrorKind::ResourceBusy, what))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
