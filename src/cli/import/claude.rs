//! `mcpServers` of Claude Code, Claude Desktop and the many programs that took that form over.

use serde_json::{Map, Value};

use super::draft::{Draft, texts};
use super::secrets::Vault;

/// What other programs have on approval of single tools, which policies say here.
const APPROVAL: [&str; 4] = ["alwaysAllow", "autoApprove", "trust", "trusted"];

pub(super) fn read(name: &str, fields: &Map<String, Value>, vault: &mut Vault) -> Draft {
    let mut draft = Draft::new(name, name);
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let kind = text("type").or_else(|| text("transport")).unwrap_or_default().to_ascii_lowercase();
    let url = ["url", "serverUrl", "httpUrl"].into_iter().find_map(text);
    if fields.get("disabled") == Some(&Value::Bool(true))
        || fields.get("enabled") == Some(&Value::Bool(false))
    {
        return draft.refuse("it is switched off there");
    }
    match (url, fields.get("command")) {
        _ if kind == "ws" || kind == "websocket" => {
            return draft.refuse("it is reached by WebSocket, which Toolgate does not speak to servers");
        }
        (Some(url), None) => {
            if kind == "sse" {
                draft.note("`type: sse` is the old transport, which Toolgate does not speak: it needs a URL for streamable HTTP");
            }
            draft.http(url, fields.get("headers"), vault);
        }
        (None, Some(_)) => draft.stdio(fields, vault),
        (Some(_), Some(_)) => return draft.refuse("it has a `url` and a `command`: which one counts?"),
        (None, None) => return draft.refuse("it has neither `url` nor `command`"),
    }
    for (field, value) in fields {
        rest(&mut draft, field, value);
    }
    draft
}

/// The fields that are the same for both transports.
fn rest(draft: &mut Draft, field: &str, value: &Value) {
    match field {
        "type" | "transport" | "command" | "args" | "env" | "cwd" | "url" | "serverUrl" | "httpUrl"
        | "headers" | "disabled" | "enabled" => {}
        "timeout" | "requestTimeoutMs" => match value.as_u64() {
            Some(milliseconds) => draft.set_in("timeouts", "call", format!("{milliseconds}ms")),
            None => draft.lose(field, "it is no whole number of milliseconds"),
        },
        "oauth" => oauth(draft, value),
        "tools" | "includeTools" | "enabledTools" => allow(draft, "allow", field, value),
        "excludeTools" | "disabledTools" => allow(draft, "deny", field, value),
        "headersHelper" => draft.lose(field, "no program is run for headers; see `credentials`"),
        "envFile" => {
            draft.lose(field, "set its variables where the gateway runs, and refer to them in `env`");
        }
        "description" | "note" | "comment" => draft.lose(field, "write it as a comment"),
        field if APPROVAL.contains(&field) => draft.lose(field, "policies say who may call which tools"),
        field => draft.lose(field, "Toolgate has no such field"),
    }
}

fn allow(draft: &mut Draft, list: &str, field: &str, value: &Value) {
    let names = texts(Some(value));
    if names.is_empty() {
        draft.lose(field, "it is no list of names");
    } else if names != ["*"] {
        draft.set_in("tools", list, names);
    }
}

/// Callers grant access in a browser, each for himself.
fn oauth(draft: &mut Draft, value: &Value) {
    if !draft.credentials("oauth", "authorization-code") {
        return;
    }
    let scopes = value.get("scopes").and_then(Value::as_str).unwrap_or_default();
    let scopes: Vec<&str> = scopes.split_whitespace().collect();
    if !scopes.is_empty() {
        draft.set_in("credentials", "scopes", scopes);
    }
    draft.set("sharing", "per-caller");
    draft.note("`oauth`: each caller connects his own account in a browser, see `credentials`");
    for field in value.as_object().into_iter().flat_map(Map::keys).filter(|field| *field != "scopes") {
        let why = if field == "clientId" {
            "write `client_id` and its `issuer` into `credentials`"
        } else {
            "Toolgate finds it out, or needs none"
        };
        draft.lose(&format!("oauth.{field}"), why);
    }
}
