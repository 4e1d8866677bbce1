use std::process::ExitCode;

use tokio_util::task::TaskTracker;

use super::serve::start_failed;
use super::{ConfigArgs, access, indented, load, print, table};
use crate::app::lock_in_force;
use crate::config::{Config, ProviderKind};
use crate::domain::on_one_line;
use crate::identity;
use crate::mcp::{Fleet, ServerState, ServerStatus};
use crate::policy::Policy;
use crate::provider::Providers;

/// Loads everything, connects to every server, and prints what a caller would get.
///
/// Exits with 1 when a server cannot be reached: the gateway would run, but without its tools.
pub async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let config = match load(args.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let policy = match Policy::load(&config.policies) {
        Ok(policy) => policy,
        Err(error) => return Ok(start_failed(&error.into())),
    };
    if let Err(error) = Providers::new(&config.providers) {
        return Ok(start_failed(&error.into()));
    }
    let tracker = TaskTracker::new();
    let lock = match lock_in_force(&config) {
        Ok(lock) => lock,
        Err(error) => return Ok(start_failed(&error.into())),
    };
    let fleet = Fleet::start(&config.servers, &config.tool_name, lock, access(&config).await?, &tracker);
    fleet.settled().await;
    let statuses = fleet.statuses();
    let page = [providers(&config), servers(&statuses), tools(&config, &policy, &fleet)].join("\n");
    fleet.shutdown(std::time::Duration::from_secs(5)).await;
    print(&page)?;
    let all_ready = statuses.iter().all(|status| status.state == ServerState::Ready);
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn providers(config: &Config) -> String {
    let mut table = table(&["provider", "speaks", "base URL", "key"]);
    for provider in &config.providers {
        let speaks = match provider.kind {
            ProviderKind::Anthropic => "messages",
            ProviderKind::OpenAi => "chat, responses",
        };
        let key = if provider.api_key.is_some() { "set" } else { "none" };
        table.add_row([provider.name.as_str(), speaks, &provider.base_url, key]);
    }
    format!("{table}\n")
}

fn servers(statuses: &[ServerStatus]) -> String {
    let mut table = table(&["server", "state", "protocol", "tools", "where"]);
    let mut notes = Vec::new();
    for status in statuses {
        let waiting = status.quarantined.iter().filter(|tool| !tool.is_kept).count();
        let protocol = on_one_line(status.protocol.as_deref().unwrap_or("-"));
        let tools = format!(
            "{} of {}",
            status.approved.len(),
            status.approved.len() + status.left_out.len() + waiting
        );
        table.add_row([status.name.as_str(), status.state.word(), &protocol, &tools, &status.url]);
        if let Some(failure) = status.last_failure.as_ref().filter(|_| status.state != ServerState::Ready) {
            notes.push(format!("{}: {failure}", status.name));
        }
        let source = |tool: &str| format!("{}/{}", status.name, on_one_line(tool));
        notes.extend(
            status.left_out.iter().map(|tool| format!("{}: left out: {}", source(&tool.tool), tool.reason)),
        );
        notes.extend(status.quarantined.iter().map(|tool| {
            let kept = if tool.is_kept { "; its approved definition stays in use" } else { "" };
            format!("{}: quarantined: {}{kept}", source(&tool.tool), tool.reason)
        }));
        notes.extend(
            status.warnings.iter().map(|warning| format!("{}: {}", status.name, on_one_line(warning))),
        );
    }
    let mut page = format!("{table}\n");
    for note in notes {
        page.push_str(&format!("  {}\n", indented(&note, 4)));
    }
    page
}

/// The tools as the model sees them, and which callers see them.
fn tools(config: &Config, policy: &Policy, fleet: &Fleet) -> String {
    let callers = identity::callers(&config.auth);
    let mut table = table(&["tool as the model sees it", "server/tool", "seen by"]);
    for tool in fleet.catalogue().tools() {
        let source = &tool.definition.source;
        let seers: Vec<&str> = callers
            .iter()
            .filter(|caller| policy.may_see(caller, source).is_ok())
            .map(|caller| caller.key.as_str())
            .collect();
        let seen_by = match seers.len() {
            0 => "nobody".to_owned(),
            all if all == callers.len() => "every caller".to_owned(),
            _ => seers.join(", "),
        };
        table.add_row([tool.definition.name.clone(), on_one_line(&source.to_string()), seen_by]);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::mcp::{LeftOut, ServerFailure, Stage};

    #[test]
    fn names_and_messages_of_servers_cannot_pass_for_other_lines() {
        let (at, message) = (Timestamp::UNIX_EPOCH, "it ended\nother: all is well\u{1b}[2J".into());
        let status = ServerStatus {
            name: "srv".into(),
            url: "stdio:srv".into(),
            required: false,
            state: ServerState::BackingOff,
            since: at,
            era: None,
            protocol: None,
            approved: vec![],
            left_out: vec![LeftOut { tool: "x\n  other/tool: fine".into(), reason: "odd".into() }],
            quarantined: vec![],
            warnings: vec!["a\nb".into()],
            last_failure: Some(ServerFailure { stage: Stage::Connect, message, at }),
            next_attempt: None,
            stderr: vec![],
        };
        let page = servers(&[status]);
        let lines: Vec<&str> = page.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "  srv: connecting: it ended",
                "    other: all is well\\u{1b}[2J",
                "  srv/x\\n  other/tool: fine: left out: odd",
                "  srv: a\\nb",
            ]
        );
    }
}
