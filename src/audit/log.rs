//! The records as log lines: ids, names, counts and outcomes, never content.

use tracing::info;

use super::Published;
use crate::store::records::{End, Outcome, Row, Start, Tokens, ToolUse};

const TARGET: &str = "toolgate::audit";

/// Writes the line of a record.
pub(super) fn told(published: &Published) {
    match &published.row {
        Row::Start(row) => start(row, published),
        Row::End(row) => end(row),
        Row::Prompt(row) => {
            let (interception, bytes) = (row.interception_id, row.body.bytes);
            info!(target: TARGET, record_type = "prompt_usage", %interception, bytes, "interception log");
        }
        Row::Thought(row) => {
            let (interception, bytes, round) = (row.interception_id, row.body.bytes, row.round);
            info!(target: TARGET, record_type = "model_thought", %interception, round, bytes, "interception log");
        }
        Row::Tokens(row) => tokens(row),
        Row::ToolUse(row) => tool(row),
        Row::Outcome(row) => outcome(row),
        Row::Event(row) => {
            info!(target: TARGET, record_type = "audit_event", event = %row.id, action = ?row.action, "interception log");
        }
    }
}

fn start(start: &Start, published: &Published) {
    let caller = published.caller.as_deref();
    info!(
        target: TARGET,
        record_type = "interception_start",
        interception = %start.id,
        key = caller.map(|caller| &caller.key),
        user = caller.map(|caller| &caller.user),
        provider = start.provider,
        dialect = start.dialect,
        model = start.model,
        client = start.client,
        client_session = start.client_session,
        injection = start.injection,
        "interception log"
    );
}

fn tokens(row: &Tokens) {
    info!(
        target: TARGET,
        record_type = "token_usage",
        interception = %row.interception_id,
        round = row.round,
        model = row.model,
        response_id = row.response_id,
        input = row.input,
        output = row.output,
        cache_read = row.cache_read,
        cache_write_short = row.cache_write_short,
        cache_write_long = row.cache_write_long,
        reasoning = row.reasoning,
        "interception log"
    );
}

fn tool(row: &ToolUse) {
    info!(
        target: TARGET,
        record_type = "tool_usage",
        interception = %row.interception_id,
        tool_use = %row.id,
        round = row.round,
        call_id = row.call_id,
        tool = row.tool,
        server = row.server,
        server_url = row.server_url,
        injected = row.injected,
        via = row.via,
        rule = row.rule,
        "interception log"
    );
}

fn outcome(outcome: &Outcome) {
    info!(
        target: TARGET,
        record_type = "tool_usage",
        interception = %outcome.interception_id,
        tool_use = %outcome.id,
        outcome = outcome.outcome,
        result_bytes = outcome.body.as_ref().map(|body| body.bytes),
        truncated = outcome.truncated,
        duration_us = outcome.duration_us,
        "interception log"
    );
}

fn end(end: &End) {
    info!(
        target: TARGET,
        record_type = "interception_end",
        interception = %end.id,
        outcome = end.outcome,
        status = end.status,
        stop_reason = end.stop_reason,
        failed = end.error.is_some(),
        "interception log"
    );
}
