use std::io::{self, Write};
use std::process::ExitCode;

use tokio_util::task::TaskTracker;

use super::serve::start_failed;
use super::{ConfigArgs, access, load, table};
use crate::app::lock_in_force;
use crate::config::{Config, ProviderKind};
use crate::identity;
use crate::mcp::lock::visible;
use crate::mcp::{Fleet, ServerState};
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
    let out = &mut io::stdout().lock();
    print_providers(&config, out)?;
    let all_ready = print_servers(&fleet, out)?;
    print_tools(&config, &policy, &fleet, out)?;
    fleet.shutdown(std::time::Duration::from_secs(5)).await;
    Ok(if all_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print_providers(config: &Config, out: &mut impl Write) -> io::Result<()> {
    let mut table = table(&["provider", "speaks", "base URL", "key"]);
    for provider in &config.providers {
        let speaks = match provider.kind {
            ProviderKind::Anthropic => "messages",
            ProviderKind::OpenAi => "chat, responses",
        };
        let key = if provider.api_key.is_some() { "set" } else { "none" };
        table.add_row([provider.name.as_str(), speaks, &provider.base_url, key]);
    }
    writeln!(out, "{table}\n")
}

fn print_servers(fleet: &Fleet, out: &mut impl Write) -> io::Result<bool> {
    let mut table = table(&["server", "state", "protocol", "tools", "where"]);
    let mut notes = Vec::new();
    let statuses = fleet.statuses();
    for status in &statuses {
        let waiting = status.quarantined.iter().filter(|tool| !tool.is_kept).count();
        let protocol = status.protocol.clone().unwrap_or_else(|| "-".to_owned());
        let tools = format!(
            "{} of {}",
            status.approved.len(),
            status.approved.len() + status.left_out.len() + waiting
        );
        table.add_row([status.name.as_str(), status.state.word(), &protocol, &tools, &status.url]);
        if let Some(failure) = status.last_failure.as_ref().filter(|_| status.state != ServerState::Ready) {
            notes.push(format!("{}: {failure}", status.name));
        }
        notes.extend(
            status
                .left_out
                .iter()
                .map(|tool| format!("{}/{}: left out: {}", status.name, tool.tool, tool.reason)),
        );
        notes.extend(status.quarantined.iter().map(|tool| {
            let kept = if tool.is_kept { "; its approved definition stays in use" } else { "" };
            format!("{}/{}: quarantined: {}{kept}", status.name, visible(&tool.tool), tool.reason)
        }));
        notes.extend(status.warnings.iter().map(|warning| format!("{}: {warning}", status.name)));
    }
    writeln!(out, "{table}")?;
    for note in notes {
        writeln!(out, "  {note}")?;
    }
    writeln!(out)?;
    Ok(statuses.iter().all(|status| status.state == ServerState::Ready))
}

/// Prints the tools as the model sees them, and which callers see them.
fn print_tools(config: &Config, policy: &Policy, fleet: &Fleet, out: &mut impl Write) -> io::Result<()> {
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
        table.add_row([tool.definition.name.clone(), source.to_string(), seen_by]);
    }
    writeln!(out, "{table}")
}
