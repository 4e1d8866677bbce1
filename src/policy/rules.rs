//! Rules, compiled, and the decision that they make together.

use regex::{RegexSet, RegexSetBuilder};

use super::written::{Action, Effect};
use crate::domain::{Caller, ToolRef};

/// One compiled rule; its tools are in [`Rules::tools`].
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub name: String,
    pub effect: Effect,
    /// `None` matches anyone.
    pub users: Option<RegexSet>,
    pub groups: Option<RegexSet>,
    pub keys: Option<RegexSet>,
    pub actions: Vec<Action>,
    /// The servers' part of its tools.
    pub servers: RegexSet,
}

/// All rules by name, with all their tool patterns in one automaton, so that a decision costs one pass over the
/// tool's name.
#[derive(Debug)]
pub(super) struct Rules {
    by_name: Vec<Rule>,
    tools: RegexSet,
    /// The rule that each pattern of `tools` belongs to.
    owners: Vec<usize>,
}

impl Rules {
    /// Sorts by name, so that not even the name in an answer depends on the order of rules or files.
    pub(super) fn new(mut rules: Vec<(Rule, Vec<String>)>) -> Result<Self, regex::Error> {
        rules.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let owners =
            rules.iter().enumerate().flat_map(|(index, (_, tools))| vec![index; tools.len()]).collect();
        let tools = set(rules.iter().flat_map(|(_, tools)| tools))?;
        Ok(Self { by_name: rules.into_iter().map(|(rule, _)| rule).collect(), tools, owners })
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The name of the rule that allows it, or of the one that denies it; deny first, then allow, otherwise deny.
    pub(super) fn decide(
        &self,
        caller: &Caller,
        action: Action,
        tool: &ToolRef,
    ) -> Result<&str, Option<&str>> {
        let mut allowed = None;
        for pattern in &self.tools.matches(&tool.to_string()) {
            let rule = &self.by_name[self.owners[pattern]];
            if !rule.matches(caller, action) {
                continue;
            }
            match rule.effect {
                Effect::Deny => return Err(Some(&rule.name)),
                Effect::Allow => allowed = allowed.or(Some(rule.name.as_str())),
            }
        }
        allowed.ok_or(None)
    }

    /// Whether a tool of this server, whatever its name, may be allowed: some rule allows one, and none denies all.
    pub(super) fn leave_open(&self, caller: &Caller, action: Action, server: &str) -> bool {
        let all_of_it = ToolRef { server: server.to_owned(), tool: "*".to_owned() };
        let is_denied = matches!(self.decide(caller, action, &all_of_it), Err(Some(_)));
        let allows = |rule: &Rule| {
            rule.effect == Effect::Allow && rule.matches(caller, action) && rule.servers.is_match(server)
        };
        !is_denied && self.by_name.iter().any(allows)
    }
}

impl Rule {
    fn matches(&self, caller: &Caller, action: Action) -> bool {
        let one_of = |set: &Option<RegexSet>, text: &str| set.as_ref().is_none_or(|set| set.is_match(text));
        self.actions.contains(&action)
            && one_of(&self.users, &caller.user)
            && one_of(&self.keys, &caller.key)
            && self.groups.as_ref().is_none_or(|set| caller.groups.iter().any(|group| set.is_match(group)))
    }
}

/// The largest compiled set of patterns, bytes.
const MAX_COMPILED_BYTES: usize = 32 << 20;

/// Compiles patterns that are regular expressions already.
pub(super) fn set<'a>(patterns: impl IntoIterator<Item = &'a String>) -> Result<RegexSet, regex::Error> {
    RegexSetBuilder::new(patterns).size_limit(MAX_COMPILED_BYTES).build()
}
