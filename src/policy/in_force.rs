//! The rules in force, which a reload changes for everyone at once, also for what is under way.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::{Denial, Permit, Policy};
use crate::domain::{Caller, ToolDefinition, ToolRef};

/// The policy in force, whichever it is when it is asked.
///
/// While a reload is under way there are two, and what either denies is denied: a rule that moves from one file to
/// another must not be nowhere in between.
#[derive(Debug)]
pub struct InForce {
    policies: ArcSwap<Both>,
}

#[derive(Debug)]
struct Both {
    /// `None` but for reloads.
    former: Option<Arc<Policy>>,
    present: Arc<Policy>,
}

impl Both {
    fn all(&self) -> impl Iterator<Item = &Policy> {
        self.former.as_deref().into_iter().chain([&*self.present])
    }
}

impl InForce {
    /// This policy, for now.
    pub fn new(policy: Policy) -> Self {
        Self { policies: ArcSwap::from_pointee(Both { former: None, present: Arc::new(policy) }) }
    }

    /// Puts another policy in force beside the one that is there.
    pub fn add(&self, policy: Policy) {
        let former = Some(Arc::clone(&self.policies.load().present));
        self.policies.store(Arc::new(Both { former, present: Arc::new(policy) }));
    }

    /// Lets only the policy that came last be in force.
    pub fn settle(&self) {
        let present = Arc::clone(&self.policies.load().present);
        self.policies.store(Arc::new(Both { former: None, present }));
    }

    /// Which policy is in force: a digest of what its files say. While a reload is under way, it is the new one.
    pub fn version(&self) -> String {
        self.policies.load().present.version().to_owned()
    }

    /// May this caller be shown this tool?
    pub fn may_see(&self, caller: &Caller, tool: &ToolRef) -> Result<(), Denial> {
        self.policies.load().all().try_for_each(|policy| policy.may_see(caller, tool))
    }

    /// May this caller be shown some tool of this server, as far as can be said before its tools are known?
    pub fn may_know(&self, caller: &Caller, server: &str) -> bool {
        self.policies.load().all().all(|policy| policy.may_know(caller, server))
    }

    /// May this caller call this tool once?
    pub fn permit(&self, caller: &Arc<Caller>, tool: &Arc<ToolDefinition>) -> Result<Permit, Denial> {
        let policies = self.policies.load();
        if let Some(former) = &policies.former {
            former.permit(caller, tool)?;
        }
        policies.present.permit(caller, tool)
    }

    /// May this caller administer this server?
    pub fn may_administer(&self, caller: &Caller, server: &str) -> Result<(), Denial> {
        self.policies.load().all().try_for_each(|policy| policy.may_administer(caller, server))
    }

    /// May this caller read the records?
    pub fn may_read_audit(&self, caller: &Caller) -> Result<(), Denial> {
        self.policies.load().all().try_for_each(|policy| policy.may_read_audit(caller))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{caller, policy, tool};
    use super::*;

    #[test]
    fn while_rules_change_both_count_and_then_the_new_ones() {
        let rule = |name: &str| policy(&format!("rules: [{{name: r, effect: allow, tools: ['s/{name}']}}]"));
        let in_force = InForce::new(rule("[ab]"));
        let alice = caller("alice", &[], "laptop");
        let seen = |in_force: &InForce| {
            ["a", "b", "c"].map(|name| in_force.may_see(&alice, &tool("s", name)).is_ok())
        };
        assert_eq!(seen(&in_force), [true, true, false]);
        let version = in_force.version();
        in_force.add(rule("[bc]"));
        assert_ne!(in_force.version(), version);
        in_force.add(rule("[ab]"));
        assert_eq!(in_force.version(), version, "it says the same");
        in_force.add(rule("[bc]"));
        assert_eq!(seen(&in_force), [false, true, false]);
        in_force.settle();
        assert_eq!(seen(&in_force), [false, true, true]);
    }
}
