//! A server that runs as a child process, from its start to its last sign.

use std::io::{self, ErrorKind};
use std::process::Stdio;
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use secrecy::ExposeSecret as _;
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, interval, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::redact::Redactor;
use super::stderr::{Tail, drain};
use crate::config;

/// How long a child has after its input is closed, and again after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a child whose pipes are closed may take to end before its end is told without a status.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// How often a process group is looked at that is to end.
const LOOK: Duration = Duration::from_millis(20);

const SIGTERM: i32 = 15;
const SIGCONT: i32 = 18;
const ESRCH: i32 = 3;

/// A child process; dropped, it is killed with its whole process group.
#[derive(Debug)]
pub(super) struct Child {
    process: Box<dyn ChildWrapper>,
    stderr: Tail,
    group_is_gone: bool,
}

/// Why a child was not started.
#[derive(Debug)]
pub(super) struct NotStarted {
    pub(super) message: String,
    /// Whether another attempt would fail as well: there is no such program, or it may not be run.
    pub(super) is_final: bool,
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
        redactor: Redactor,
        tracker: &TaskTracker,
    ) -> Result<(Self, ChildStdout, ChildStdin), NotStarted> {
        let mut wrap = CommandWrap::from(command(program));
        wrap.wrap(ProcessGroup::leader()).wrap(KillOnDrop);
        let mut process = wrap.spawn().map_err(|error| NotStarted {
            message: format!("cannot start `{}`: {error}", program.command),
            is_final: is_final(error.kind()),
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (process.stdin().take(), process.stdout().take(), process.stderr().take())
        else {
            let message = format!("cannot start `{}`: no pipes", program.command);
            return Err(NotStarted { message, is_final: false });
        };
        let tail = Tail::default();
        tracker.spawn(drain(stderr, name.to_owned(), redactor, tail.clone()));
        Ok((Self { process, stderr: tail, group_is_gone: false }, stdout, stdin))
    }

    /// The last lines of its standard error, also of those to come.
    pub(super) fn stderr(&self) -> &Tail {
        &self.stderr
    }

    /// Waits for the child, whose input is closed, and for all that it has started, and helps them along; at once
    /// where there is no time left.
    pub(super) async fn stop(mut self, no_time_left: &CancellationToken) {
        tokio::select! {
            () = no_time_left.cancelled() => {}
            () = self.ask_to_end() => {}
        }
        if !self.group_is_gone && Box::into_pin(self.process.kill()).await.is_ok() {
            self.group_is_gone = true;
        }
    }

    async fn ask_to_end(&mut self) {
        let _ = timeout(PATIENCE, self.process.wait()).await;
        // Also where the child has ended by itself: what it has started may still be there.
        self.group_is_gone = finds_nobody(&self.process.signal(SIGTERM));
        if !self.group_is_gone {
            self.group_is_gone = timeout(PATIENCE, group_end(&mut *self.process)).await.is_ok();
        }
    }

    /// How the child ended, if it has, and the end of what it wrote to standard error. Waits a moment: a
    /// child's pipes close before it has ended.
    pub(super) async fn obituary(&mut self) -> Option<String> {
        let deadline = Instant::now() + LAST_MOMENT;
        let ended = timeout_at(deadline, self.process.wait()).await.ok().and_then(Result::ok);
        // Grandchildren may hold the pipe open, so this may not be the very end.
        let _ = timeout_at(deadline, self.stderr.complete()).await;
        let status = ended.map(|status| format!("the process ended ({status})"));
        let words = self.stderr.lines().join("\n");
        let words = (!words.is_empty()).then(|| format!("its last lines:\n{words}"));
        match (status, words) {
            (Some(status), Some(words)) => Some(format!("{status}; {words}")),
            (status, words) => status.or(words),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The group, not only its leader: `npx` and `uvx` start the server as a child of theirs, and may be gone
        // before it.
        if !self.group_is_gone {
            let _ = self.process.start_kill();
        }
    }
}

fn command(program: Program<'_>) -> Command {
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
    command
}

/// Returns when no process of the child's group is left; asked for by a signal that does no harm.
async fn group_end(process: &mut dyn ChildWrapper) {
    let mut looks = interval(LOOK);
    while !finds_nobody(&process.signal(SIGCONT)) {
        // One that has ended counts until its end is noticed.
        let _ = process.try_wait();
        looks.tick().await;
    }
}

/// Whether a signal found no process. One that is not allowed, as to a child that became another user, did find some.
fn finds_nobody(signalled: &io::Result<()>) -> bool {
    signalled.as_ref().is_err_and(|error| error.raw_os_error() == Some(ESRCH))
}

fn is_final(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::PermissionDenied | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use secrecy::SecretString;
    use tokio::io::AsyncReadExt as _;

    use super::super::testing::shell_server;
    use super::*;
    use crate::config::Transport;

    fn shell(
        script: &str,
        env: &BTreeMap<String, SecretString>,
    ) -> (Child, ChildStdout, ChildStdin, TaskTracker) {
        let args = ["-c".to_owned(), script.to_owned()];
        let program = Program { command: "sh", args: &args, env, cwd: None };
        let mut server = shell_server("test", script);
        let Transport::Stdio { env: told, .. } = &mut server.transport else { unreachable!() };
        told.clone_from(env);
        let (redactor, tracker) = (Redactor::of(&server), TaskTracker::new());
        let (child, stdout, stdin) = Child::start("test", program, redactor, &tracker).unwrap();
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
    async fn grandchildren_that_outlive_a_child_go_after_it() {
        let script = "sleep 600 & echo started; read -r line; exit 0";
        let (child, mut stdout, stdin, _tracker) = shell(script, &BTreeMap::new());
        let mut started = [0; 8];
        stdout.read_exact(&mut started).await.unwrap();
        drop(stdin);
        child.stop(&CancellationToken::new()).await;
        assert_eq!(stdout.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn grandchildren_of_a_child_that_ended_go_when_it_is_dropped() {
        let (mut child, mut stdout, _stdin, _tracker) = shell("sleep 600 & echo started", &BTreeMap::new());
        let mut started = [0; 8];
        stdout.read_exact(&mut started).await.unwrap();
        child.process.wait().await.unwrap();
        drop(child);
        assert_eq!(stdout.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named_and_final() {
        let program = Program { command: "no-such-program", args: &[], env: &BTreeMap::new(), cwd: None };
        let redactor = Redactor::of(&shell_server("test", ""));
        let error = Child::start("test", program, redactor, &TaskTracker::new()).unwrap_err();
        assert!(error.is_final && error.message.contains("`no-such-program`"), "{error:?}");
    }

    #[test]
    fn a_group_that_may_not_be_signalled_is_still_there() {
        const EPERM: i32 = 1;
        assert!(!finds_nobody(&Ok(())));
        assert!(!finds_nobody(&Err(io::Error::from_raw_os_error(EPERM))));
        assert!(finds_nobody(&Err(io::Error::from_raw_os_error(ESRCH))));
    }

    #[tokio::test]
    async fn f55_a_child_does_not_repeat_its_secrets_to_the_log() {
        let secret = |value: &str| SecretString::from(value.to_owned());
        let env = BTreeMap::from([
            ("API_TOKEN".to_owned(), secret("s3cret-token-1")),
            ("FOLDER".to_owned(), secret("/srv/documents")),
        ]);
        let (mut child, _stdout, _stdin, _tracker) =
            shell("echo \"no access to $FOLDER with $API_TOKEN\" >&2", &env);
        let obituary = child.obituary().await.unwrap();
        assert!(obituary.contains("no access to /srv/documents with [redacted]"), "{obituary}");
    }
}
