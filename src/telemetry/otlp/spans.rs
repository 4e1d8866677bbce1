//! The spans of an interception: itself as a server sees it, its rounds and its MCP calls as a client sees them.
//!
//! Tokens stand on the rounds alone, so that who adds up spans counts none twice.

use jiff::Timestamp;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status};
use reqwest::Url;
use serde_json::json;

use super::super::names::Labels;
use super::super::text::show;
use super::attributes::Attributes;
use super::gathering::{Call, Interception, before};
use crate::audit::Published;
use crate::config::Record;
use crate::domain::{SpanId, Trace};
use crate::store::records::prompts::Role;
use crate::store::records::{Row, Tokens};

/// The conventions' operations.
pub(super) const CHAT: &str = "chat";
pub(super) const EXECUTE: &str = "execute_tool";

/// Of a span's flags: sampled, "whether the parent is remote is known", "it is".
const SAMPLED: u32 = 0x001;
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

/// All spans of an interception; none where who began its trace does not want any. Their names are made of `names`, for
/// back ends group by them.
pub(super) fn of(interception: &Interception, names: &Labels, content: Record) -> Vec<Span> {
    let Some(trace) = interception.trace().filter(|trace| trace.is_sampled) else { return Vec::new() };
    let mut spans = vec![root(interception, &trace, names, content)];
    spans.extend(interception.rounds().map(|(row, text)| {
        let name = chat(names.models.known(&row.model));
        round(interception, &trace, row, text, content).named(name)
    }));
    spans.extend(interception.calls().map(|it| call(&trace, &it, content)));
    spans
}

fn root(interception: &Interception, trace: &Trace, names: &Labels, content: Record) -> Span {
    let Interception { start, end, caller, .. } = interception;
    let mut attributes = Attributes::default();
    let name = if interception.is_mcp() {
        match interception.calls().next() {
            Some(call) => put_method(&call, &mut attributes),
            None => String::new(),
        }
    } else {
        attributes.text("gen_ai.operation.name", CHAT);
        attributes.text("gen_ai.provider.name", interception.provider());
        attributes.text("gen_ai.request.model", &start.model);
        attributes.text_if("gen_ai.response.model", end.answered_by.as_ref());
        attributes.texts("gen_ai.response.finish_reasons", end.stop_reason.as_deref());
        attributes.text("gen_ai.conversation.id", start.thread.to_string());
        chat(end.answered_by.as_deref().and_then(|model| names.models.known(model)))
    };
    attributes.text_if("gen_ai.agent.id", start.agent.as_ref());
    attributes.text_if("session.id", start.client_session.as_ref());
    attributes.text_if("user.id", caller.as_ref().map(|caller| &caller.user));
    attributes.text_if("http.response.status_code", end.status.map(|status| status.to_string()));
    attributes.text("toolgate.interception.id", start.id.to_string());
    attributes.text("toolgate.outcome", &end.outcome);
    attributes.text("toolgate.provider", &start.provider);
    attributes.text("toolgate.client", &start.client);
    attributes.text("toolgate.injection", &start.injection);
    attributes.seconds("toolgate.overhead", end.own_us());
    put_prompts(interception, content, &mut attributes);
    let failed = !matches!(end.outcome.as_str(), "completed" | "capped");
    let error = failed.then_some(end.outcome.as_str());
    attributes.text_if("error.type", error);
    let remote = if trace.parent.is_some() { PARENT_IS_REMOTE } else { 0 };
    Span {
        parent_span_id: trace.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        flags: SAMPLED | PARENT_IS_KNOWN | remote,
        ..span(trace, trace.span, SpanKind::Server)
            .named(name)
            .lasting(start.started_at, end.ended_at)
            .ending(attributes, error, end.error.as_deref())
    }
}

