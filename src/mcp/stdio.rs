//! A server that runs as a child process, from its start to its last sign.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::result::bounded;
use crate::config;

/// How long a child has after its input is closed, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a child whose pipes are closed may take to end before its end is told without a status.
const LAST_MOMENT: Duration = Duration::from_millis(500);

const SIGTERM: i32 = 15;

/// How many lines of a child's standard error are kept, and how much of each, in bytes.
const KEPT_LINES: usize = 20;
const KEPT_LINE: usize = 400;

/// A child process; dropped, it is killed with its whole process group.
#[derive(Debug)]
pub(super) struct Child {
    process: Box<dyn ChildWrapper>,
    last_words: LastWords,
}

/// What a child is started with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program<'a> {
    pub(super) command: &'a str,
    pub(super) args: &'a [String],
    pub(super) env: &'a std::collections::BTreeMap<String, secrecy::SecretString>,
    pub(super) cwd: Option<&'a std::path::Path>,
}

impl Child {
    /// Starts the program of the server `name` with a clean environment, in a process group of its own.
    pub(super) fn start(
        name: &str,
        program: Program<'_>,
        tracker: &TaskTracker,
    ) -> Result<(Self, ChildStdout, ChildStdin), String> {
        let mut command = Command::new(program.command);
        command
            .args(program.args)
            .env_clear()
            .envs(config::child_environment())
            .envs(program.env.iter().map(|(name, value)| (name, value.expose_secret())))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = program.cwd {
            command.current_dir(folder);
        }
        let mut wrap = CommandWrap::from(command);
        wrap.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
        let mut process =
            wrap.spawn().map_err(|error| format!("cannot start `{}`: {error}", program.command))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (process.stdin().take(), process.stdout().take(), process.stderr().take())
        else {
            return Err(format!("cannot start `{}`: no pipes", program.command));
        };
        let last_words = LastWords::default();
        tracker.spawn(drain(stderr, name.to_owned(), last_words.clone()));
        Ok((Self { process, last_words }, stdout, stdin))
    }

    /// Waits for the child, whose input is closed, and helps it along; at once where there is no time left.
    pub(super) async fn stop(mut self, no_time_left: &CancellationToken) {
        tokio::select! {
            () = no_time_left.cancelled() => {}
            exited = self.ask_to_exit() => if exited {
                return;
            }
        }
        if let Err(error) = Box::into_pin(self.process.kill()).await {
            tracing::debug!(%error, "cannot kill a child process");
        }
    }

    async fn ask_to_exit(&mut self) -> bool {
        if timeout(PATIENCE, self.process.wait()).await.is_ok() {
            return true;
        }
        self.process.signal(SIGTERM).is_ok() && timeout(PATIENCE, self.process.wait()).await.is_ok()
    }

