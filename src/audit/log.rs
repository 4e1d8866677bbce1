//! The records as log lines: ids, names, counts and outcomes, never content.

use tracing::info;

use crate::domain::InterceptionId;
use crate::store::interceptions::{End, Start};
use crate::store::token_usage::TokenUsage;
use crate::store::tool_usage::{Outcome, ToolUsage};

const TARGET: &str = "toolgate::audit";

pub(super) fn start(start: &Start) {
    info!(
        target: TARGET,
        record_type = "interception_start",
        interception = %start.id,
        key = start.caller_key,
        user = start.caller_user,
        provider = start.provider,
        dialect = start.dialect,
        model = start.model,
        client = start.client,
        client_session = start.client_session,
        injection = start.injection,
        "interception log"
    );
}

pub(super) fn prompt(interception: InterceptionId, bytes: usize) {
    info!(target: TARGET, record_type = "prompt_usage", %interception, bytes, "interception log");
}

pub(super) fn thought(interception: InterceptionId, round: u32, bytes: usize) {
    info!(target: TARGET, record_type = "model_thought", %interception, round, bytes, "interception log");
}

pub(super) fn tokens(row: &TokenUsage) {
    info!(
        target: TARGET,
        record_type = "token_usage",
        interception = %row.interception_id,
        round = row.round,
        model = row.model,
        response_id = row.response_id,
        input = row.usage.input,
        output = row.usage.output,
        cache_read = row.usage.cache_read,
        cache_write_short = row.usage.cache_write_short,
        cache_write_long = row.usage.cache_write_long,
        reasoning = row.usage.reasoning,
        "interception log"
    );
}

pub(super) fn tool(row: &ToolUsage) {
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
        outcome = row.outcome.as_ref().map_or("intended", |outcome| outcome.outcome.as_str()),
        "interception log"
    );
}

pub(super) fn outcome(interception: InterceptionId, outcome: &Outcome) {
    info!(
        target: TARGET,
        record_type = "tool_usage",
        %interception,
        tool_use = %outcome.id,
        outcome = outcome.outcome,
        result_bytes = outcome.result_bytes,
        truncated = outcome.truncated,
        duration_ms = outcome.duration_ms,
        "interception log"
    );
}

pub(super) fn end(end: &End) {
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
