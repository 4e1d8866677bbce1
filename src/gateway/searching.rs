//! Calls of the gateway's own tools: what a model looks for is found here, and what it calls by name becomes a call of
//! the tool itself, decided on like any other.

use std::sync::Arc;

use moka::future::Cache;

use super::decision::Decision;
use super::injection::Injected;
use super::rounds::Rounds;
use crate::audit::ToolOutcome;
use crate::domain::{ToolCall, ToolDefinition, ToolResult};
use crate::mcp::search::{self, Index, OwnTool};
use crate::mcp::{Catalogue, Tool};
use crate::policy::Denial;

/// How many catalogues' indexes are kept: the latest, and one that conversations under way still search.
const KEPT: u64 = 2;

/// The indexes of the last catalogues, each made when it is first searched.
#[derive(Debug)]
pub struct Searches(Cache<u64, Arc<Index>>);

/// A catalogue with its index.
#[derive(Debug)]
pub struct Searchable {
    catalogue: Arc<Catalogue>,
    index: Arc<Index>,
}

/// What an injected call is about.
#[derive(Debug)]
pub enum Subject<'a> {
    /// A tool that the model is shown.
    Listed(&'a Injected),
    /// A search.
    Search,
    /// A tool that the model found, and the arguments for it.
    Found(Arc<Tool>, String),
    /// A call by name of which nothing can be run.
    Lost(Lost),
    /// Nothing that is injected.
    Unknown,
}

/// Why a call by name cannot be run.
#[derive(Debug)]
pub enum Lost {
    /// It cannot be read, as these words tell the model.
    Unreadable(String),
    /// There is no tool of this name.
    NoSuchTool(String),
    /// Policy hides the tool of this name from the caller.
    Hidden(String, Denial),
}

impl Default for Searches {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Searches {
    /// The index of this catalogue, made now where there is none yet; once, however many ask.
    pub async fn over(&self, catalogue: &Arc<Catalogue>) -> Searchable {
        let read = Arc::clone(catalogue);
        let made = async move {
            let index = move || Index::new(read.tools().iter().map(|tool| &*tool.definition));
            // Thousands of tools take a while to read.
            tokio::task::spawn_blocking(index).await.unwrap_or_default()
        };
        let index = self.0.get_with(catalogue.version(), async { Arc::new(made.await) }).await;
        Searchable { catalogue: Arc::clone(catalogue), index }
    }
}

impl Rounds<'_> {
    /// What an injected call is about.
    pub(super) fn subject(&self, call: &ToolCall) -> Subject<'_> {
        let Some(injected) = self.injection.tool(&call.name) else { return Subject::Unknown };
        match OwnTool::of(&injected.definition) {
            None => Subject::Listed(injected),
            Some(OwnTool::Find) => Subject::Search,
            Some(OwnTool::Call) => self.called_by_name(&call.arguments),
        }
    }

    /// The answer to a search; the error is for the model.
    pub(super) fn find(&self, arguments: &str) -> Result<ToolResult, String> {
        let wanted = search::question(arguments)?;
        Ok(search::found(self.ranked(&wanted.query).take(wanted.limit)))
    }

    fn called_by_name(&self, arguments: &str) -> Subject<'_> {
        let (name, inner) = match search::named(arguments) {
            Ok(named) => named,
            Err(told) => return Subject::Lost(Lost::Unreadable(told)),
        };
        let tool = self.injection.search.as_ref().and_then(|search| search.catalogue.get(&name));
        let Some(tool) = tool.filter(|_| self.is_free(&name)) else {
            return Subject::Lost(Lost::NoSuchTool(name));
        };
        match self.gateway.policy.may_see(&self.incoming.caller, &tool.definition.source) {
            Ok(()) => Subject::Found(Arc::clone(tool), inner),
            Err(denial) => Subject::Lost(Lost::Hidden(name, denial)),
        }
    }

    /// What the model gets of a call by name that cannot be run. What may not be seen is told of like what there is not.
    pub(super) fn refuse_lost(&self, lost: Lost) -> Decision {
        let not_found = |name: &str| search::not_found(name, self.ranked(name));
        let (outcome, told, ruling) = match lost {
            Lost::Unreadable(told) => (ToolOutcome::InvalidArguments, told, None),
            Lost::NoSuchTool(name) => (ToolOutcome::InvalidArguments, not_found(&name), None),
            Lost::Hidden(name, denial) => (ToolOutcome::Denied, not_found(&name), denial.by),
        };
        Decision::Refuse { outcome, told, ruling }
    }

    /// The tools that fit these words, the best first, as far as this caller may see them.
    fn ranked(&self, query: &str) -> impl Iterator<Item = &ToolDefinition> {
        let (policy, caller) = (&self.gateway.policy, &self.incoming.caller);
        let search = self.injection.search.as_ref();
        let ranked = search.into_iter().flat_map(move |search| {
            let tools = search.catalogue.tools();
            search.index.search(query).into_iter().filter_map(|place| tools.get(place))
        });
        ranked
            .map(|tool| &*tool.definition)
            .filter(|tool| self.is_free(&tool.name) && policy.may_see(caller, &tool.source).is_ok())
    }

    /// A name that the client has a tool of is the client's.
    fn is_free(&self, name: &str) -> bool {
        !self.request.tools.names.contains(name)
    }
}
