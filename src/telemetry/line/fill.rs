//! A line of a record: its row, for whom it was, and as much of its text as may go out.

use super::super::feed::Item;
use super::super::text::{Shown, show};
use super::{Line, Message};
use crate::audit::Published;
use crate::config::Record;
use crate::domain::Trace;
use crate::store::checkpoints::Checkpoint;
use crate::store::records::prompts::Role;
use crate::store::records::{End, Event, Outcome, Row, Start, Tokens, ToolUse};

impl Line {
    /// What goes out, with no more of a text than `content`.
    pub(in super::super) fn of(item: &Item, content: Record) -> Self {
        match item {
            Item::Record(record) => Self::of_record(record, content),
            Item::Checkpoint(checkpoint) => Self::of_checkpoint(checkpoint),
        }
    }

    fn of_checkpoint(checkpoint: &Checkpoint) -> Self {
        Self::AuditCheckpoint {
            message: Message::InterceptionLog,
            checkpoint_id: checkpoint.id.clone(),
            created_at: checkpoint.made_at,
            body: checkpoint.body.clone(),
            signature: checkpoint.signature.clone(),
        }
    }

    fn of_record(record: &Published, content: Record) -> Self {
        let initiator_id = record.caller.as_ref().map(|caller| caller.user.clone());
        let message = Message::InterceptionLog;
        let shown = show(record, content);
        match &record.row {
            Row::Start(row) => start(row, record),
            Row::End(row) => end(row, initiator_id),
            Row::Tokens(row) => tokens(row, initiator_id, shown),
            Row::ToolUse(row) => tool_use(row, initiator_id, shown),
            Row::Outcome(row) => outcome(row, initiator_id, shown),
            Row::Event(row) => event(row, initiator_id),
            Row::Prompt(row) => Self::PromptUsage {
                message,
                interception_id: row.interception_id,
                prompt: shown.text,
                created_at: row.recorded_at,
                initiator_id,
                role: match row.role {
                    Role::System => "system",
                    Role::User => "user",
                },
                body: shown.body,
            },
            Row::Thought(row) => Self::ModelThought {
                message,
                interception_id: row.interception_id,
                content: shown.text,
                created_at: row.recorded_at,
                initiator_id,
                round: row.round,
                body: shown.body,
            },
        }
    }
}

fn start(row: &Start, record: &Published) -> Line {
    let trace: Option<Trace> = row.trace.as_ref().and_then(|trace| trace.parse().ok());
    let caller = record.caller.as_deref();
    Line::InterceptionStart {
        message: Message::InterceptionLog,
        interception_id: row.id,
        initiator_id: caller.map(|caller| caller.user.clone()),
        provider: row.provider.clone(),
        model: row.model.clone(),
        client: row.client.clone(),
        started_at: row.started_at,
        key: caller.map(|caller| caller.key.clone()),
        groups: caller.map(|caller| caller.groups.clone()).unwrap_or_default(),
        dialect: row.dialect.clone(),
        client_version: row.client_version.clone(),
        client_session: row.client_session.clone(),
        agent: row.agent.clone(),
        parent_agent: row.parent_agent.clone(),
        request_id: row.request_id.clone(),
        trace_id: trace.as_ref().map(Trace::id_hex),
        span_id: trace.as_ref().map(|trace| trace.span.to_string()),
        thread_id: row.thread,
        parent_id: row.parent,
        repeats: row.repeats,
        injection: row.injection.clone(),
        left_out: row.left_out.clone(),
        hosted: row.hosted.clone(),
        policy: row.policy.clone(),
        instance: row.instance.clone(),
    }
}

fn end(row: &End, initiator_id: Option<String>) -> Line {
    Line::InterceptionEnd {
        message: Message::InterceptionLog,
        interception_id: row.id,
        ended_at: row.ended_at,
        initiator_id,
        outcome: row.outcome.clone(),
        status: row.status,
        error: row.error.clone(),
        stop_reason: row.stop_reason.clone(),
        answered_by: row.answered_by.clone(),
        first_byte_us: row.first_byte_us,
        total_us: row.total_us,
        provider_us: row.provider_us,
        tools_us: row.tools_us,
        client_us: row.client_us,
        overhead_us: row.own_us(),
        rounds: row.rounds,
        injected_calls: row.injected_calls,
        client_calls: row.client_calls,
        input_tokens: row.input,
        output_tokens: row.output,
        cache_read_tokens: row.cache_read,
        cache_write_tokens: row.cache_write,
        reasoning_tokens: row.reasoning,
    }
}

fn tokens(row: &Tokens, initiator_id: Option<String>, shown: Shown) -> Line {
    Line::TokenUsage {
        message: Message::InterceptionLog,
        interception_id: row.interception_id,
        input_tokens: row.input,
        output_tokens: row.output,
        created_at: row.recorded_at,
        initiator_id,
        round: row.round,
        model: row.model.clone(),
        response_id: row.response_id.clone(),
        request_id: row.request_id.clone(),
        status: row.status,
        stop_reason: row.stop_reason.clone(),
        cache_read_tokens: row.cache_read,
        cache_write_short_tokens: row.cache_write_short,
        cache_write_long_tokens: row.cache_write_long,
        reasoning_tokens: row.reasoning,
        text: shown.text,
        body: shown.body,
        first_byte_us: row.first_byte_us,
        duration_us: row.duration_us,
    }
}

fn tool_use(row: &ToolUse, initiator_id: Option<String>, shown: Shown) -> Line {
    Line::ToolUsage {
        message: Message::InterceptionLog,
        interception_id: row.interception_id,
        tool: row.tool.clone(),
        input: shown.text,
        server_url: row.server_url.clone(),
        injected: row.injected,
        created_at: row.recorded_at,
        initiator_id,
        tool_use_id: row.id.to_string(),
        round: row.round,
        call_id: row.call_id.clone(),
        server: row.server.clone(),
        server_tool: row.server_tool.clone(),
        definition: row.definition.clone(),
        via: row.via.clone(),
        rule: row.rule.clone(),
        policy: row.policy.clone(),
        approver: row.approver.clone(),
        body: shown.body,
    }
}

fn outcome(row: &Outcome, initiator_id: Option<String>, shown: Shown) -> Line {
    Line::ToolOutcome {
        message: Message::InterceptionLog,
        interception_id: row.interception_id,
        tool_use_id: row.id.to_string(),
        outcome: row.outcome.clone(),
        result: shown.text,
        created_at: row.ended_at,
        initiator_id,
        truncated: row.truncated,
        duration_us: row.duration_us,
        body: row.body.is_some().then_some(shown.body),
    }
}

fn event(row: &Event, initiator_id: Option<String>) -> Line {
    Line::AuditEvent {
        message: Message::InterceptionLog,
        event_id: row.id.to_string(),
        initiator_id,
        action: row.action.word(),
        detail: row.detail.clone(),
        instance: row.instance.clone(),
        created_at: row.at,
    }
}
