//! One request from its first byte to its last.
//!
//! [`interception`] shows the phases on one screen: `injection` decides on tools, `listing` on which of them are
//! listed; `rounds` are the upstream calls, `tool_loop` says what becomes of a round's calls, `decision` whether one
//! may run, `searching` what is done for the gateway's own tools, `ending` how it ends; `exchange` what is recorded of
//! one upstream call, `stopwatch` where the time goes; `resume` what a request goes on
//! with, `keeping` what its answer leaves behind, `repeat` the same request again. No wire JSON here: a dialect's items
//! are moved without a look inside.

mod admission;
mod answer;
mod continuity;
mod decision;
mod ending;
mod exchange;
mod injection;
pub mod interception;
mod issued_ids;
mod journal;
mod keeping;
mod line;
pub(crate) mod listing;
mod missing;
mod past;
mod pins;
mod relay;
mod rendering;
mod repeat;
mod result_size;
mod resume;
pub mod retention;
mod rounds;
mod searching;
mod stopwatch;
mod tool_loop;
mod upstream_error;

use std::sync::Arc;

use http::HeaderMap;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::{Audit, Reader};
use crate::config::{HostedTools, InjectLimits, Limits};
use crate::domain::{Caller, ToolSettings, Trace};
use crate::identity::Identity;
use crate::mcp::Fleet;
use crate::policy::InForce;
use crate::provider::{Provider, Providers};

pub use admission::{Incoming, Operation};
pub use answer::{AnswerHead, Reply, answer};
pub use continuity::Continuity;
pub use issued_ids::IssuedIds;
pub use journal::Journals;
pub use pins::Pins;
pub use searching::Searches;

/// All parts that an interception needs: what is configured, as it was when the interception began, and what
/// outlives every change of it.
#[derive(Debug)]
pub struct Gateway {
    /// The callers.
    pub identity: Identity,
    /// The upstreams.
    pub providers: Providers,
    /// The rules in force.
    pub policy: Arc<InForce>,
    /// The MCP servers and the catalogue of their tools.
    pub fleet: Fleet,
    /// The records.
    pub audit: Audit,
    /// What opens the records, for those who may read them.
    pub reader: Reader,
    /// The caps.
    pub limits: Limits,
    /// When tools are injected and how their calls are shown, where neither key nor provider says.
    pub settings: ToolSettings,
    /// How many tools a conversation lists.
    pub inject_limits: InjectLimits,
    /// Which hosted tools callers may bring.
    pub hosted_tools: HostedTools,
    /// The ids of stored responses that callers have been given.
    pub issued: Arc<IssuedIds>,
    /// What finds the tools that conversations do not list.
    pub searches: Arc<Searches>,
    /// The tools that conversations were first shown.
    pub pins: Arc<Pins>,
    /// What earlier answers hid from their clients.
    pub continuity: Arc<Continuity>,
    /// What interceptions did lately.
    pub journals: Arc<Journals>,
    /// Places for interceptions.
    pub places: Arc<Semaphore>,
    /// The tasks of all interceptions that run.
    pub tasks: TaskTracker,
    /// Whether the gateway's own spans go anywhere.
    pub exports_traces: bool,
    /// Cancelled when the time for running interceptions to finish is over.
    pub closing: CancellationToken,
}

impl Gateway {
    /// How this caller's requests to this provider get tools and how their calls are shown.
    fn settings(&self, incoming: &Incoming, provider: &Provider) -> ToolSettings {
        incoming.caller.settings.or(provider.settings).or(self.settings)
    }

    /// Whether those whom an interception asks are told its trace: where its client follows it, or the gateway does.
    pub fn tells_trace(&self, trace: &Trace) -> bool {
        trace.parent.is_some() || self.exports_traces
    }

    /// Whether this caller may know of a server: policy shows them a tool of it, or may once its tools are known.
    pub fn shows(&self, caller: &Caller, server: &str) -> bool {
        let catalogue = self.fleet.catalogue();
        let tools = catalogue.tools().iter().map(|tool| &tool.definition.source);
        let mut tools = tools.filter(|tool| tool.server == server).peekable();
        match tools.peek() {
            Some(_) => tools.any(|tool| self.policy.may_see(caller, tool).is_ok()),
            None => self.policy.may_know(caller, server),
        }
    }

    /// Tries this caller's credentials at servers that they may know of, and that nobody could ask for tools yet.
    pub fn introduce(&self, caller: &Arc<Caller>, headers: &HeaderMap) {
        self.fleet.introduce(caller, headers, |server| self.shows(caller, server));
    }
}