fn round(
    interception: &Interception,
    trace: &Trace,
    row: &Tokens,
    record: &Published,
    content: Record,
) -> Span {
    let start = &interception.start;
    let mut attributes = Attributes::default();
    attributes.text("gen_ai.operation.name", CHAT);
    attributes.text("gen_ai.provider.name", interception.provider());
    attributes.text("gen_ai.request.model", &start.model);
    attributes.text("gen_ai.response.model", &row.model);
    attributes.text("gen_ai.response.id", &row.response_id);
    attributes.texts("gen_ai.response.finish_reasons", row.stop_reason.as_deref());
    attributes.text("gen_ai.conversation.id", start.thread.to_string());
    attributes.seconds("gen_ai.response.time_to_first_chunk", row.first_byte_us);
    let written = row.cache_write_short.saturating_add(row.cache_write_long);
    // By the conventions what a cache had is a part of the input.
    attributes.number("gen_ai.usage.input_tokens", whole_input(row));
    attributes.number("gen_ai.usage.output_tokens", row.output);
    attributes.number("gen_ai.usage.cache_read.input_tokens", row.cache_read);
    attributes.number("gen_ai.usage.cache_creation.input_tokens", written);
    attributes.number("gen_ai.usage.reasoning.output_tokens", row.reasoning);
    attributes.number("toolgate.round", row.round.into());
    attributes.text("toolgate.provider", &start.provider);
    attributes.text_if("toolgate.provider.request_id", row.request_id.as_ref());
    put_answer(interception, row, record, content, &mut attributes);
    let error = row.status.filter(|status| *status >= 400).map(|status| status.to_string());
    attributes.text_if("error.type", error.as_ref());
    let id = SpanId::of_round(start.id, row.round);
    span(trace, id, SpanKind::Client)
        .lasting(before(row.recorded_at, row.duration_us), row.recorded_at)
        .ending(attributes, error.as_deref(), None)
}

/// All tokens that went in, however they are billed.
pub(super) fn whole_input(row: &Tokens) -> u64 {
    [row.cache_read, row.cache_write_short, row.cache_write_long]
        .into_iter()
        .fold(row.input, u64::saturating_add)
}

fn call(trace: &Trace, it: &Call<'_>, content: Record) -> Span {
    let (row, error) = (it.call, it.error());
    let mut attributes = Attributes::default();
    attributes.text("gen_ai.tool.call.id", &row.call_id);
    attributes.text("gen_ai.tool.type", "extension");
    attributes.text("toolgate.tool", &row.tool);
    attributes.text_if("toolgate.server", row.server.as_ref());
    attributes.text_if("toolgate.policy.rule", row.rule.as_ref());
    attributes.text_if("toolgate.policy.digest", row.policy.as_ref());
    attributes.text_if("toolgate.tool.definition", row.definition.as_ref());
    attributes.text_if("error.type", error);
    attributes.text_if("gen_ai.tool.call.arguments", show(it.arguments, content).text);
    attributes
        .text_if("gen_ai.tool.call.result", it.outcome.and_then(|(_, result)| show(result, content).text));
    let id = SpanId::of_call(row.id);
    if let Some((began, ended)) = it.sent() {
        let name = put_method(it, &mut attributes);
        put_place(row.server_url.as_deref().unwrap_or_default(), &mut attributes);
        return span(trace, id, SpanKind::Client)
            .named(name)
            .lasting(began, ended)
            .ending(attributes, error, None);
    }
    let name = put_tool(it, &mut attributes);
    span(trace, id, SpanKind::Internal)
        .named(name)
        .lasting(row.recorded_at, it.ended())
        .ending(attributes, error, None)
}

/// The MCP method, and the tool where it calls one; gives back the span's name.
fn put_method(it: &Call<'_>, attributes: &mut Attributes) -> String {
    attributes.text("mcp.method.name", it.method());
    match it.tool() {
        Some(tool) => {
            put_tool(it, attributes);
            format!("{} {tool}", it.method())
        }
        None => it.method().to_owned(),
    }
}

