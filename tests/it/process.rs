//! The real binary as a child process, with its configuration on disk.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::client::patiently;
use crate::provider::Provider;
use crate::world::PROVIDER_KEY;

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_toolgate");

/// The variable that the configuration takes the provider's key from.
const KEY_VARIABLE: &str = "TOOLGATE_TEST_PROVIDER_KEY";

/// A folder with a configuration in it.
pub struct ConfigFolder(pub TempDir);

impl ConfigFolder {
    /// A gateway on a free port with this provider for all APIs, tools in every request and these lines
    /// besides; without keys, if these lines have none.
    pub fn new(provider: &Provider, more: &str) -> Self {
        let auth = if more.contains("keys:") { "" } else { "auth: none\n" };
        let address = provider.address;
        let folder = Self(tempfile::tempdir().unwrap());
        let common = format!("api_key: ${{{KEY_VARIABLE}}}");
        folder.write(
            "toolgate.yaml",
            &format!(
                "listen: 127.0.0.1:0\ninject: always\nproviders:\n  - name: anthropic\n    type: anthropic\n    \
                 base_url: http://{address}\n    {common}\n  - name: openai\n    type: openai\n    \
                 base_url: http://{address}/v1\n    {common}\n{auth}{more}"
            ),
        );
        folder
    }

    /// Adds a file, in a folder that is made where it is missing.
    pub fn write(&self, name: &str, text: &str) -> &Self {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
        self
    }

    /// Adds an MCP server that is reached over HTTP.
    pub fn server(&self, name: &str, url: &str) -> &Self {
        let text = format!("name: {name}\ntransport: http\nurl: {url}\n");
        self.write(&format!("mcp-servers/{name}.yaml"), &text)
    }

    /// `toolgate.yaml`.
    pub fn file(&self) -> PathBuf {
        self.0.path().join("toolgate.yaml")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.path().join("toolgate.db")
    }
}

/// A running `toolgate`.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
    output: Lines,
    log: Lines,
}

impl Process {
    /// Starts `toolgate serve` and waits until it says where it listens.
    pub async fn serve(folder: &ConfigFolder, arguments: &[&str]) -> Self {
        let mut command = command(&folder.file());
        let mut child = command.args(arguments).kill_on_drop(true).spawn().unwrap();
        let (output, log) =
            (Lines::read(child.stdout.take().unwrap()), Lines::read(child.stderr.take().unwrap()));
        let line = output.wait_for("listening on").await;
        let address = line.rsplit("http://").next().unwrap().trim().parse().unwrap();
        Self { address, child, output, log }
    }

    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until the log has a line with these words.
    pub async fn logs(&self, words: &str) -> String {
        self.log.wait_for(words).await
    }

    /// Waits until the log has this many lines with these words.
    pub async fn logs_times(&self, count: usize, words: &str) {
        self.log.wait_for_times(count, words).await;
    }

    /// Asks it with SIGHUP to read its configuration again.
    pub async fn hang_up(&self) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &id]).status().await.unwrap().success());
    }

    /// Kills it as `kill -9` does.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end with SIGTERM; gives its exit status and all that it printed and logged.
    pub async fn terminate(mut self) -> (ExitStatus, String) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        let status = self.child.wait().await.unwrap();
        (status, self.output.all().await + &self.log.all().await)
    }
}

fn command(config: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["serve", "--config"]).arg(config).env(KEY_VARIABLE, PROVIDER_KEY);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The lines that a child writes, read as they come.
struct Lines {
    text: watch::Receiver<String>,
}

impl Lines {
    fn read(pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, text) = watch::channel(String::new());
        tokio::task::spawn(async move {
            let mut lines = BufReader::new(pipe).lines();
            while let Some(line) = lines.next_line().await.unwrap() {
                sender.send_modify(|text| *text += &format!("{line}\n"));
            }
        });
        Self { text }
    }

    async fn wait_for(&self, words: &str) -> String {
        let found = self.wait_for_times(1, words).await;
        found.lines().find(|line| line.contains(words)).unwrap().to_owned()
    }

    async fn wait_for_times(&self, count: usize, words: &str) -> String {
        let mut text = self.text.clone();
        let found = text.wait_for(|text| text.matches(words).count() >= count);
        let found = patiently(words, found).await.map(|text| text.clone());
        found.unwrap_or_else(|_| {
            panic!("it ended without saying {words:?} {count} times:\n{}", *self.text.borrow())
        })
    }

    /// Everything, once the child has closed the pipe.
    async fn all(mut self) -> String {
        while self.text.changed().await.is_ok() {}
        self.text.borrow().clone()
    }
}
