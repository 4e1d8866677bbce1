//! Which tools a request lists, and which are found by search: by the settings and the sizes alone, so that it is the
//! same for everyone who may see the same.

use std::collections::HashSet;
use std::sync::Arc;

use crate::config::{Expose, InjectLimits};
use crate::domain::ToolDefinition;
use crate::mcp::Tool;
use crate::mcp::search::OwnTool;

/// How many tools there is room for.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// What the administrator says.
    pub limits: InjectLimits,
    /// How many the provider takes besides the client's own.
    pub provider_takes: usize,
}

/// What a new conversation lists.
#[derive(Debug, Default)]
pub struct Choice {
    /// The tools, sorted by name; with those that find the others, where there are others.
    pub listed: Vec<Arc<ToolDefinition>>,
    /// The tools that are found by search, sorted by name, each with the reason.
    pub searched: Vec<(Arc<ToolDefinition>, Searched)>,
}

/// Why a tool is not listed but found by search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Searched {
    /// Its server says `expose: search`.
    Exposed,
    /// There are more tools than `inject.max_tools`.
    MaxTools,
    /// Their definitions are larger than `inject.max_bytes`.
    MaxBytes,
    /// There are more tools than the provider takes.
    Provider,
}

/// Why a tool that is listed does not go into a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// The client has one of the same name.
    ClientsName,
    /// The client has one of the name of the other tool of a pair, and neither is of use alone.
    ClientsNameOfPair,
    /// The provider takes no more.
    Provider,
}

/// Which of a conversation's tools go into a request.
#[derive(Debug, Default)]
pub struct Fitting {
    /// Those that do, in their order.
    pub tools: Vec<Arc<ToolDefinition>>,
    /// Those that do not, by name.
    pub left_out: Vec<(String, LeftOut)>,
}

impl Searched {
    /// For administrators.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Exposed => "its server says `expose: search`",
            Self::MaxTools => "there are more tools than inject.max_tools",
            Self::MaxBytes => "the tools together are larger than inject.max_bytes",
            Self::Provider => "there are more tools than the provider takes",
        }
    }
}

impl LeftOut {
    /// For the records.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::ClientsName => "the client has a tool of this name",
            Self::ClientsNameOfPair => "the client has a tool of the name of its counterpart",
            Self::Provider => "the provider takes no more tools",
        }
    }
}

/// Chooses among the tools that a caller may see, in their order; `size` is that of a definition as it goes up.
///
/// All tools that may be listed are, or none of those that need not be: what a model sees never depends on which tools
/// happen to come first in the alphabet.
pub fn choose<'a>(
    visible: impl IntoIterator<Item = &'a Arc<Tool>>,
    room: Room,
    size: impl Fn(&ToolDefinition) -> usize,
) -> Choice {
    let visible: Vec<&Arc<Tool>> = visible.into_iter().collect();
    let candidates: Vec<_> = visible.iter().filter(|tool| tool.expose != Expose::Search).collect();
    let searches_anyway = candidates.len() < visible.len();
    let own = if searches_anyway { OwnTool::definitions().len() } else { 0 };
    let bytes = || candidates.iter().map(|tool| size(&tool.definition)).sum();
    let too_much = excess(candidates.len(), bytes, room, own);
    let mut choice = Choice::default();
    for tool in visible {
        let definition = Arc::clone(&tool.definition);
        match (tool.expose, too_much) {
            (Expose::Search, _) => choice.searched.push((definition, Searched::Exposed)),
            (Expose::Auto, Some(why)) => choice.searched.push((definition, why)),
            (Expose::Auto, None) | (Expose::Always, _) => choice.listed.push(definition),
        }
    }
    choice.find_the_rest(room.provider_takes);
    choice
}

/// In what so many tools are too many, `own` of the gateway's beside them.
fn excess(count: usize, bytes: impl FnOnce() -> usize, room: Room, own: usize) -> Option<Searched> {
    if count > room.limits.max_tools {
        Some(Searched::MaxTools)
    } else if count + own > room.provider_takes {
        Some(Searched::Provider)
    } else if bytes() > room.limits.max_bytes {
        Some(Searched::MaxBytes)
    } else {
        None
    }
}