/// The tool; gives back the name of a span of which nothing went to a server.
fn put_tool(it: &Call<'_>, attributes: &mut Attributes) -> String {
    attributes.text("gen_ai.operation.name", EXECUTE);
    attributes.text_if("gen_ai.tool.name", it.tool());
    it.tool().map_or_else(|| EXECUTE.to_owned(), |tool| format!("{EXECUTE} {tool}"))
}

/// The name of a span of models.
fn chat(model: Option<&str>) -> String {
    model.map_or_else(|| CHAT.to_owned(), |model| format!("{CHAT} {model}"))
}

/// Where a server is.
fn put_place(url: &str, attributes: &mut Attributes) {
    if url.starts_with("stdio:") {
        return attributes.text("network.transport", "pipe");
    }
    let Ok(url) = Url::parse(url) else { return };
    attributes.text("network.transport", "tcp");
    attributes.text_if("server.address", url.host_str());
    if let Some(port) = url.port_or_known_default() {
        attributes.number("server.port", port.into());
    }
}

/// What was said to the model, in the conventions' form.
fn put_prompts(interception: &Interception, content: Record, attributes: &mut Attributes) {
    let (mut instructions, mut messages) = (Vec::new(), Vec::new());
    for record in &interception.records {
        let Row::Prompt(row) = &record.row else { continue };
        let Some(text) = show(record, content).text else { continue };
        let part = json!({"type": "text", "content": text});
        match row.role {
            Role::System => instructions.push(part),
            Role::User => messages.push(json!({"role": "user", "parts": [part]})),
        }
    }
    for (key, values) in [("gen_ai.system_instructions", instructions), ("gen_ai.input.messages", messages)] {
        if !values.is_empty() {
            attributes.text(key, json!(values).to_string());
        }
    }
}

/// What a model thought and said in one round.
fn put_answer(
    interception: &Interception,
    row: &Tokens,
    record: &Published,
    content: Record,
    attributes: &mut Attributes,
) {
    let thoughts = interception.records.iter().filter_map(|record| match &record.row {
        Row::Thought(thought) if thought.round == row.round => show(record, content).text,
        _ => None,
    });
    let mut parts: Vec<_> = thoughts.map(|text| json!({"type": "reasoning", "content": text})).collect();
    let said = show(record, content).text.filter(|text| !text.is_empty());
    parts.extend(said.map(|text| json!({"type": "text", "content": text})));
    if !parts.is_empty() {
        let message = json!([{"role": "assistant", "parts": parts, "finish_reason": row.stop_reason}]);
        attributes.text("gen_ai.output.messages", message.to_string());
    }
}

/// A child of the interception's span.
fn span(trace: &Trace, id: SpanId, kind: SpanKind) -> Span {
    Span {
        trace_id: trace.id.to_vec(),
        span_id: id.0.to_vec(),
        parent_span_id: trace.span.0.to_vec(),
        flags: SAMPLED | PARENT_IS_KNOWN,
        kind: kind.into(),
        ..Span::default()
    }
}

trait Making {
    fn named(self, name: String) -> Self;
    fn lasting(self, from: Timestamp, to: Timestamp) -> Self;
    fn ending(self, attributes: Attributes, error: Option<&str>, message: Option<&str>) -> Self;
}

impl Making for Span {
    fn named(self, name: String) -> Self {
        Self { name, ..self }
    }

    fn lasting(self, from: Timestamp, to: Timestamp) -> Self {
        // A clock may have been set back meanwhile.
        Self { start_time_unix_nano: nanos(from), end_time_unix_nano: nanos(to.max(from)), ..self }
    }

    fn ending(self, attributes: Attributes, error: Option<&str>, message: Option<&str>) -> Self {
        let status = error.map(|_| Status {
            code: StatusCode::Error.into(),
            message: message.unwrap_or_default().to_owned(),
        });
        Self { attributes: attributes.into(), status, ..self }
    }
}

pub(super) fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}
