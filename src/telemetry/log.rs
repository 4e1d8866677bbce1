//! The records as structured log lines: JSON, one object a line, on standard output or in a file. They are for machines
//! and hold content; the operator's log on standard error holds none.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncWrite, AsyncWriteExt, Stdout};
use tokio_util::sync::CancellationToken;

use super::feed::{Feed, Intake, Item, feed};
use super::line::Line;
use crate::config::{AuditLog, Record};

/// The most lines of one write.
const BATCH: usize = 256;

/// Where lines go.
enum Target {
    Stdout(Stdout),
    File(LogFile),
}

/// A file that is appended to, and made anew where it was moved away.
struct LogFile {
    path: PathBuf,
    open: Option<File>,
}

/// The way to the log, and the task that writes it.
pub(super) fn start(
    settings: &AuditLog,
    ending: CancellationToken,
) -> (Feed, impl Future<Output = ()> + Send + use<>) {
    let (feed, intake) = feed("log", |_| true, ending);
    let target = match &settings.file {
        None => Target::Stdout(tokio::io::stdout()),
        Some(path) => Target::File(LogFile { path: path.clone(), open: None }),
    };
    (feed, write(intake, target, settings.content))
}

async fn write(mut intake: Intake, mut target: Target, content: Record) {
    let mut items = Vec::new();
    let mut fails = false;
    while intake.take(&mut items, BATCH).await {
        let (lines, unwritable) = lines(&items, content);
        let written = target.append(&lines).await;
        let lost = if written.is_ok() { unwritable } else { items.len() };
        if lost > 0 {
            intake.lose(lost);
        }
        match &written {
            Err(error) if !fails => tracing::error!(%error, "the audit's log cannot be written"),
            Ok(()) if fails => tracing::info!("the audit's log is written again"),
            _ => {}
        }
        fails = written.is_err();
        items.clear();
    }
}

/// The lines, and how many items could not become one.
fn lines(items: &[Item], content: Record) -> (Vec<u8>, usize) {
    let mut lines = Vec::with_capacity(items.len() * 512);
    let mut unwritable = 0;
    for item in items {
        let begin = lines.len();
        if let Ok(()) = serde_json::to_writer(&mut lines, &Line::of(item, content)) {
            lines.push(b'\n');
        } else {
            lines.truncate(begin);
            unwritable += 1;
        }
    }
    (lines, unwritable)
}

impl Target {
    async fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => write_all(stdout, lines).await,
            Self::File(file) => file.append(lines).await,
        }
    }
}

impl LogFile {
    async fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let mut file = match self.open.take() {
            Some(file) if self.is_in_place(&file).await => file,
            _ => self.create().await?,
        };
        // A file that fails is opened anew the next time.
        write_all(&mut file, lines).await?;
        self.open = Some(file);
        Ok(())
    }

    /// Nobody but the gateway's own user may read it.
    async fn create(&self) -> io::Result<File> {
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path).await?;
        if file.metadata().await?.len() > 0 && !ends_with_newline(&self.path).await {
            // What was written last broke off: it must not spoil the next line.
            file.write_all(b"\n").await?;
        }
        Ok(file)
    }

    async fn is_in_place(&self, file: &File) -> bool {
        let (Ok(open), Ok(there)) = (file.metadata().await, tokio::fs::metadata(&self.path).await) else {
            return false;
        };
        (open.dev(), open.ino()) == (there.dev(), there.ino())
    }
}

async fn ends_with_newline(path: &std::path::Path) -> bool {
    use tokio::io::{AsyncReadExt, AsyncSeekExt};
    let last = async {
        let mut file = File::open(path).await?;
        file.seek(io::SeekFrom::End(-1)).await?;
        file.read_u8().await
    };
    last.await.is_ok_and(|last| last == b'\n')
}

async fn write_all(target: &mut (impl AsyncWrite + Unpin), lines: &[u8]) -> io::Result<()> {
    target.write_all(lines).await?;
    target.flush().await
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::testing;
    use super::*;
    use crate::audit::{Outlet, Published};

    async fn written(path: &std::path::Path, records: &[Published]) {
        let settings = AuditLog { file: Some(path.to_owned()), content: Record::Full };
        let ending = CancellationToken::new();
        let (feed, writing) = start(&settings, ending.clone());
        feed.publish(records);
        feed.checkpoint(&testing::checkpoint());
        ending.cancel();
        writing.await;
    }

    fn read(path: &std::path::Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"))).collect()
    }

    #[tokio::test]
    async fn each_record_is_one_line_under_the_names_that_collectors_know() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        written(&path, &testing::interception()).await;
        let lines = read(&path);
        let types: Vec<_> = lines.iter().map(|line| line["record_type"].as_str().unwrap()).collect();
        assert_eq!(
            types,
            [
                "interception_start",
                "prompt_usage",
                "token_usage",
                "model_thought",
                "tool_usage",
                "tool_outcome",
                "tool_usage",
                "tool_outcome",
                "token_usage",
                "audit_event",
                "interception_end",
                "audit_checkpoint",
            ]
        );
        assert!(lines.iter().all(|line| line["message"] == "interception log"));
        let known: [(usize, &[&str]); 6] = [
            (0, &["interception_id", "initiator_id", "provider", "model", "client", "started_at"]),
            (1, &["interception_id", "prompt", "created_at"]),
            (2, &["interception_id", "input_tokens", "output_tokens", "created_at"]),
            (3, &["interception_id", "content", "created_at"]),
            (4, &["interception_id", "tool", "input", "server_url", "injected", "created_at"]),
            (10, &["interception_id", "ended_at"]),
        ];
        for (line, names) in known {
            for name in names {
                assert!(!lines[line][name].is_null(), "{name} in {}", lines[line]);
            }
        }
        assert_eq!(lines[0]["started_at"], "2026-11-21T12:00:00Z");
        assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(
            (&lines[1]["prompt"], &lines[4]["input"]),
            (&"How many birds?".into(), &"{\"n\":1}".into())
        );
        assert_eq!((&lines[4]["injected"], &lines[6]["injected"]), (&true.into(), &false.into()));
        assert_eq!(lines[4]["tool_use_id"], lines[5]["tool_use_id"]);
        assert_eq!(lines[10]["overhead_us"], 100_000);
        assert_eq!(lines[11]["body"], "{\"heads\":[]}");
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_made_anew_and_a_broken_line_spoils_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        std::fs::write(&path, "{\"record_type\":\"tok").unwrap();
        let mut file = LogFile { path: path.clone(), open: None };
        file.append(b"{}\n").await.unwrap();
        file.append(b"{}\n").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"record_type\":\"tok\n{}\n{}\n");
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        file.append(b"[]\n").await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "[]\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn f44_what_cannot_be_written_is_counted() {
        let settings = AuditLog { file: Some("/nowhere/audit.jsonl".into()), content: Record::Full };
        let ending = CancellationToken::new();
        let (feed, writing) = start(&settings, ending.clone());
        let losses = feed.losses();
        feed.publish(&testing::interception());
        ending.cancel();
        writing.await;
        assert_eq!(losses.count(), 11);
    }
}
