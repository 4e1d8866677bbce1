//! `toolgate explain`: which tools a caller's requests get, and what leaves out the others.

use std::collections::{BTreeMap, HashSet};
use std::process::ExitCode;

use anyhow::{Context, bail};
use comfy_table::CellAlignment;
use serde::Serialize;
use tokio_util::task::TaskTracker;

use super::serve::start_failed;
use super::{ConfigArgs, access, indented, load, print, print_json, table};
use crate::app::lock_in_force;
use crate::config::{Config, InjectLimits};
use crate::domain::{Caller, Inject, ToolDefinition, on_one_line};
use crate::gateway::Operation;
use crate::gateway::listing::{self, Room};
use crate::mcp::Fleet;
use crate::policy::{Denial, Policy, Ruling};
use crate::{http, identity};

/// About how many bytes of a definition are one token.
const BYTES_PER_TOKEN: usize = 4;

/// Show which tools a caller's requests get, and what leaves out the others.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// The name of the caller's key; may be left out where there is one caller
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The provider; may be left out where there is one
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The API: `messages`, `chat` or `responses`; by default the first that the provider speaks
    #[arg(long, value_name = "API")]
    api: Option<String>,
    /// A tool that the client brings itself; may be given several times
    #[arg(long = "client-tool", value_name = "NAME")]
    client_tools: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What a new conversation of a caller's gets, and why.
#[derive(Debug, Serialize)]
struct Explanation {
    key: String,
    provider: String,
    api: &'static str,
    inject: Inject,
    max_tools: usize,
    max_bytes: usize,
    /// How many tools the provider takes in one request; `None` where it sets no number.
    provider_takes: Option<usize>,
    injected: Vec<Injected>,
    bytes: usize,
    tokens: usize,
    searched: Vec<Reason>,
    left_out: Vec<Reason>,
    /// Servers that cannot be reached, whose tools may be missing here.
    unreachable: BTreeMap<String, String>,
}

/// A tool as it is listed to the model.
#[derive(Debug, Serialize)]
struct Injected {
    name: String,
    tool: String,
    bytes: usize,
    tokens: usize,
}

/// A tool that is not listed.
#[derive(Debug, Serialize)]
struct Reason {
    tool: String,
    reason: String,
}

