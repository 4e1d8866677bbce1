use std::collections::HashMap;
use std::sync::Arc;

use super::Gateway;
use super::admission::Incoming;
use super::listing::{self, Room};
use super::pins::{self, ToolSet};
use super::searching::Searchable;
use crate::dialect::{History, Obstacle, Request};
use crate::domain::{Digest, Inject, ToolDefinition};
use crate::mcp::search::OwnTool;
use crate::mcp::{Catalogue, Tool};
use crate::provider::Provider;

/// The request header that turns `auto` off.
pub const SWITCH: &str = "x-toolgate-inject";

const NOT_GENERATING: &str = "not-generating";

/// Which tools go into a request, and why, or why none do.
#[derive(Debug, Default)]
pub struct Injection {
    /// The word for it in the records and in the answer's header.
    pub word: &'static str,
    /// The tools, sorted by name: what is pinned to the conversation, as far as it fits this request.
    pub tools: Vec<Injected>,
    by_name: HashMap<String, usize>,
    /// What its calls search; `None` where it lists no tools for that.
    pub search: Option<Searchable>,
    /// Tools that this caller may use and that were left out all the same, each with its reason.
    pub left_out: Vec<String>,
}

/// An injected tool.
#[derive(Debug)]
pub struct Injected {
    /// The tool as the model is shown it, and was from the conversation's beginning.
    pub definition: Arc<ToolDefinition>,
    /// The tool as it is now; `None` where it has been withdrawn since.
    pub live: Option<Arc<Tool>>,
}

impl Injected {
    /// The definition that counts for its calls.
    pub fn in_force(&self) -> &Arc<ToolDefinition> {
        self.live.as_ref().map_or(&self.definition, |tool| &tool.definition)
    }
}

impl Injection {
    /// For a request that got no further.
    pub fn refused() -> Self {
        Self::none("refused")
    }

    fn none(word: &'static str) -> Self {
        Self { word, ..Self::default() }
    }

    /// Whether tools go in.
    pub fn is_active(&self) -> bool {
        !self.tools.is_empty()
    }

    /// Stands for the definitions that go in; the default where none do.
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<&[u8]> = Vec::new();
        for tool in &self.tools {
            let definition = &tool.definition;
            let texts = [&definition.name, &definition.description, &definition.input_schema];
            parts.extend(texts.map(String::as_bytes));
        }
        if parts.is_empty() { Digest::default() } else { Digest::of_parts(&parts) }
    }

    /// The definition of the injected tool with this name.
    pub fn definition(&self, name: &str) -> Option<&ToolDefinition> {
        self.tool(name).map(|tool| &*tool.definition)
    }

    /// What a server's injected tools are: name, description, input schema as JSON.
    pub fn tools_of_server(&self, server: &str) -> Vec<(&str, &str, &str)> {
        let definitions = self.tools.iter().map(|tool| &tool.definition);
        let of_server = definitions.filter(|definition| definition.source.server == server);
        of_server
            .map(|tool| (tool.source.tool.as_str(), tool.description.as_str(), tool.input_schema.as_str()))
            .collect()
    }

    /// The injected tool with this name.
    pub fn tool(&self, name: &str) -> Option<&Injected> {
        self.by_name.get(name).map(|at| &self.tools[*at])
    }
}

/// Decides which tools go into a request.
pub async fn decide(
    gateway: &Gateway,
    incoming: &Incoming,
    provider: &Provider,
    request: &Request,
    history: &History,
) -> Injection {
    let asked = Asked { gateway, incoming, request, history, catalogue: gateway.fleet.catalogue() };
    match (asked.refusal(provider), incoming.operation.generates) {
        (Some(word), true) => Injection::none(word),
        (None, true) => {
            let mut injection = asked.in_conversation().await;
            if injection.tools.iter().any(|tool| OwnTool::of(&tool.definition).is_some()) {
                injection.search = Some(gateway.searches.over(&asked.catalogue).await);
            }
            injection
        }
        (None, false) => asked.as_in_conversation().await,
        (Some(_), false) => Injection::none(NOT_GENERATING),
    }
}

/// A request for which tools are looked for.
struct Asked<'a> {
    gateway: &'a Gateway,
    incoming: &'a Incoming,
    request: &'a Request,
    history: &'a History,
    catalogue: Arc<Catalogue>,
}

