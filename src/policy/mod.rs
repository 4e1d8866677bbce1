//! What a caller may do. Rules are allow or deny, deny first; where nothing matches, the answer is deny.

mod in_force;
mod load;
mod permit;
mod rules;
mod written;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use in_force::InForce;
pub use permit::{Permit, Ruling};

use self::rules::Rules;
use self::written::{Action, WrittenPolicy};
use crate::config::{PolicySource, schema_of};
use crate::domain::{Caller, Digest, ToolDefinition, ToolRef};

/// The rules that apply where the administrator has written none.
const SHIPPED: &str = include_str!("../../policies/default.yaml");

/// All rules in force.
#[derive(Debug)]
pub struct Policy {
    rules: Rules,
    tests: Vec<TestOutcome>,
    version: String,
}

/// Why policy said no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The rule that denied, or `None` where no rule allowed.
    pub by: Option<Ruling>,
}

/// A test of the policy files that came out as expected.
#[derive(Debug, Clone)]
pub struct TestOutcome {
    /// The file with the test.
    pub path: PathBuf,
    /// Its line there, from 1.
    pub line: usize,
    /// Who wants to do what with which tool.
    pub question: String,
    /// Which rule decided, in words.
    pub why: String,
}

/// What is wrong with a policy file, rendered for a person with file, line, caret and hint.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyError(pub String);

impl Policy {
    /// Reads the files (the shipped default where there are none) and runs their tests.
    pub fn load(sources: &[PolicySource]) -> Result<Self, PolicyError> {
        let shipped = [PolicySource { path: "policies/default.yaml (shipped)".into(), text: SHIPPED.into() }];
        let sources = if sources.is_empty() { &shipped } else { sources };
        let texts: Vec<&[u8]> = sources.iter().map(|source| source.text.as_bytes()).collect();
        let version = Digest::of_parts(&texts).to_string();
        load::load(sources).map(|(rules, tests)| Self { rules, tests, version })
    }

    /// May this caller be shown this tool?
    pub fn may_see(&self, caller: &Caller, tool: &ToolRef) -> Result<(), Denial> {
        self.decide(caller, Action::SeeTool, tool).map(drop)
    }

    /// May this caller be shown some tool of this server, as far as can be said before its tools are known?
    pub fn may_know(&self, caller: &Caller, server: &str) -> bool {
        self.rules.leave_open(caller, Action::SeeTool, server)
    }

    /// May this caller call this tool once?
    pub fn permit(&self, caller: &Arc<Caller>, tool: &Arc<ToolDefinition>) -> Result<Permit, Denial> {
        let rule = self.decide(caller, Action::CallTool, &tool.source)?;
        Ok(Permit::new(caller.clone(), tool.clone(), self.ruling(rule)))
    }

    /// May this caller administer this server?
    pub fn may_administer(&self, caller: &Caller, server: &str) -> Result<(), Denial> {
        let all_of_it = ToolRef { server: server.to_owned(), tool: "*".to_owned() };
        self.decide(caller, Action::Administer, &all_of_it).map(drop)
    }

    /// May this caller read the records? Only a rule about everything allows that.
    pub fn may_read_audit(&self, caller: &Caller) -> Result<(), Denial> {
        let everything = ToolRef { server: "*".to_owned(), tool: "*".to_owned() };
        self.decide(caller, Action::ReadAudit, &everything).map(drop)
    }

    fn decide(&self, caller: &Caller, action: Action, tool: &ToolRef) -> Result<&str, Denial> {
        let denied = |rule: Option<&str>| Denial { by: rule.map(|rule| self.ruling(rule)) };
        self.rules.decide(caller, action, tool).map_err(denied)
    }

    fn ruling(&self, rule: &str) -> Ruling {
        Ruling { rule: rule.to_owned(), policy: self.version.clone() }
    }

    /// The tests that ran when the files were loaded, all of them passed.
    pub fn tests(&self) -> &[TestOutcome] {
        &self.tests
    }

    /// Which policy it is: a digest of what its files say.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many rules are in force.
    pub fn rule_count(&self) -> usize {
        self.rules.len()
    }
}

/// The file name and JSON Schema of `policies/*.yaml`.
pub fn schema() -> (&'static str, schemars::Schema) {
    ("policy.schema.json", schema_of::<WrittenPolicy>())
}
