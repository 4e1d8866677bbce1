//! Records as OCSF events, for exports to security tools: interceptions and tool calls are API Activity (class 6003) with
//! the profiles `ai_operation` and `trace`.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::domain::Trace;
use crate::store::queries::{Interception, ToolCall};

/// The version of the schema, whose profile `ai_operation` is used.
const VERSION: &str = "1.9.0-dev";
/// Application Activity, API Activity.
const CATEGORY: u32 = 6;
const CLASS: u32 = 6003;
/// Neither created, read, updated nor deleted: what a model or a tool does is not known here.
const OTHER: u32 = 99;

/// An interception as an event.
pub fn interception(row: &Interception) -> Value {
    let end = row.end.as_ref();
    let is_mcp = row.dialect == "mcp";
    let status = Status::of(&row.outcome, end.and_then(|end| end.error.as_deref()));
    let mut event = event(row.started_at, if is_mcp { "Call" } else { "Chat" }, &status);
    let (provider, model) = (&row.provider, &row.model);
    put(&mut event, "metadata", metadata(&row.id.to_string(), &row.thread.to_string(), Some(&row.policy)));
    put(
        &mut event,
        "actor",
        actor(row.caller_user.as_deref(), row.caller_key.as_deref(), &row.caller_groups),
    );
    put(
        &mut event,
        "api",
        json!({
            "operation": if is_mcp { "tools/call" } else { row.dialect.as_str() },
            "service": {"name": provider},
            "request": some([("uid", Some(row.id.to_string().into()))]),
            "response": end.and_then(|end| end.status).map(|status| json!({"code": status})),
        }),
    );
    put(
        &mut event,
        "src_endpoint",
        source(&row.client, row.client_version.as_deref(), row.client_session.as_deref()),
    );
    put(&mut event, "dst_endpoint", json!({"name": provider}));
    put_agent_or_model(&mut event, row.agent.as_deref(), row.client_session.as_deref(), provider, model);
    let usage = end.map(|end| &end.tokens);
    let input =
        usage.map(|it| [it.cache_read, it.cache_write].into_iter().fold(it.input, u64::saturating_add));
    put(
        &mut event,
        "message_context",
        some([
            ("ai_role_id", Some(if is_mcp { 3 } else { 2 }.into())),
            ("application", Some(row.client.clone().into())),
            ("service", Some(provider.clone().into())),
            ("uid", Some(row.thread.to_string().into())),
            ("prompt_tokens", input.map(Value::from)),
            ("completion_tokens", usage.map(|it| it.output.into())),
            ("total_tokens", input.zip(usage).map(|(input, it)| input.saturating_add(it.output).into())),
        ]),
    );
    put(&mut event, "stop_reason", end.and_then(|end| end.stop_reason.clone()));
    if let Some(end) = end {
        put(&mut event, "start_time", row.started_at.as_millisecond());
        put(&mut event, "end_time", end.ended_at.as_millisecond());
        put(&mut event, "duration", end.total_us.map(|micros| micros / 1_000));
    }
    if let Some(trace) = row.trace.as_ref().and_then(|trace| trace.parse::<Trace>().ok()) {
        // The schema knows no span that has not ended.
        let span = end.map(|end| {
            json!({
                "uid": trace.span.to_string(),
                "start_time": row.started_at.as_millisecond(),
                "end_time": end.ended_at.as_millisecond(),
            })
        });
        put(&mut event, "trace", json!({"uid": trace.id_hex(), "span": span}));
    }
    let unmapped = json!({
        "outcome": row.outcome,
        "dialect": row.dialect,
        "instance": row.instance,
        "injection": row.injection,
        "rounds": end.map(|end| end.rounds),
    });
    put(&mut event, "unmapped", unmapped);
    Value::Object(event)
}

