//! `toolgate tools list` and `toolgate tools show NAME`, asked of a running gateway.

use std::process::ExitCode;

use reqwest::Method;
use serde_json::Value;

use crate::cli::remote::{Remote, RemoteArgs};
use crate::cli::{print, print_json, table};
use crate::domain::{on_one_line, visible};

/// How much of a description is shown in the list, in characters.
const DESCRIPTION: usize = 80;

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// Only the tools of this server
    server: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// The tool, by its name as models see it or as `server/tool`
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    remote: RemoteArgs,
}

pub(super) async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let answer = Remote::new(&args.remote)?.ask(Method::GET, &["tools"]).await?;
    let mut tools = answer["tools"].as_array().cloned().unwrap_or_default();
    tools.retain(|tool| args.server.as_ref().is_none_or(|server| tool["server"] == **server));
    if args.json {
        print_json(&tools)?;
    } else if tools.is_empty() {
        print("no tool that you may see\n")?;
    } else {
        print(&page(&tools))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(tools: &[Value]) -> String {
    let mut table =
        table(&["tool as models see it", "server/tool", "state", "what it does, or why it is not used"]);
    for tool in tools {
        let text = |field: &str| tool[field].as_str().map(on_one_line);
        let about = tool["reason"].as_str().or(tool["description"].as_str()).unwrap_or_default();
        let first_line = on_one_line(about.lines().next().unwrap_or_default());
        let first_line: String = first_line.chars().take(DESCRIPTION).collect();
        table.add_row([
            text("name").unwrap_or_else(|| "-".into()),
            source(tool),
            text("state").unwrap_or_default(),
            first_line,
        ]);
    }
    format!("{table}\n")
}

fn source(tool: &Value) -> String {
    let text = |field: &str| on_one_line(tool[field].as_str().unwrap_or_default());
    format!("{}/{}", text("server"), text("tool"))
}

pub(super) async fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let tool = Remote::new(&args.remote)?.ask(Method::GET, &["tools", &args.name]).await?;
    if args.json {
        print_json(&tool)?;
    } else {
        print(&whole(&tool))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn whole(tool: &Value) -> String {
    let text = |field: &str| tool[field].as_str().map(on_one_line);
    let mut out = format!("{}  {}", source(tool), text("state").unwrap_or_default());
    if let Some(reason) = text("reason") {
        out.push_str(&format!(": {reason}"));
    }
    out.push('\n');
    if let Some(name) = text("name") {
        out.push_str(&format!("as models see it: {name}\n"));
    }
    if tool["read_only"] == true {
        out.push_str("changes nothing, as the configuration says\n");
    }
    if let Some(description) = tool["description"].as_str().filter(|text| !text.is_empty()) {
        out.push_str(&format!("\n{}\n", visible(description)));
    }
    if !tool["input_schema"].is_null() {
        out.push_str(&format!("\narguments:\n{}\n", visible(&format!("{:#}", tool["input_schema"]))));
    } else if !tool["listed"].is_null() {
        out.push_str(&format!("\nas its server lists it:\n{}\n", visible(&format!("{:#}", tool["listed"]))));
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tools_are_listed_with_what_they_do_or_why_they_are_not_used() {
        let used = json!({"server": "s", "tool": "a", "name": "s__a", "state": "approved", "description": "Adds.\nMuch."});
        let waits = json!({"server": "s", "tool": "b\u{202e}", "state": "quarantined", "reason": "new"});
        let page = page(&[used.clone(), waits.clone()]);
        let rows: Vec<Vec<&str>> =
            page.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(
            rows,
            [vec!["s__a", "s/a", "approved", "Adds."], vec!["-", "s/b\\u{202e}", "quarantined", "new"]]
        );
        let mut shown = used;
        shown["input_schema"] = json!({"type": "object"});
        assert!(whole(&shown).contains("Adds.\nMuch.\n\narguments:\n{\n  \"type\": \"object\"\n}"));
        assert!(whole(&waits).starts_with("s/b\\u{202e}  quarantined: new\n"));
    }
}
