//! The program under test as a child process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a gateway has to start, to get its tools, and to end.
const PATIENCE: Duration = Duration::from_mins(1);

/// Seals what gateways keep, and stands for the key of the scripted provider.
const SECRET: &str = "a-secret-that-no-one-else-has-0123456789";
/// Signs checkpoints: 32 bytes in base64.
const SIGNING_KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The variables that a configuration here refers to.
pub fn variable(name: &str) -> Option<String> {
    let known = [("INSTANCE", "force"), ("SECRET", SECRET), ("SIGNING_KEY", SIGNING_KEY)];
    known.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

/// What all gateways of one run have in common: the program, and a folder with their configuration.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    program: PathBuf,
}

impl Setup {
    /// A gateway with this store, these scripted parties, and these settings of the audit.
    pub fn new(program: &Path, store: &str, provider: SocketAddr, tools: SocketAddr, audit: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let toolgate = format!(
            "listen: 127.0.0.1:0\nstore: {store}\nauth: none\ninject: always\nsecret_keys: ['${{SECRET}}']\nproviders:\n  \
             - {{ name: anthropic, type: anthropic, base_url: 'http://{provider}', api_key: '${{SECRET}}' }}\n  \
             - {{ name: openai, type: openai, base_url: 'http://{provider}/v1', api_key: '${{SECRET}}' }}\naudit: {{ signing_key: '${{SIGNING_KEY}}', {audit} }}\n"
        );
        std::fs::write(folder.path().join("toolgate.yaml"), toolgate).unwrap();
        std::fs::create_dir(folder.path().join("mcp-servers")).unwrap();
        let server = format!("name: srv\ntransport: http\nurl: http://{tools}/mcp\n");
        std::fs::write(folder.path().join("mcp-servers/srv.yaml"), server).unwrap();
        Self { folder, program: program.to_owned() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("toolgate.yaml")
    }

    /// Starts the gateway with this name; does not wait for anything.
    pub fn spawn(&self, instance: &str) -> Gateway {
        let log = self.folder.path().join(format!("{instance}.log"));
        let file = File::options().append(true).create(true).open(&log).unwrap();
        let mut child = Command::new(&self.program)
            .args(["--log", "warn,toolgate::audit=info", "serve", "--config"])
            .arg(self.file())
            .envs([("INSTANCE", instance), ("SECRET", SECRET), ("SIGNING_KEY", SIGNING_KEY)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Gateway { child, lines, log }
    }

    /// Runs another command of the program on this configuration: its exit code and what it printed.
    pub async fn run(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(&self.program);
        command.args(arguments).arg("--config").arg(self.file()).stdin(Stdio::null());
        command.envs([("INSTANCE", "auditor"), ("SECRET", SECRET), ("SIGNING_KEY", SIGNING_KEY)]);
        let output = command.output().await.unwrap();
        let code = output.status.code().unwrap_or(-1);
        let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        (code, String::from_utf8_lossy(&said).into_owned())
    }
}

/// A running gateway.
pub struct Gateway {
    child: Child,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    log: PathBuf,
}

impl Gateway {
    /// Waits until it listens and its tools are there; gives its address.
    pub async fn ready(&mut self) -> SocketAddr {
        let ready = async {
            let address = self.listens().await;
            while !tools_are_there(address).await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            address
        };
        match tokio::time::timeout(PATIENCE, ready).await {
            Ok(address) => address,
            Err(late) => panic!("{late}: the gateway did not get ready:\n{}", self.last_words()),
        }
    }

    async fn listens(&mut self) -> SocketAddr {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some((_, address)) = line.split_once("http://") {
                return address.trim().parse().unwrap();
            }
        }
        panic!("the gateway ended before it listened:\n{}", self.last_words());
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Ends it in order; gives the end of its log.
    pub async fn terminate(mut self) -> String {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => assert!(status.unwrap().success(), "it did not end well:\n{}", self.last_words()),
            Err(late) => panic!("{late}: the gateway did not end:\n{}", self.last_words()),
        }
        self.last_words()
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rev().take(30).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// What `audit verify --json` counted, on one line; all that it said where that was something else.
pub fn shortened(verified: &str) -> String {
    let Ok(verified) = serde_json::from_str::<serde_json::Value>(verified) else {
        return verified.trim().to_owned();
    };
    let count = |name: &str| format!("{} {name}", verified[name]);
    ["chains", "links", "rows", "texts", "checkpoints"].map(count).join(", ")
        + &format!("; findings: {}", verified["findings"])
}

async fn tools_are_there(gateway: SocketAddr) -> bool {
    let Ok(answer) = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .get(format!("http://{gateway}/api/v1/servers"))
        .send()
        .await
    else {
        return false;
    };
    answer.text().await.unwrap_or_default().contains(r#""state":"ready""#)
}
