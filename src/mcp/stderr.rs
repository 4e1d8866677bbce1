//! What a child process writes to standard error: into the log, within bounds, and its last lines kept.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::redact::Redactor;
use super::result::bounded;

/// How many lines are kept, and how much of each, in bytes.
const KEPT_LINES: usize = 20;
const KEPT_LINE: usize = 400;

/// How much of a line is read; secrets are taken out of that before the rest is cut off.
const READ_LINE: usize = 4 * 1024;

/// How many lines of one child are logged within [`WINDOW`]: one that runs wild must not fill the disk.
const LOGGED_LINES: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// The last lines that a child wrote to standard error; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Tail {
    lines: Arc<Mutex<VecDeque<String>>>,
    complete: CancellationToken,
}

impl Tail {
    /// The lines, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Returns when the child, and whoever else held its standard error, has closed it.
    pub(super) async fn complete(&self) {
        self.complete.cancelled().await;
    }

    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Reads standard error until its end, so that the child never waits for a reader.
///
/// What the child was told in confidence, neither the log nor the tail shows.
pub(super) async fn drain(stderr: impl AsyncRead + Unpin, server: String, redactor: Redactor, tail: Tail) {
    let _complete = tail.complete.clone().drop_guard();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    let mut budget = Budget::new(Instant::now());
    while let Ok(bytes) = reader.fill_buf().await {
        let at_end = bytes.is_empty();
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |at| at + 1);
        // A line may be endless; only its start is kept.
        let room = READ_LINE.saturating_sub(line.len());
        line.extend_from_slice(&bytes[..newline.unwrap_or(bytes.len()).min(room)]);
        reader.consume(taken);
        if newline.is_some() || at_end {
            let text = presentable(&line, &redactor);
            line.clear();
            if !text.is_empty() {
                if budget.admits(&server, Instant::now()) {
                    tracing::info!(%server, line = %text, "standard error");
                }
                tail.push(text);
            }
        }
        if at_end {
            break;
        }
    }
}

fn presentable(line: &[u8], redactor: &Redactor) -> String {
    let text = redactor.redact(&String::from_utf8_lossy(line));
    bounded(text.trim_end(), KEPT_LINE)
}

/// How much of a child's words the log still takes.
struct Budget {
    since: Instant,
    logged: u32,
    withheld: u32,
}

impl Budget {
    fn new(now: Instant) -> Self {
        Self { since: now, logged: 0, withheld: 0 }
    }

    /// Whether a line of this moment is logged.
    fn admits(&mut self, server: &str, now: Instant) -> bool {
        if now.duration_since(self.since) >= WINDOW {
            if self.withheld > 0 {
                tracing::info!(%server, lines = self.withheld, "more standard error, not logged");
            }
            *self = Self::new(now);
        }
        let admits = self.logged < LOGGED_LINES;
        *(if admits { &mut self.logged } else { &mut self.withheld }) += 1;
        admits
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::shell_server;
    use super::*;

    async fn tail_of(output: &str, secrets: &[&str]) -> Vec<String> {
        let tail = Tail::default();
        let mut server = shell_server("test", "");
        server.confidential = secrets.iter().map(|secret| (*secret).into()).collect();
        drain(output.as_bytes(), "test".into(), Redactor::of(&server), tail.clone()).await;
        tail.complete().await;
        tail.lines()
    }

    #[tokio::test]
    async fn the_last_lines_are_kept_also_without_a_newline() {
        let output: Vec<String> = (0..30).map(|line| format!("line {line}")).collect();
        let lines = tail_of(&(output.join("\n") + "\n\nno newline"), &[]).await;
        assert_eq!(lines.len(), KEPT_LINES);
        assert_eq!((&*lines[0], &*lines[18], &*lines[19]), ("line 11", "line 29", "no newline"));
    }

    #[tokio::test]
    async fn an_endless_line_takes_no_room() {
        let lines = tail_of(&("x".repeat(1_000_000) + "\nshort\n"), &[]).await;
        assert_eq!(lines[1], "short");
        assert!(lines[0].ends_with('…') && lines[0].len() <= KEPT_LINE + 4, "{} bytes", lines[0].len());
    }

    #[tokio::test]
    async fn f55_a_secret_of_the_environment_is_not_repeated() {
        let long = format!("{}s3cret-token-1 and more\n", "x".repeat(KEPT_LINE - 5));
        let lines = tail_of(&format!("using s3cret-token-1!\n{long}"), &["s3cret-token-1"]).await;
        assert_eq!(lines[0], "using [redacted]!");
        assert!(!lines[1].contains("s3c"), "{}", lines[1]);
    }

    #[test]
    fn a_child_that_runs_wild_does_not_fill_the_log() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let logged = (0..LOGGED_LINES + 7).filter(|_| budget.admits("test", start)).count();
        assert_eq!((logged, budget.withheld), (LOGGED_LINES as usize, 7));
        assert!(budget.admits("test", start + WINDOW));
        assert_eq!(budget.withheld, 0);
    }
}