impl Asked<'_> {
    /// Why it gets no tools, whatever its conversation has.
    fn refusal(&self, provider: &Provider) -> Option<&'static str> {
        let mode = self.gateway.settings(self.incoming, provider).inject.unwrap_or_default();
        let switch = self.incoming.headers.get(SWITCH);
        let switched_off = switch.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"off"));
        match (mode, self.request.obstacle) {
            (Inject::Never, _) => Some("never"),
            (_, Some(obstacle)) if !yields_to_pin(obstacle) => Some(obstacle.word()),
            (Inject::Auto, _) if switched_off => Some("switched-off"),
            (Inject::Auto, _) if !self.request.tools.has_functions => Some("no-client-tools"),
            (Inject::Always, _) if self.is_side_request() => Some("side-request"),
            _ => None,
        }
    }

    /// Whether it asks for a title or the like. What brings tools is none: a summary is made of a conversation
    /// with its tools, whose listing is part of the cached prefix.
    fn is_side_request(&self) -> bool {
        let is_said = self.incoming.client.side.is_some() || self.request.is_probe;
        is_said && !self.request.tools.has_functions
    }

    /// The tools of its conversation, which are pinned when they first go in.
    async fn in_conversation(&self) -> Injection {
        let conversation = pins::conversation(self.incoming, self.history);
        match self.pinned(conversation).await {
            Ok(Some(set)) => {
                let list = pins::tool_list(self.incoming, self.history);
                self.gateway.pins.follow(list, conversation, &set).await;
                self.inject(&set.definitions)
            }
            Ok(None) => self.unpinned(),
            Err(error) => {
                tracing::error!(%error, "the store failed: this request's tools are not pinned");
                self.unpinned()
            }
        }
    }

    /// What is pinned to the conversation, also if only now; `None` where nothing is to go in.
    async fn pinned(&self, conversation: Digest) -> Result<Option<Arc<ToolSet>>, sqlx::Error> {
        if let Some(set) = self.gateway.pins.find(conversation).await? {
            return Ok(Some(set));
        }
        if self.unpinned().tools.is_empty() {
            return Ok(None);
        }
        self.gateway.pins.pin(conversation, &self.listed()).await.map(Some)
    }

    /// The tools of the conversation that it seems to be about: one that has its list of tools.
    async fn as_in_conversation(&self) -> Injection {
        let list = pins::tool_list(self.incoming, self.history);
        match self.gateway.pins.find(list).await {
            Ok(Some(set)) => self.inject(&set.definitions),
            Ok(None) => Injection::none(NOT_GENERATING),
            Err(error) => {
                tracing::error!(%error, "the store failed: tokens are counted without this gateway's tools");
                Injection::none(NOT_GENERATING)
            }
        }
    }

    fn unpinned(&self) -> Injection {
        match self.request.obstacle {
            Some(obstacle) => Injection::none(obstacle.word()),
            None => self.inject(&self.listed()),
        }
    }

    /// What a new conversation of this caller's lists: all that it may see, or, where that is too much, some of it and
    /// the tools that find the rest.
    fn listed(&self) -> Vec<Arc<ToolDefinition>> {
        let (policy, caller) = (&self.gateway.policy, &self.incoming.caller);
        let tools = self.catalogue.tools().iter();
        let visible = tools.filter(|tool| policy.may_see(caller, &tool.definition.source).is_ok());
        let dialect = self.incoming.operation.dialect;
        let size = |tool: &ToolDefinition| dialect.definition(tool).len();
        listing::choose(visible, self.room(), size).listed
    }

    fn room(&self) -> Room {
        let provider_takes = self.incoming.operation.max_tools.saturating_sub(self.request.tools.count());
        Room { limits: self.gateway.inject_limits, provider_takes }
    }

    /// Puts in these tools as far as they fit. What an administrator has rejected is shown to no conversation any more,
    /// whatever it does to caches: its text may be what it was rejected for.
    fn inject(&self, definitions: &[Arc<ToolDefinition>]) -> Injection {
        let mut injection = Injection::none("injected");
        let shown: Vec<_> =
            definitions.iter().filter(|tool| !self.catalogue.is_rejected(&tool.source)).cloned().collect();
        let fitting = listing::fit(&shown, &self.request.tools.names, self.room().provider_takes);
        for definition in fitting.tools {
            let live = self.catalogue.of(&definition.source).cloned();
            injection.by_name.insert(definition.name.clone(), injection.tools.len());
            injection.tools.push(Injected { definition, live });
        }
        injection.left_out =
            fitting.left_out.into_iter().map(|(name, why)| format!("{name}: {}", why.in_words())).collect();
        if injection.tools.is_empty() {
            injection.word = "no-tools";
        }
        injection
    }
}

/// Whether it stands in the way of a new conversation's tools alone: what a conversation has stays listed, for it
/// is part of the cached prefix.
fn yields_to_pin(obstacle: Obstacle) -> bool {
    matches!(obstacle, Obstacle::MustCall | Obstacle::NoToolsWanted)
}
