//! `toolgate servers status` and `toolgate servers restart NAME`, asked of a running gateway.

use std::process::ExitCode;

use anyhow::bail;
use reqwest::Method;
use serde_json::Value;

use super::remote::{Remote, RemoteArgs};
use super::{indented, print, print_json, table};
use crate::domain::on_one_line;

/// How many of its last lines are shown of a server that is down.
const LINES: usize = 5;

/// The MCP servers of a running gateway.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show how they are doing
    Status(StatusArgs),
    /// Close the connection to one, and make another at once
    Restart(RestartArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    /// Only this server
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, clap::Args)]
struct RestartArgs {
    /// The server
    name: String,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Runs the command.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Status(args) => status(args).await?,
        Command::Restart(args) => {
            Remote::new(&args.remote)?.ask(Method::POST, &["servers", &args.name, "restart"]).await?;
            print(&format!("{} starts anew\n", args.name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(args: &StatusArgs) -> anyhow::Result<()> {
    let answer = Remote::new(&args.remote)?.ask(Method::GET, &["servers"]).await?;
    let mut servers = answer["servers"].as_array().cloned().unwrap_or_default();
    if let Some(name) = &args.name {
        servers.retain(|server| server["name"] == **name);
        if servers.is_empty() {
            bail!("there is no server {name} that you may administer");
        }
    }
    if args.json {
        return print_json(&servers);
    }
    if servers.is_empty() {
        return print("no server that you may administer\n");
    }
    print(&page(&servers))
}

fn page(servers: &[Value]) -> String {
    let mut table = table(&["server", "state", "since", "protocol", "tools", "where"]);
    let mut notes = Vec::new();
    for server in servers {
        let text = |field: &str| on_one_line(server[field].as_str().unwrap_or("-"));
        let count = |field: &str| server[field].as_array().map_or(0, Vec::len);
        let waiting = match count("quarantined") {
            0 => String::new(),
            waiting => format!(", {waiting} in quarantine"),
        };
        let tools = format!("{}{waiting}", count("approved"));
        table.add_row([text("name"), text("state"), text("since"), text("protocol"), tools, text("url")]);
        notes.extend(troubles(server));
    }
    let mut page = format!("{table}\n");
    for note in notes {
        page.push_str(&format!("  {}\n", indented(&note, 4)));
    }
    page
}

/// Why a server is not as it should be.
fn troubles(server: &Value) -> Vec<String> {
    let name = on_one_line(server["name"].as_str().unwrap_or_default());
    let mut notes = Vec::new();
    if server["state"] != "ready" {
        let failure = &server["last_failure"];
        if let (Some(stage), Some(message)) = (failure["stage"].as_str(), failure["message"].as_str()) {
            notes.push(format!("{name}: {stage}: {message}"));
        }
        if let Some(next) = server["next_attempt"].as_str() {
            notes.push(format!("{name}: the next attempt is at {next}"));
        }
        let lines = server["stderr"].as_array().map_or(&[][..], Vec::as_slice);
        let last = lines.iter().skip(lines.len().saturating_sub(LINES)).filter_map(Value::as_str);
        notes.extend(last.map(|line| format!("{name} wrote: {}", on_one_line(line))));
    }
    let tools = |field: &str| server[field].as_array().cloned().unwrap_or_default();
    for tool in tools("quarantined") {
        let text = |field: &str| on_one_line(tool[field].as_str().unwrap_or_default());
        notes.push(format!("{name}/{}: quarantined: {}", text("tool"), text("reason")));
    }
    for warning in tools("warnings") {
        notes.push(format!("{name}: {}", on_one_line(warning.as_str().unwrap_or_default())));
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_in_trouble_is_told_of_with_the_reason() {
        let page = page(&[
            json!({"name": "files", "state": "ready", "since": "2026-11-21T17:00:00Z", "protocol": "2025-11-25",
                   "approved": ["a", "b"], "quarantined": [{"tool": "c", "reason": "changed"}], "url": "stdio:npx",
                   "last_failure": {"stage": "run", "message": "long ago"}}),
            json!({"name": "git", "state": "backing-off", "since": "2026-11-21T17:00:00Z", "approved": [],
                   "url": "stdio:git", "last_failure": {"stage": "connect", "message": "it ended: \u{1b}[31mexit 3\nfiles: fine"},
                   "next_attempt": "2026-11-21T17:01:00Z", "stderr": ["one", "two"], "warnings": ["odd\n  files: odd"]}),
        ]);
        for words in [
            "2, 1 in quarantine",
            "files/c: quarantined: changed",
            "git: connect: it ended: \\u{1b}[31mexit 3",
            "git: the next attempt is at 2026-11-21T17:01:00Z",
            "git wrote: two",
            "exit 3\n    files: fine\n",
            "git: odd\\n  files: odd\n",
        ] {
            assert!(page.contains(words), "no {words:?} in\n{page}");
        }
        assert!(!page.contains("long ago"), "{page}");
    }
}
