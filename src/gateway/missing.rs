use super::Gateway;
use super::admission::{Admitted, Incoming};
use crate::domain::{Caller, Inject, ToolRef};

/// The header that says which servers' tools are not there.
pub const HEADER: &str = "x-toolgate-servers-missing";

/// The most servers that it names.
const MOST: usize = 50;

impl Gateway {
    /// The servers that are not up and whose tools this request could have had, as the header says it; `None` where
    /// there are none.
    pub(super) fn missing_servers(&self, incoming: &Incoming, admitted: &Admitted<'_>) -> Option<String> {
        let inject = self.settings(incoming, admitted.provider).inject.unwrap_or_default();
        if inject == Inject::Never || !incoming.operation.generates {
            return None;
        }
        let mut missing = self.fleet.missing();
        if missing.is_empty() {
            return None;
        }
        missing.retain(|server| self.may_see_some(&incoming.caller, server));
        missing.truncate(MOST);
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// Whether a caller may see a tool of a server. One that has listed nothing yet may have any: they are
    /// seen by who may see whatever it has.
    fn may_see_some(&self, caller: &Caller, server: &str) -> bool {
        let catalogue = self.fleet.catalogue();
        let sources = catalogue.tools().iter().map(|tool| &tool.definition.source);
        let mut known = sources.filter(|source| source.server == server).peekable();
        let may_see = |source: &ToolRef| self.policy.may_see(caller, source).is_ok();
        if known.peek().is_none() {
            return may_see(&ToolRef { server: server.to_owned(), tool: "*".to_owned() });
        }
        known.any(may_see)
    }
}
