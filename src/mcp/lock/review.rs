//! What an administrator is shown before he decides: every tool that a server lists now, against the lock.

use std::collections::BTreeSet;

use serde_json::Value;

use super::diff::{self, compare};
use super::scan::{Finding, Neighbours, ToolNames, scan};
use super::{Approval, Definition, Difference, Lock, Rejection, Signature, Standing, digest, identity};
use crate::config::Server;
use crate::domain::Digest;
use crate::mcp::LeftOut;
use crate::mcp::approve::approve;

/// One server's tools against the lock.
#[derive(Debug, Clone)]
pub struct Review {
    /// The administrator's name of the server.
    pub server: String,
    /// All tools that could be used if they were approved, and those that are gone, by name.
    pub tools: Vec<Reviewed>,
    /// Tools that could not be used anyway: they need no decision.
    pub left_out: Vec<LeftOut>,
    identity: String,
}

/// One tool against the lock.
#[derive(Debug, Clone)]
pub struct Reviewed {
    /// Its name as its server lists it.
    pub tool: String,
    /// What became of it.
    pub change: Change,
    /// What an administrator should look at, in its definition as it is now.
    pub findings: Vec<Finding>,
    /// As it is now; `None` where it is gone.
    definition: Option<Definition>,
    digest: Option<Digest>,
}

/// What became of a tool since it was approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It was never approved.
    New,
    /// These places differ.
    Changed(Vec<Difference>),
    /// It is listed as it was when it was rejected.
    Rejected,
    /// It is not listed any more.
    Gone,
}

/// Reviews what `server` lists now; the other servers' tools of `fleet` are what its own may not speak of.
pub fn review(server: &Server, listed: &[Value], lock: &Lock, fleet: &ToolNames) -> Review {
    let identity = identity(server);
    let neighbours = Neighbours::new(&server.name, fleet);
    let verdict = approve(server, listed, None);
    let usable: BTreeSet<&str> = verdict.approved.iter().map(|tool| tool.source.tool.as_str()).collect();
    let mut names = BTreeSet::new();
    let by_name = listed.iter().filter_map(|tool| Some((tool.get("name")?.as_str()?, tool)));
    // Of a name that is listed twice only the first counts, as for the catalogue.
    let first = by_name.filter(|(name, _)| names.insert(*name));
    let mut tools: Vec<Reviewed> = first
        .filter(|(name, _)| usable.contains(name))
        .map(|(name, tool)| reviewed(server, &identity, name, tool, lock, &neighbours))
        .collect();
    let approved = lock.server(&server.name).filter(|(_, entry)| entry.approved.is_some());
    let gone = approved.filter(|(name, _)| !usable.contains(name.as_str()));
    tools.extend(gone.map(|(name, _)| Reviewed::gone(name)));
    tools.sort_by(|a, b| a.tool.cmp(&b.tool));
    Review { server: server.name.clone(), tools, left_out: verdict.left_out, identity }
}

fn reviewed(
    server: &Server,
    identity: &str,
    name: &str,
    tool: &Value,
    lock: &Lock,
    neighbours: &Neighbours,
) -> Reviewed {
    let definition = Definition::of(tool);
    let digest = digest(identity, &definition);
    let approval = lock.entry(&server.name, name).and_then(|entry| entry.approved.as_ref());
    let change = match (lock.standing(&server.name, name, digest), approval) {
        (Standing::Approved, _) => Change::None,
        (Standing::Rejected, _) => Change::Rejected,
        (_, Some(approval)) => Change::Changed(compare(approval, identity, &definition)),
        (_, None) => Change::New,
    };
    let findings = scan(&definition, neighbours);
    Reviewed { tool: name.to_owned(), change, findings, definition: Some(definition), digest: Some(digest) }
}

impl Review {
    /// Writes into the lock that this is how the tool is to be; one that is gone is forgotten.
    pub fn approve(&self, tool: &Reviewed, lock: &mut Lock, by: Signature) {
        match &tool.definition {
            Some(definition) => {
                lock.approve(&self.server, &tool.tool, Approval::new(&self.identity, definition.clone(), by));
            }
            None => lock.forget(&self.server, &tool.tool),
        }
    }

    /// Writes into the lock that the tool may not be like this.
    pub fn reject(&self, tool: &Reviewed, lock: &mut Lock, by: Signature) {
        match tool.digest {
            Some(digest) => lock.reject(&self.server, &tool.tool, Rejection { digest, by }),
            None => lock.forget(&self.server, &tool.tool),
        }
    }
}

impl Reviewed {
    /// Whether an administrator has to decide on it.
    pub fn is_open(&self) -> bool {
        !matches!(self.change, Change::None | Change::Rejected)
    }

    /// Everything of its definition as it is now but for the name, each with its place: a JSON pointer.
    pub fn parts(&self) -> Vec<(String, String)> {
        self.definition.as_ref().map(diff::parts).unwrap_or_default()
    }

    fn gone(tool: &str) -> Self {
        Self {
            tool: tool.to_owned(),
            change: Change::Gone,
            findings: Vec::new(),
            definition: None,
            digest: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mcp::testing;

    fn changes(review: &Review) -> Vec<(&str, &'static str)> {
        let word = |change: &Change| match change {
            Change::None => "none",
            Change::New => "new",
            Change::Changed(_) => "changed",
            Change::Rejected => "rejected",
            Change::Gone => "gone",
        };
        review.tools.iter().map(|tool| (tool.tool.as_str(), word(&tool.change))).collect()
    }

    #[test]
    fn each_tool_stands_for_itself() {
        let server = testing::http_server("s", "http://x.test/mcp");
        let tool = |name: &str, text: &str| json!({"name": name, "description": text, "inputSchema": {"type": "object"}});
        let before = ["a", "b", "c", "d"].map(|name| tool(name, "one"));
        let mut lock = Lock::default();
        let first = review(&server, &before, &lock, &ToolNames::new());
        assert_eq!(changes(&first), [("a", "new"), ("b", "new"), ("c", "new"), ("d", "new")]);
        let by = || Signature::now(Some("alice".into()));
        first.tools.iter().for_each(|tool| first.approve(tool, &mut lock, by()));

        let broken = json!({"name": "f", "inputSchema": 1});
        let now = [tool("a", "one"), tool("b", "two"), tool("c", "two"), tool("e", "one"), broken];
        let second = review(&server, &now, &lock, &ToolNames::new());
        assert_eq!(
            changes(&second),
            [("a", "none"), ("b", "changed"), ("c", "changed"), ("d", "gone"), ("e", "new")]
        );
        assert_eq!(second.left_out[0].tool, "f");
        let Change::Changed(differences) = &second.tools[1].change else { panic!() };
        assert_eq!(differences[0].place, "/description");

        second.reject(&second.tools[2], &mut lock, by());
        for tool in second.tools.iter().filter(|tool| tool.is_open() && tool.tool != "c") {
            second.approve(tool, &mut lock, by());
        }
        let third = review(&server, &now, &lock, &ToolNames::new());
        assert_eq!(changes(&third), [("a", "none"), ("b", "none"), ("c", "rejected"), ("e", "none")]);
        assert!(third.tools.iter().all(|tool| !tool.is_open()));
    }
}