/// A tool call as an event.
pub fn tool_call(row: &ToolCall) -> Value {
    let end = row.end.as_ref();
    let status = Status::of(&row.outcome, None);
    let mut event = event(row.recorded_at, "Call Tool", &status);
    put(
        &mut event,
        "metadata",
        metadata(&row.id.to_string(), &row.thread.to_string(), row.policy.as_deref()),
    );
    put(&mut event, "actor", actor(row.caller_user.as_deref(), row.caller_key.as_deref(), &[]));
    let service = row.server.as_deref().unwrap_or("client");
    put(
        &mut event,
        "api",
        json!({
            "operation": row.server_tool.as_deref().unwrap_or(&row.tool),
            "service": {"name": service},
            "request": {"uid": row.id.to_string()},
            "response": end.map(|_| json!({"message": row.outcome})),
        }),
    );
    put(&mut event, "src_endpoint", source(&row.client, None, row.client_session.as_deref()));
    put(&mut event, "dst_endpoint", destination(service, row.server_url.as_deref()));
    put_agent_or_model(&mut event, None, None, &row.provider, &row.model);
    put(
        &mut event,
        "message_context",
        json!({
            "ai_role_id": 3,
            "application": row.client,
            "service": service,
            "uid": row.thread.to_string(),
        }),
    );
    let resource = some([
        ("name", Some(row.tool.clone().into())),
        ("type", Some("MCP tool".into())),
        ("uid", row.definition.clone().map(Value::from)),
    ]);
    put(&mut event, "resources", if row.injected { json!([resource]) } else { Value::Null });
    if let Some(ended) = end.and_then(|end| end.ended_at) {
        put(&mut event, "start_time", row.intended_at.unwrap_or(row.recorded_at).as_millisecond());
        put(&mut event, "end_time", ended.as_millisecond());
    }
    put(&mut event, "duration", end.and_then(|end| end.duration_us).map(|micros| micros / 1_000));
    let unmapped = json!({
        "outcome": row.outcome,
        "interception_id": row.interception_id.to_string(),
        "call_id": row.call_id,
        "round": row.round,
        "injected": row.injected,
        "rule": row.rule,
        "approver": row.approver,
        "result_bytes": end.and_then(|end| end.result_bytes),
        "truncated": end.map(|end| end.truncated),
    });
    put(&mut event, "unmapped", unmapped);
    Value::Object(event)
}

