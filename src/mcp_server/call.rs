//! One tool call of an MCP client: checked, permitted and recorded as the calls of models are, then sent on raw.

use std::sync::Arc;

use rmcp::ErrorData;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::methods::Asked;
use super::records::{ROUND, end, no_answer, refusal, unrecorded};
use super::{Endpoint, pass, tools};
use crate::audit::{CallReport, Clearance, Intent, Outcome, Times, ToolOutcome, ToolUse, Trail};
use crate::domain::{SpanId, ToolDefinition, Trace, Via};
use crate::mcp::{Tool, Unanswered};
use crate::policy::Ruling;

type Answer = Result<Value, ErrorData>;

/// What is decided on a call.
enum Decision {
    /// Policy allows it, and its arguments fit.
    Run(Box<Intent>),
    /// The client gets this instead of a result.
    Refuse { outcome: ToolOutcome, told: String, ruling: Option<Ruling> },
}

impl Asked {
    /// Runs the call; its records begin and end here.
    pub(super) async fn call(&self) -> Answer {
        let mut trail = self.gateway.audit.begin(self.start()).await.map_err(|error| unrecorded(&error))?;
        let name = self.request.text("name").unwrap_or_default();
        let Some(tool) = tools::find(&self.gateway, &self.behalf.caller, &self.endpoint, name) else {
            let message = format!("Unknown tool: {name}");
            self.record_refusal(&mut trail, None, ToolOutcome::NotExecuted, &message, None);
            trail.end(end(Outcome::Refused, Some("unknown tool".to_owned()), Times::default()));
            return Err(ErrorData::invalid_params(message, None));
        };
        match self.decide(&tool) {
            Decision::Refuse { outcome, told, ruling } => {
                self.record_refusal(&mut trail, Some(&tool.definition), outcome, &told, ruling);
                trail.end(end(Outcome::Completed, None, Times::default()));
                Ok(in_band(&told))
            }
            Decision::Run(intent) => {
                let mut clearances = match trail.clear(vec![*intent]).await {
                    Ok(clearances) => clearances,
                    Err(error) => {
                        trail.end(end(Outcome::Failed, Some(error.to_string()), Times::default()));
                        return Err(unrecorded(&error));
                    }
                };
                let Some(clearance) = clearances.pop() else {
                    return Err(ErrorData::internal_error("the call was not cleared", None));
                };
                self.run_cleared(clearance, trail).await
            }
        }
    }

    /// Asks policy, then the tool's schema, which is nothing to who may not call it.
    fn decide(&self, tool: &Arc<Tool>) -> Decision {
        let permit = match self.gateway.policy.permit(&self.behalf.caller, &tool.definition) {
            Ok(permit) => permit,
            Err(denial) => {
                let told = format!("Not run: policy does not allow {} to be called.", self.shown_name(tool));
                return Decision::Refuse { outcome: ToolOutcome::Denied, told, ruling: denial.by };
            }
        };
        let arguments = match self.request.params.get("arguments") {
            None | Some(Value::Null) => String::new(),
            Some(arguments) => arguments.to_string(),
        };
        match tool.check(&arguments) {
            Ok(arguments) => {
                let call_id = self.call_id();
                Decision::Run(Box::new(Intent { permit, via: Via::Mcp, round: ROUND, call_id, arguments }))
            }
            Err(told) => Decision::Refuse { outcome: ToolOutcome::InvalidArguments, told, ruling: None },
        }
    }

    fn shown_name<'a>(&self, tool: &'a Tool) -> &'a str {
        match self.endpoint {
            Endpoint::All => &tool.definition.name,
            Endpoint::Server(_) => &tool.definition.source.tool,
        }
    }

    /// What a client calls a tool that is not there is a text, kept as arguments are.
    fn record_refusal(
        &self,
        trail: &mut Trail,
        tool: Option<&Arc<ToolDefinition>>,
        outcome: ToolOutcome,
        told: &str,
        ruling: Option<Ruling>,
    ) {
        let (name, arguments) = match tool {
            Some(tool) => {
                (&tool.name, self.request.params.get("arguments").unwrap_or(&Value::Null).to_string())
            }
            None => (&self.request.method, json!(self.request.params).to_string()),
        };
        trail.tool_use(ToolUse {
            round: ROUND,
            call_id: self.call_id(),
            tool: name.clone(),
            definition: tool.cloned(),
            via: None,
            arguments,
            outcome,
            result: Some(told.to_owned()),
            duration: None,
            ruling,
        });
    }

    /// Sends the call on. When the client goes, only a call that changes nothing is cancelled.
    async fn run_cleared(&self, clearance: Clearance, mut trail: Trail) -> Answer {
        let (id, began) = (clearance.id(), Instant::now());
        let cancel = if clearance.tool().read_only { self.cancel.clone() } else { CancellationToken::new() };
        let (mut forwarded, asides) = self.forwarded();
        pass::without_tasks(&mut forwarded.params);
        let trace = Trace::of_message(&self.request.meta, trail.id());
        if self.gateway.tells_trace(&trace) {
            trace.put_into_meta(SpanId::of_call(id), &mut forwarded.meta);
        }
        let calling = Box::pin(self.gateway.fleet.forward_call(clearance, &self.behalf, forwarded, &cancel));
        let ran = self.relay(calling, asides).await;
        let (answer, error) = match ran.answer {
            Ok(result) => (Ok(result), None),
            Err(Unanswered::Error(error)) => {
                let refusal = refusal(&error);
                (Err(error), Some(refusal))
            }
            Err(Unanswered::None(message, outcome)) => (Ok(in_band(&message)), Some(no_answer(outcome))),
        };
        let result = match &answer {
            Ok(result) => result.to_string(),
            Err(error) => json!({ "error": error }).to_string(),
        };
        let report = CallReport {
            outcome: ran.outcome,
            result_bytes: result.len() as u64,
            result,
            truncated: false,
            duration: ran.duration,
        };
        trail.outcome(id, report);
        trail.end(self.end(error, began, ran.duration));
        answer
    }
}

/// What went wrong, where the client's model sees it.
fn in_band(message: &str) -> Value {
    json!({ "content": [{ "type": "text", "text": message }], "isError": true })
}