    /// How the child ended, if it has, and the end of what it wrote to standard error. Waits a moment: a
    /// child's pipes close before it has ended.
    pub(super) async fn obituary(&mut self) -> Option<String> {
        let deadline = Instant::now() + LAST_MOMENT;
        let ended = timeout_at(deadline, self.process.wait()).await.ok().and_then(Result::ok);
        // Grandchildren may hold the pipe open, so this may not be the very end.
        let _ = timeout_at(deadline, self.last_words.complete.cancelled()).await;
        let status = ended.map(|status| format!("the process ended ({status})"));
        let words = self.last_words.text();
        let words = (!words.is_empty()).then(|| format!("its last lines:\n{words}"));
        match (status, words) {
            (Some(status), Some(words)) => Some(format!("{status}; {words}")),
            (status, words) => status.or(words),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The group, not only its leader: `npx` and `uvx` start the server as a child of theirs.
        if matches!(self.process.try_wait(), Ok(None)) {
            let _ = self.process.start_kill();
        }
    }
}

/// The last lines that a child wrote to standard error.
#[derive(Debug, Clone, Default)]
struct LastWords {
    lines: Arc<Mutex<VecDeque<String>>>,
    complete: CancellationToken,
}

impl LastWords {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Reads standard error until its end, so that the child never waits for a reader.
async fn drain(stderr: impl AsyncRead + Unpin, server: String, last_words: LastWords) {
    let _complete = last_words.complete.clone().drop_guard();
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while let Ok(bytes) = reader.fill_buf().await {
        let at_end = bytes.is_empty();
        let newline = memchr::memchr(b'\n', bytes);
        let taken = newline.map_or(bytes.len(), |at| at + 1);
        // A line may be endless; only its start is kept.
        let room = (KEPT_LINE + 1).saturating_sub(line.len());
        line.extend_from_slice(&bytes[..newline.unwrap_or(bytes.len()).min(room)]);
        reader.consume(taken);
        if newline.is_some() || at_end {
            let text = bounded(String::from_utf8_lossy(&line).trim_end(), KEPT_LINE);
            line.clear();
            if !text.is_empty() {
                tracing::debug!(%server, line = %text, "standard error");
                last_words.push(text);
            }
        }
        if at_end {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::SecretString;
    use tokio::io::AsyncReadExt as _;

    use super::*;

    fn shell(
        script: &str,
        env: &BTreeMap<String, SecretString>,
    ) -> (Child, ChildStdout, ChildStdin, TaskTracker) {
        let args = ["-c".to_owned(), script.to_owned()];
        let program = Program { command: "sh", args: &args, env, cwd: None };
        let tracker = TaskTracker::new();
        let (child, stdout, stdin) = Child::start("test", program, &tracker).unwrap();
        (child, stdout, stdin, tracker)
    }

    async fn output_of(script: &str, env: &BTreeMap<String, SecretString>) -> String {
        let (_child, mut stdout, _stdin, _tracker) = shell(script, env);
        let mut output = String::new();
        stdout.read_to_string(&mut output).await.unwrap();
        output
    }

    #[tokio::test]
    async fn a_child_knows_its_own_environment_and_no_more() {
        let env = BTreeMap::from([("TOKEN".to_owned(), SecretString::from("s3cret"))]);
        let output = output_of("env", &env).await;
        assert!(output.contains("TOKEN=s3cret") && output.contains("PATH="), "{output}");
        assert!(!output.contains("CARGO"), "cargo sets variables for the gateway's own process: {output}");
    }

    #[tokio::test]
    async fn the_end_of_a_child_is_told_with_its_last_lines() {
        let script = "i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; printf 'no newline' >&2; exit 3";
        let (mut child, mut stdout, _stdin, tracker) = shell(script, &BTreeMap::new());
        stdout.read_to_end(&mut Vec::new()).await.unwrap();
        tracker.close();
        tracker.wait().await;
        let obituary = child.obituary().await.unwrap();
        assert!(obituary.contains("exit status: 3"), "{obituary}");
        assert!(obituary.contains("\nline 29\nno newline") && !obituary.contains("line 10\n"), "{obituary}");
    }

    #[tokio::test]
    async fn an_endless_line_takes_no_room() {
        let last_words = LastWords::default();
        let endless = "x".repeat(1_000_000) + "\nshort\n";
        drain(endless.as_bytes(), "test".into(), last_words.clone()).await;
        let text = last_words.text();
        assert!(text.ends_with("…\nshort") && text.len() <= KEPT_LINE + 10, "{} bytes", text.len());
    }

    #[tokio::test]
    async fn grandchildren_go_with_the_child() {
        let (child, mut stdout, stdin, _tracker) = shell("sleep 600 & echo started; wait", &BTreeMap::new());
        let mut started = [0; 8];
        stdout.read_exact(&mut started).await.unwrap();
        drop(stdin);
        let no_time_left = CancellationToken::new();
        no_time_left.cancel();
        child.stop(&no_time_left).await;
        // The grandchild holds the pipe: it ends only when both are gone.
        assert_eq!(stdout.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let program = Program { command: "no-such-program", args: &[], env: &BTreeMap::new(), cwd: None };
        let error = Child::start("test", program, &TaskTracker::new()).unwrap_err();
        assert!(error.contains("`no-such-program`"), "{error}");
    }
}
