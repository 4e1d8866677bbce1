//! `toolgate policy`: works with the rules.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use crate::config::{self, PolicySource};
use crate::policy::Policy;

/// Work with the policies.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the policy files and run the tests in them
    Test(TestArgs),
}

#[derive(Debug, Args)]
struct TestArgs {
    /// The configuration whose policies are tested; ./toolgate.yaml by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Policy files to test together, instead of the configuration's
    #[arg(value_name = "POLICY", conflicts_with = "config")]
    files: Vec<PathBuf>,
}

/// Runs the command; a failing test is a [`crate::policy::PolicyError`], which names file, line and rule.
pub fn run(args: PolicyArgs) -> anyhow::Result<ExitCode> {
    let Command::Test(test) = args.command;
    report(&Policy::load(&sources(&test)?)?, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn sources(args: &TestArgs) -> anyhow::Result<Vec<PolicySource>> {
    if args.files.is_empty() {
        return Ok(config::policy_sources(&config::locate(args.config.as_deref())?)?);
    }
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(PolicySource { path: path.clone(), text })
    };
    args.files.iter().map(read).collect()
}

fn report(policy: &Policy, out: &mut impl Write) -> io::Result<()> {
    for test in policy.tests() {
        writeln!(out, "ok  {}:{}  {}: {}", test.path.display(), test.line, test.question, test.why)?;
    }
    writeln!(out, "{} rules, {} tests passed", policy.rule_count(), policy.tests().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_says_what_was_asked_and_which_rule_answered() {
        let mut out = vec![];
        report(&Policy::load(&[]).unwrap(), &mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
        ok  policies/default.yaml (shipped):23  anyone@example.com call_tool files/read_file: rule `default-allow` allows it
        ok  policies/default.yaml (shipped):26  anonymous see_tool github/create_issue: rule `default-allow` allows it
        ok  policies/default.yaml (shipped):30  anyone@example.com administer github/*: no rule allows it
        ok  policies/default.yaml (shipped):34  root@example.com administer github/*: rule `administrators-administer` allows it
        ok  policies/default.yaml (shipped):38  anonymous administer github/*: rule `this-machine-administers` allows it
        ok  policies/default.yaml (shipped):42  anonymous administer github/*: no rule allows it
        ok  policies/default.yaml (shipped):46  anyone@example.com read_audit */*: no rule allows it
        ok  policies/default.yaml (shipped):50  root@example.com read_audit */*: rule `administrators-administer` allows it
        ok  policies/default.yaml (shipped):54  anonymous read_audit */*: rule `this-machine-administers` allows it
        3 rules, 9 tests passed
        "#);
    }

    #[test]
    fn files_can_be_tested_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        let test = "tests: [{caller: {user: a}, tool: s/t, expect: allow}]";
        fs::write(&file, test).unwrap();
        let args = TestArgs { config: None, files: vec![file] };
        let error = Policy::load(&sources(&args).unwrap()).unwrap_err();
        assert!(error.to_string().contains("p.yaml:1:"), "{error}");
        assert!(error.to_string().contains("no rule allows it"), "{error}");
    }
}