/// Loads everything, connects to every server, and prints what the caller's next conversation would list.
pub async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = match load(args.config.config.as_deref()) {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let policy = match Policy::load(&config.policies) {
        Ok(policy) => policy,
        Err(error) => return Ok(start_failed(&error.into())),
    };
    let lock = match lock_in_force(&config) {
        Ok(lock) => lock,
        Err(error) => return Ok(start_failed(&error.into())),
    };
    let subject = Subject::new(args, &config)?;
    let access = access(&config).await?;
    let fleet = Fleet::start(&config.servers, &config.tool_name, lock, access, &TaskTracker::new());
    fleet.settled().await;
    let explanation = subject.explain(&policy, &fleet);
    fleet.shutdown(std::time::Duration::from_secs(5)).await;
    if args.json {
        print_json(&explanation)?;
    } else {
        print(&explanation.page())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose request is explained, and what it brings.
struct Subject {
    caller: Caller,
    provider: String,
    operation: &'static Operation,
    mode: Inject,
    limits: InjectLimits,
    client_tools: HashSet<String>,
}

impl Subject {
    fn new(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let callers = identity::callers(&config.auth);
        let keys: Vec<&str> = callers.iter().map(|caller| caller.key.as_str()).collect();
        let key = chosen("key", "--key", args.key.as_deref(), &keys)?;
        let caller = callers.iter().find(|caller| caller.key == key).context("the key is not configured")?;
        let names: Vec<&str> = config.providers.iter().map(|provider| provider.name.as_str()).collect();
        let name = chosen("provider", "--provider", args.provider.as_deref(), &names)?;
        let provider = config.providers.iter().find(|provider| provider.name == name);
        let provider = provider.context("the provider is not configured")?;
        let operations = http::generating(provider.kind);
        let apis: Vec<&str> = operations.iter().map(|operation| operation.dialect.name()).collect();
        let api =
            chosen("API of this provider", "--api", args.api.as_deref().or(apis.first().copied()), &apis)?;
        let operation = operations.iter().find(|operation| operation.dialect.name() == api);
        let settings = caller.settings.or(provider.settings).or(config.settings);
        Ok(Self {
            caller: caller.clone(),
            provider: name.to_owned(),
            operation: operation.context("the provider does not speak this API")?,
            mode: settings.inject.unwrap_or_default(),
            limits: config.inject_limits,
            client_tools: args.client_tools.iter().cloned().collect(),
        })
    }

    fn explain(&self, policy: &Policy, fleet: &Fleet) -> Explanation {
        let catalogue = fleet.catalogue();
        let (mut left_out, mut shown) = (not_approved(fleet), Vec::new());
        for tool in catalogue.tools() {
            let source = &tool.definition.source;
            match policy.may_see(&self.caller, source) {
                _ if self.mode == Inject::Never => left_out.push(reason(source, "`inject: never`")),
                Err(denial) => left_out.push(reason(source, &hidden_by(&denial))),
                Ok(()) => shown.push(tool),
            }
        }
        let size = |tool: &ToolDefinition| self.operation.dialect.definition(tool).len();
        let provider_takes = self.operation.max_tools.saturating_sub(self.client_tools.len());
        let room = Room { limits: self.limits, provider_takes };
        let choice = listing::choose(shown, room, size);
        let fitting = listing::fit(&choice.listed, &self.client_tools, provider_takes);
        for (name, why) in fitting.left_out {
            let source = catalogue.get(&name).map_or(name, |tool| tool.definition.source.to_string());
            left_out.push(reason(&source, why.in_words()));
        }
        let searched = choice.searched.iter().map(|(tool, why)| reason(&tool.source, why.in_words()));
        let injected: Vec<Injected> =
            fitting.tools.iter().map(|tool| Injected::new(tool, size(tool))).collect();
        let bytes = injected.iter().map(|tool| tool.bytes).sum();
        let down = fleet.statuses().into_iter().filter(|status| !status.is_up());
        let why = |failure: Option<String>| failure.unwrap_or_else(|| "it has not answered yet".into());
        Explanation {
            key: self.caller.key.clone(),
            provider: self.provider.clone(),
            api: self.operation.dialect.name(),
            inject: self.mode,
            max_tools: self.limits.max_tools,
            max_bytes: self.limits.max_bytes,
            provider_takes: Some(self.operation.max_tools).filter(|max| *max < usize::MAX),
            injected,
            bytes,
            tokens: bytes.div_ceil(BYTES_PER_TOKEN),
            searched: searched.collect(),
            left_out,
            unreachable: down
                .map(|status| (status.name, why(status.last_failure.map(|failure| failure.to_string()))))
                .collect(),
        }
    }
}

/// What is asked for, or the only one there is.
fn chosen<'a>(
    what: &str,
    option: &str,
    wanted: Option<&'a str>,
    known: &[&'a str],
) -> anyhow::Result<&'a str> {
    match (wanted, known) {
        (Some(wanted), _) if known.contains(&wanted) => Ok(wanted),
        (Some(wanted), _) => bail!("there is no {what} named {wanted:?}: there is {}", known.join(", ")),
        (None, [only]) => Ok(only),
        (None, _) => bail!("say which {what} with {option}: there is {}", known.join(", ")),
    }
}

/// The tools that servers list and that are not in the catalogue.
fn not_approved(fleet: &Fleet) -> Vec<Reason> {
    let mut reasons = Vec::new();
    for status in fleet.statuses() {
        let of_server = |tool: &str| format!("{}/{}", status.name, tool);
        for tool in &status.left_out {
            reasons.push(reason(&of_server(&tool.tool), &tool.reason));
        }
        for tool in status.quarantined.iter().filter(|tool| !tool.is_kept) {
            reasons.push(reason(&of_server(&tool.tool), &format!("quarantined: {}", tool.reason)));
        }
    }
    reasons
}

fn hidden_by(denial: &Denial) -> String {
    match &denial.by {
        Some(Ruling { rule, .. }) => format!("the policy rule `{rule}` hides it"),
        None => "no policy rule allows it to be seen".to_owned(),
    }
}

fn reason(tool: &impl ToString, reason: &str) -> Reason {
    Reason { tool: tool.to_string(), reason: reason.to_owned() }
}

impl Injected {
    fn new(tool: &ToolDefinition, bytes: usize) -> Self {
        let tokens = bytes.div_ceil(BYTES_PER_TOKEN);
        Self { name: tool.name.clone(), tool: tool.source.to_string(), bytes, tokens }
    }
}

impl Explanation {
    fn page(&self) -> String {
        let when = match self.inject {
            Inject::Auto => "requests that bring function tools of their own get",
            Inject::Always => "every request gets",
            Inject::Never => "no request gets any:",
        };
        let (key, provider, api) = (&self.key, &self.provider, self.api);
        let count = self.injected.len();
        let mut page = format!(
            "{key} at {provider} ({api}): {when} {count} tools, {} bytes, about {} tokens\n\n",
            self.bytes, self.tokens
        );
        let mut table = table(&["", "tool as the model sees it", "server/tool", "bytes", "~tokens"]);
        for (place, tool) in (1..).zip(&self.injected) {
            let numbers = [tool.bytes.to_string(), tool.tokens.to_string()];
            let source = on_one_line(&tool.tool);
            table.add_row([&place.to_string(), &tool.name, &source, &numbers[0], &numbers[1]]);
        }
        for numbers in [0, 3, 4] {
            if let Some(column) = table.column_mut(numbers) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        page.push_str(&format!("{table}\n"));
        page.push_str(&listed("found by search", &self.searched));
        page.push_str(&listed("left out", &self.left_out));
        for (server, failure) in &self.unreachable {
            let failure = indented(failure, 2);
            page.push_str(&format!(
                "\n{server} cannot be reached, so its tools may be missing here: {failure}\n"
            ));
        }
        page
    }
}

fn listed(title: &str, reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let mut table = table(&["server/tool", "why"]);
    for Reason { tool, reason } in reasons {
        table.add_row([on_one_line(tool), on_one_line(reason)]);
    }
    format!("\n{title}: {}\n\n{table}\n", reasons.len())
}
