//! What the records say of MCP requests: each that is recorded is an interception of its own.

use std::sync::Arc;

use rmcp::ErrorData;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::methods::Asked;
use crate::audit::{
    AuditUnavailable, InterceptionEnd, InterceptionStart, Outcome, Times, ToolOutcome, ToolUse,
};
use crate::domain::{Digest, InterceptionId, Repeat, ToolDefinition, ToolRef, Trace, Via};
use crate::mcp::Unanswered;

/// How the records call this API.
pub(super) const DIALECT: &str = "mcp";

/// A request is a round of its own.
pub(super) const ROUND: u32 = 1;

/// Methods that bring something of a server's.
const BRINGING: [&str; 3] = ["prompts/get", "resources/read", "completion/complete"];

impl Asked {
    /// What the records say when a request begins.
    pub(super) fn start(&self) -> InterceptionStart {
        let session = self.client.session().map(|session| session.id.chars().take(8).collect());
        let id = InterceptionId::new();
        InterceptionStart {
            trace: Some(Trace::of_message(&self.request.meta, id).to_string()),
            client: self.client.program().name.clone(),
            client_version: self.client.program().version.clone(),
            client_session: session,
            policy: self.gateway.policy.version(),
            injection: DIALECT,
            ..InterceptionStart::new(id, Arc::clone(&self.behalf.caller), DIALECT)
        }
    }

    /// The client's id of the request.
    pub(super) fn call_id(&self) -> String {
        self.request.id.as_str().map_or_else(|| self.request.id.to_string(), str::to_owned)
    }

    /// What a request brings of a server's, if it does, as if it were a tool: the method alone, for what a client names
    /// is a text, kept as its arguments are.
    pub(super) fn subject(&self, server: &str) -> Option<ToolDefinition> {
        let name = BRINGING.iter().find(|method| **method == self.request.method)?.to_string();
        let catalogue = self.gateway.fleet.catalogue();
        let mut tools = catalogue.tools().iter().map(|tool| &tool.definition);
        let server_url = tools.find(|tool| tool.source.server == server).map(|tool| tool.server_url.clone());
        Some(ToolDefinition {
            source: ToolRef { server: server.to_owned(), tool: name.clone() },
            name,
            server_url: server_url.unwrap_or_default(),
            description: String::new(),
            input_schema: String::new(),
            read_only: true,
            repeat: Repeat::Rerun,
            timeout: Duration::ZERO,
            digest: Digest::default(),
        })
    }

    /// Has the server answer, and records what it brought; that is known when it has answered, for nothing is done by
    /// it.
    pub(super) async fn pass_on_record(
        &self,
        server: &str,
        subject: ToolDefinition,
    ) -> Result<Value, Unanswered> {
        let mut trail = self.gateway.audit.begin(self.start()).await.map_err(|error| {
            let ErrorData { message, .. } = unrecorded(&error);
            Unanswered::None(message.into_owned(), ToolOutcome::NotExecuted)
        })?;
        let began = Instant::now();
        let answer = self.pass(server).await;
        let waited = began.elapsed();
        let (outcome, result, error) = match &answer {
            Ok(result) => (ToolOutcome::Ok, result.to_string(), None),
            Err(Unanswered::Error(error)) => {
                (ToolOutcome::ToolError, json!({ "error": error }).to_string(), Some(refusal(error)))
            }
            Err(Unanswered::None(message, outcome)) => (*outcome, message.clone(), Some(message.clone())),
        };
        trail.tool_use(ToolUse {
            round: ROUND,
            call_id: self.call_id(),
            tool: subject.name.clone(),
            definition: Some(Arc::new(subject)),
            via: Some(Via::Mcp),
            arguments: Value::Object(self.request.params.clone()).to_string(),
            outcome,
            result: Some(result),
            duration: Some(waited),
            rule: None,
        });
        trail.end(self.end(error, began, waited));
        answer
    }

    /// What the records say when a request was answered, of which so much was waited for the server.
    pub(super) fn end(&self, error: Option<String>, began: Instant, waited: Duration) -> InterceptionEnd {
        let outcome = if self.cancel.is_cancelled() { Outcome::Cancelled } else { Outcome::Completed };
        end(outcome, error, Times { first_byte: Some(began.elapsed()), tools: waited, ..Times::default() })
    }
}

/// What an end says of a server's error: its words are kept as a result is.
pub(super) fn refusal(error: &ErrorData) -> String {
    format!("the server answered with error {}", error.code.0)
}

/// How a request ended.
pub(super) fn end(outcome: Outcome, error: Option<String>, times: Times) -> InterceptionEnd {
    InterceptionEnd { outcome, status: Some(200), error, stop_reason: None, times }
}

/// Nothing is done that is not recorded.
pub(super) fn unrecorded(error: &AuditUnavailable) -> ErrorData {
    tracing::warn!(%error, "an MCP request was refused");
    ErrorData::internal_error("the audit cannot record now, so nothing is done", None)
}