/// How something went, in the schema's words.
struct Status {
    id: u32,
    name: &'static str,
    /// Informational, low or medium.
    severity: (u32, &'static str),
    detail: Option<String>,
}

impl Status {
    fn of(outcome: &str, error: Option<&str>) -> Self {
        const INFORMATIONAL: (u32, &str) = (1, "Informational");
        const LOW: (u32, &str) = (2, "Low");
        const MEDIUM: (u32, &str) = (3, "Medium");
        let (id, name, severity) = match outcome {
            "completed" | "capped" | "ok" | "reused" | "released" => (1, "Success", INFORMATIONAL),
            "running" => (0, "Unknown", INFORMATIONAL),
            "unknown" | "interrupted" => (0, "Unknown", LOW),
            "denied" | "refused" | "withdrawn" | "unauthorized" => (2, "Failure", MEDIUM),
            _ => (2, "Failure", LOW),
        };
        let detail = error.map(str::to_owned).or_else(|| (id != 1).then(|| outcome.to_owned()));
        Self { id, name, severity, detail }
    }
}

fn event(time: Timestamp, activity: &str, status: &Status) -> Map<String, Value> {
    some([
        ("activity_id", Some(OTHER.into())),
        ("activity_name", Some(activity.into())),
        ("category_uid", Some(CATEGORY.into())),
        ("category_name", Some("Application Activity".into())),
        ("class_uid", Some(CLASS.into())),
        ("class_name", Some("API Activity".into())),
        ("type_uid", Some((CLASS * 100 + OTHER).into())),
        ("type_name", Some("API Activity: Other".into())),
        ("time", Some(time.as_millisecond().into())),
        ("severity_id", Some(status.severity.0.into())),
        ("severity", Some(status.severity.1.into())),
        ("status_id", Some(status.id.into())),
        ("status", Some(status.name.into())),
        ("status_detail", status.detail.clone().map(Value::from)),
    ])
}

fn metadata(uid: &str, thread: &str, policy: Option<&str>) -> Value {
    let labels = policy.filter(|policy| !policy.is_empty()).map(|policy| json!([format!("policy:{policy}")]));
    Value::Object(some([
        ("version", Some(VERSION.into())),
        ("uid", Some(uid.into())),
        ("correlation_uid", Some(thread.into())),
        ("profiles", Some(json!(["ai_operation", "trace"]))),
        (
            "product",
            Some(
                json!({"name": "Toolgate", "vendor_name": "Toolgate", "version": env!("CARGO_PKG_VERSION")}),
            ),
        ),
        ("log_name", Some("audit".into())),
        ("labels", labels),
    ]))
}

/// Who it was; a session's issuer is the key, for nothing else is known of an erased person.
fn actor(user: Option<&str>, key: Option<&str>, groups: &[String]) -> Value {
    let groups: Vec<_> = groups.iter().map(|group| json!({"name": group})).collect();
    let user = some([
        ("name", Some(user.unwrap_or("unknown").into())),
        ("credential_uid", key.map(Value::from)),
        ("groups", (!groups.is_empty()).then(|| groups.into())),
    ]);
    json!({"user": user})
}

fn source(client: &str, version: Option<&str>, session: Option<&str>) -> Map<String, Value> {
    let client = if client.is_empty() { "unknown" } else { client };
    let name = version.map_or_else(|| client.to_owned(), |version| format!("{client} {version}"));
    some([("name", Some(name.into())), ("instance_uid", session.map(Value::from))])
}

fn destination(name: &str, url: Option<&str>) -> Map<String, Value> {
    let url = url.and_then(|url| reqwest::Url::parse(url).ok());
    let url = url.as_ref();
    some([
        ("name", Some(name.into())),
        ("hostname", url.and_then(reqwest::Url::host_str).map(Value::from)),
        ("port", url.and_then(reqwest::Url::port_or_known_default).map(Value::from)),
    ])
}

/// The agent with its model, where one names itself; otherwise the model alone.
fn put_agent_or_model(
    event: &mut Map<String, Value>,
    agent: Option<&str>,
    session: Option<&str>,
    provider: &str,
    model: &str,
) {
    let model = (!model.is_empty()).then(|| json!({"ai_provider": provider, "name": model}));
    match agent {
        Some(agent) => {
            let agent = some([
                ("uid", Some(agent.into())),
                ("instance_uid", session.map(Value::from)),
                ("ai_model", model),
            ]);
            put(event, "ai_agent", agent);
        }
        None => put(event, "ai_model", model),
    }
}

/// An object of what is known.
fn some<const N: usize>(fields: [(&str, Option<Value>); N]) -> Map<String, Value> {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn put(event: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    if !value.is_null() {
        event.insert(name.to_owned(), without_nulls(value));
    }
}

/// What is not known is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let known = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(known.map(|(name, value)| (name, without_nulls(value))).collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{InterceptionId, ToolUseId};
    use crate::store::queries::{CallEnded, Ended, Tokens};
    use crate::store::records::{Body, Kept};

    /// What the schema requires of every event of the class, and of the objects in it.
    fn assert_valid(event: &Value) {
        for name in ["activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id"] {
            assert!(event[name].is_u64(), "{name} in {event:#}");
        }
        let (class, activity) =
            (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
        assert_eq!(class, 6003);
        assert_eq!(event["category_uid"], 6);
        assert_eq!(event["type_uid"], class * 100 + activity);
        assert!(event["activity_name"].is_string(), "an activity that is `Other` has a name of its own");
        for path in [
            "/metadata/version",
            "/metadata/product/vendor_name",
            "/actor/user/name",
            "/api/operation",
            "/src_endpoint/name",
            "/message_context/application",
        ] {
            assert!(event.pointer(path).is_some_and(Value::is_string), "{path} in {event:#}");
        }
        if let Some(span) = event.pointer("/trace/span") {
            assert!(
                span["uid"].is_string() && span["start_time"].is_i64() && span["end_time"].is_i64(),
                "{span}"
            );
        }
        if let Some(model) = event.get("ai_model").or(event.pointer("/ai_agent/ai_model")) {
            assert!(model["ai_provider"].is_string() && model["name"].is_string(), "{model}");
        }
        assert!(!event.to_string().contains("null"), "{event:#}");
    }

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_795_262_400_000 + ms).unwrap()
    }

    fn an_interception() -> Interception {
        let id = InterceptionId::new();
        Interception {
            id,
            instance: "gate-1".into(),
            epoch: 1,
            caller_user: Some("alice".into()),
            caller_key: Some("laptop".into()),
            caller_groups: vec!["engineering".into()],
            provider: "anthropic".into(),
            dialect: "messages".into(),
            model: "claude-x".into(),
            client: "claude-code".into(),
            client_version: Some("2.1".into()),
            client_session: Some("s-1".into()),
            agent: None,
            parent_agent: None,
            request_id: None,
            trace: Some("0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01".into()),
            thread: id,
            parent: None,
            injection: "injected".into(),
            left_out: vec![],
            hosted: vec![],
            continuity: vec![],
            repeats: None,
            policy: "p1".into(),
            started_at: at(0),
            outcome: "completed".into(),
            end: Some(Ended {
                ended_at: at(2000),
                status: Some(200),
                error: None,
                stop_reason: Some("end_turn".into()),
                answered_by: Some("claude-x-1".into()),
                first_byte_us: Some(1),
                total_us: Some(2_000_000),
                provider_us: 1,
                tools_us: 1,
                client_us: 1,
                rounds: 2,
                injected_calls: 1,
                client_calls: 0,
                tokens: Tokens { input: 20, output: 14, cache_read: 100, cache_write: 7, reasoning: 4 },
            }),
        }
    }