impl Choice {
    /// Adds the tools that find the others, where there are others. What is always listed and still does not fit is found
    /// as well.
    fn find_the_rest(&mut self, provider_takes: usize) {
        let own = OwnTool::definitions();
        if self.searched.is_empty() && self.listed.len() <= provider_takes {
            return;
        }
        let kept = provider_takes.saturating_sub(own.len()).min(self.listed.len());
        let over = self.listed.split_off(kept);
        self.searched.extend(over.into_iter().map(|definition| (definition, Searched::Provider)));
        self.searched.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        self.listed.extend(own.iter().cloned());
        self.listed.sort_by(|a, b| a.name.cmp(&b.name));
    }
}

/// Which of these fit beside the client's own, the tools that find others before all.
pub fn fit(definitions: &[Arc<ToolDefinition>], taken: &HashSet<String>, room: usize) -> Fitting {
    let is_own = |definition: &&Arc<ToolDefinition>| OwnTool::of(definition).is_some();
    let own: Vec<_> = definitions.iter().filter(is_own).collect();
    let why_not_own = if own.iter().any(|definition| taken.contains(&definition.name)) {
        Some(LeftOut::ClientsNameOfPair)
    } else {
        Some(LeftOut::Provider).filter(|_| own.len() > room)
    };
    let mut left = if why_not_own.is_none() { room - own.len() } else { room };
    let mut fitting = Fitting::default();
    for definition in definitions {
        let reason = if taken.contains(&definition.name) {
            Some(LeftOut::ClientsName)
        } else if is_own(&definition) {
            why_not_own
        } else if left == 0 {
            Some(LeftOut::Provider)
        } else {
            left -= 1;
            None
        };
        match reason {
            Some(reason) => fitting.left_out.push((definition.name.clone(), reason)),
            None => fitting.tools.push(Arc::clone(definition)),
        }
    }
    fitting
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{Digest, Repeat, ToolRef};
    use crate::mcp::search::{CALL_TOOL, FIND_TOOLS};

    fn conversation(names: &[&str]) -> Vec<Arc<ToolDefinition>> {
        let tool = |name: &&str| {
            Arc::new(ToolDefinition {
                name: (*name).to_owned(),
                source: ToolRef { server: "srv".into(), tool: (*name).to_owned() },
                server_url: String::new(),
                description: String::new(),
                input_schema: "{}".into(),
                read_only: false,
                repeat: Repeat::default(),
                timeout: Duration::ZERO,
                digest: Digest::default(),
            })
        };
        let mut tools: Vec<_> =
            names.iter().map(tool).chain(OwnTool::definitions().iter().cloned()).collect();
        tools.sort_by(|a, b| a.name.cmp(&b.name));
        tools
    }

    fn fits(names: &[&str], taken: &[&str], room: usize) -> (Vec<String>, Vec<LeftOut>) {
        let taken = taken.iter().map(|name| (*name).to_owned()).collect();
        let fitting = fit(&conversation(names), &taken, room);
        let names = fitting.tools.iter().map(|tool| tool.name.clone()).collect();
        (names, fitting.left_out.into_iter().map(|(_, why)| why).collect())
    }

    #[test]
    fn search_has_its_place_before_all_others() {
        use LeftOut::{ClientsName, ClientsNameOfPair, Provider};
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(fits(&["a", "z"], &[], 9), (named(&["a", CALL_TOOL, FIND_TOOLS, "z"]), vec![]));
        assert_eq!(fits(&["a", "z"], &[], 3), (named(&["a", CALL_TOOL, FIND_TOOLS]), vec![Provider]));
        assert_eq!(fits(&["a", "z"], &["a"], 3), (named(&[CALL_TOOL, FIND_TOOLS, "z"]), vec![ClientsName]));
        assert_eq!(fits(&["a", "z"], &[], 1), (named(&["a"]), vec![Provider; 3]));
        assert_eq!(
            fits(&["a", "z"], &[FIND_TOOLS], 2),
            (named(&["a", "z"]), vec![ClientsNameOfPair, ClientsName])
        );
    }
}
