//! `toolgate tools lock`, `approve` and `reject`: decisions, written into the lock.

use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use anyhow::{Context, bail};

use super::survey::Survey;
use super::{ApproveArgs, Consent, LockArgs, RejectArgs, Which, difference, print};
use crate::cli::print_coloured;
use crate::config::user_name;
use crate::domain::on_one_line;
use crate::mcp::lock::{Change, Lock, Review, Reviewed, Signature};

/// Approves what is new, and nothing that was approved otherwise before.
pub(super) async fn lock(args: &LockArgs) -> anyhow::Result<ExitCode> {
    let survey = match Survey::take(&args.config, &Which::default()).await? {
        Ok(survey) => survey,
        Err(code) => return Ok(code),
    };
    if survey.lock.is_none() && !survey.is_whole() && !args.consent.yes {
        bail!(
            "with tools.lock in force, the tools of servers that cannot be asked now would be in quarantine: start \
             them first, or say `--yes`"
        );
    }
    let (new, other): (Vec<_>, Vec<_>) =
        survey.tools().filter(|(_, tool)| tool.is_open()).partition(|(_, tool)| tool.change == Change::New);
    let is_done = take_over(&survey, &new, &args.consent)?;
    for (review, tool) in &other {
        print(&format!(
            "{}/{} has changed: see `toolgate tools diff`\n",
            review.server,
            on_one_line(&tool.tool)
        ))?;
    }
    Ok(if is_done && other.is_empty() && survey.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Approves what is new or changed, and forgets what is gone.
pub(super) async fn approve(args: &ApproveArgs) -> anyhow::Result<ExitCode> {
    let survey = match Survey::take(&args.config, &args.which).await? {
        Ok(survey) => survey,
        Err(code) => return Ok(code),
    };
    // A tool that is named is approved also where it was rejected.
    let is_meant =
        |tool: &Reviewed| tool.is_open() || args.which.tool.is_some() && tool.change == Change::Rejected;
    let open: Vec<_> = survey.tools().filter(|(_, tool)| is_meant(tool)).collect();
    let is_done = take_over(&survey, &open, &args.consent)?;
    Ok(if is_done && survey.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Notes that a tool may not be used like this.
pub(super) async fn reject(args: &RejectArgs) -> anyhow::Result<ExitCode> {
    let which = Which { server: Some(args.server.clone()), tool: Some(args.tool.clone()) };
    let survey = match Survey::take(&args.config, &which).await? {
        Ok(survey) => survey,
        Err(code) => return Ok(code),
    };
    let Some((review, tool)) = survey.tools().next() else { return Ok(ExitCode::FAILURE) };
    Lock::change(&survey.path, |lock| review.reject(tool, lock, Signature::now(user_name())))?;
    print(&format!("{}/{} is rejected as it is listed now\n", review.server, on_one_line(&tool.tool)))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows these tools, asks, and writes them into the lock. `false` where something stays open.
fn take_over(survey: &Survey, tools: &[(&Review, &Reviewed)], consent: &Consent) -> anyhow::Result<bool> {
    for (review, tool) in tools {
        print_coloured(&format!("{}\n", difference::one(review, tool)))?;
    }
    let is_accepted = |tool: &Reviewed| consent.accept_findings || !has_serious_findings(tool);
    let (taken, refused): (Vec<_>, Vec<_>) = tools.iter().partition(|(_, tool)| is_accepted(tool));
    let is_new = survey.lock.is_none();
    let is_agreed = match taken.len() {
        0 => true,
        count => consent.yes || ask(&format!("Approve {count} of these definitions?"))?,
    };
    if is_agreed && (is_new || !taken.is_empty()) {
        let by = Signature::now(user_name());
        Lock::change(&survey.path, |lock| {
            for (review, tool) in &taken {
                review.approve(tool, lock, by.clone());
            }
        })?;
        print(&format!("{} written into {}\n", taken.len(), survey.path.display()))?;
    } else if taken.is_empty() && refused.is_empty() {
        print("nothing to approve\n")?;
    }
    if !refused.is_empty() {
        let names: Vec<String> = refused
            .iter()
            .map(|(review, tool)| format!("{}/{}", review.server, on_one_line(&tool.tool)))
            .collect();
        print(&format!(
            "not approved because of serious findings (!!): {}\n`--accept-findings` approves them all the same\n",
            names.join(", ")
        ))?;
    }
    Ok(is_agreed && refused.is_empty())
}

fn has_serious_findings(tool: &Reviewed) -> bool {
    tool.findings.iter().any(|finding| finding.suspicion.is_serious())
}

/// Asks a person; a program has to say `--yes`.
fn ask(question: &str) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked here: say `--yes` to approve");
    }
    print(&format!("{question} [y/N] "))?;
    io::Write::flush(&mut io::stdout())?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