    fn a_call(outcome: &str) -> ToolCall {
        ToolCall {
            id: ToolUseId::new(),
            interception_id: InterceptionId::new(),
            seq: 1,
            thread: InterceptionId::new(),
            caller_user: Some("alice".into()),
            caller_key: Some("laptop".into()),
            provider: "anthropic".into(),
            model: "claude-x".into(),
            client: "claude-code".into(),
            client_session: None,
            round: 1,
            call_id: "toolu_1".into(),
            tool: "birds__count".into(),
            server: Some("birds".into()),
            server_tool: Some("count".into()),
            server_url: Some("https://birds.example.com:8443/mcp".into()),
            definition: Some("f00d".into()),
            injected: true,
            via: Some("injected".into()),
            rule: Some("all".into()),
            policy: Some("p1".into()),
            approver: None,
            intended_at: Some(at(100)),
            recorded_at: at(100),
            outcome: outcome.into(),
            end: Some(CallEnded {
                ended_at: Some(at(600)),
                duration_us: Some(500_000),
                result_bytes: Some(8),
                truncated: false,
            }),
            arguments: Body { id: None, bytes: 2, kept: Kept::None },
            result: None,
        }
    }

    #[test]
    fn an_interception_is_api_activity_of_a_model() {
        let event = interception(&an_interception());
        assert_valid(&event);
        assert_eq!((&event["time"], &event["duration"]), (&1_795_262_400_000_i64.into(), &2000.into()));
        assert_eq!((&event["status_id"], &event["severity_id"]), (&1.into(), &1.into()));
        assert_eq!(event["actor"]["user"]["groups"][0]["name"], "engineering");
        assert_eq!(
            (&event["api"]["operation"], &event["api"]["response"]["code"]),
            (&"messages".into(), &200.into())
        );
        assert_eq!(event["ai_model"]["name"], "claude-x");
        let context = &event["message_context"];
        assert_eq!((&context["ai_role_id"], &context["total_tokens"]), (&2.into(), &141.into()));
        assert_eq!(event["trace"]["uid"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(event["trace"]["span"]["end_time"], 1_795_262_402_000_i64);
        assert_eq!(event["stop_reason"], "end_turn");
    }

    #[test]
    fn an_agent_brings_its_model_and_what_runs_or_failed_is_valid_too() {
        let mut row = an_interception();
        row.agent = Some("a-1".into());
        let event = interception(&row);
        assert_valid(&event);
        assert_eq!(event["ai_agent"]["ai_model"]["name"], "claude-x");
        assert!(event.get("ai_model").is_none());

        (row.outcome, row.end) = ("running".into(), None);
        (row.caller_user, row.caller_key, row.model, row.client) = (None, None, String::new(), String::new());
        let event = interception(&row);
        assert_valid(&event);
        assert_eq!((&event["status_id"], &event["actor"]["user"]["name"]), (&0.into(), &"unknown".into()));
        assert!(event["trace"].get("span").is_none() && event["trace"]["uid"].is_string());
    }

    #[test]
    fn a_tool_call_is_api_activity_of_a_server() {
        let event = tool_call(&a_call("ok"));
        assert_valid(&event);
        assert_eq!(
            (&event["api"]["operation"], &event["api"]["service"]["name"]),
            (&"count".into(), &"birds".into())
        );
        assert_eq!(
            (&event["dst_endpoint"]["hostname"], &event["dst_endpoint"]["port"]),
            (&"birds.example.com".into(), &8443.into())
        );
        assert_eq!((&event["duration"], &event["message_context"]["ai_role_id"]), (&500.into(), &3.into()));
        assert_eq!(event["resources"][0]["uid"], "f00d");

        let event = tool_call(&a_call("denied"));
        assert_valid(&event);
        assert_eq!((&event["status_id"], &event["severity_id"]), (&2.into(), &3.into()));
        assert_eq!(event["status_detail"], "denied");

        let client = ToolCall {
            injected: false,
            server: None,
            server_tool: None,
            server_url: None,
            ..a_call("released")
        };
        let event = tool_call(&client);
        assert_valid(&event);
        assert_eq!((&event["api"]["operation"], &event["status_id"]), (&"birds__count".into(), &1.into()));
    }
}
