//! `mcp_servers` of LiteLLM's `config.yaml`.

use serde_json::{Map, Value};

use super::draft::{Draft, texts};
use super::secrets::Vault;

/// The fields that are read; all others are named as lost.
const READ: [&str; 26] = [
    "url",
    "transport",
    "command",
    "args",
    "env",
    "cwd",
    "static_headers",
    "headers",
    "extra_headers",
    "auth_type",
    "auth_value",
    "authentication_token",
    "oauth2_flow",
    "client_id",
    "client_secret",
    "scopes",
    "token_url",
    "token_exchange_endpoint",
    "audience",
    "subject_token_type",
    "allowed_tools",
    "disallowed_tools",
    "timeout",
    "alias",
    "server_name",
    "spec_version",
];

pub(super) fn read(name: &str, fields: &Map<String, Value>, document: &Value, vault: &mut Vault) -> Draft {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let aliases = document.pointer("/litellm_settings/mcp_aliases").and_then(Value::as_object);
    let short = aliases.into_iter().flatten().find(|(_, server)| server.as_str() == Some(name));
    let mut draft =
        Draft::new(name, text("alias").or(short.map(|(alias, _)| alias.as_str())).unwrap_or(name));
    if fields.contains_key("spec_path") {
        return draft.refuse("it is made of an OpenAPI file, not an MCP server");
    }
    match (text("url"), fields.contains_key("command")) {
        (Some(url), false) => {
            let headers = fields.get("static_headers").or_else(|| fields.get("headers"));
            draft.http(url, headers, vault);
            if text("transport") == Some("sse") {
                draft.note("`transport: sse` is the old transport, which Toolgate does not speak: it needs a URL for streamable HTTP");
            }
            authentication(&mut draft, fields, vault);
        }
        (None, true) => draft.stdio(fields, vault),
        (Some(_), true) => return draft.refuse("it has a `url` and a `command`: which one counts?"),
        (None, false) => return draft.refuse("it has neither `url` nor `command`"),
    }
    rest(&mut draft, fields);
    draft
}

fn authentication(draft: &mut Draft, fields: &Map<String, Value>, vault: &mut Vault) {
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let value = text("auth_value").or_else(|| text("authentication_token"));
    let server = draft.name.clone();
    let secret = |vault: &mut Vault, value: Option<&str>| {
        let value = value.unwrap_or_default();
        let clean = vault.clean(&server, "auth-token", value);
        if clean.is_empty() { vault.put(&server, &format!("{server}_auth_token"), "") } else { clean }
    };
    match text("auth_type").unwrap_or("none") {
        "none" => {}
        "bearer_token" => draft.header("Authorization", format!("Bearer {}", secret(vault, value))),
        "token" => draft.header("Authorization", format!("token {}", secret(vault, value))),
        "authorization" => draft.header("Authorization", secret(vault, value)),
        "api_key" => draft.header("X-API-Key", secret(vault, value)),
        "basic" => {
            draft.header("Authorization", format!("Basic {}", secret(vault, value)));
            draft.note("`auth_type: basic`: the variable must hold `user:password` in base64, which LiteLLM made of it");
        }
        "oauth2"
            if text("oauth2_flow") == Some("client_credentials")
                || fields.contains_key("token_url") && !fields.contains_key("authorization_url") =>
        {
            if !draft.credentials("auth_type", "client-credentials") {
                return;
            }
            client(draft, fields, vault);
            copy(draft, fields, "token_url", "token_url");
        }
        "oauth2" => {
            if !draft.credentials("auth_type", "authorization-code") {
                return;
            }
            draft.set("sharing", "per-caller");
            scopes(draft, fields);
            draft.note(
                "`auth_type: oauth2`: each caller connects his own account in a browser, see `credentials`",
            );
            if fields.contains_key("client_id") {
                draft.lose("client_id", "write it into `credentials`, with its `client_secret` and `issuer`");
            }
        }
        "oauth2_token_exchange" => {
            if !draft.credentials("auth_type", "token-exchange") {
                return;
            }
            callers_header(draft);
            client(draft, fields, vault);
            copy(draft, fields, "token_exchange_endpoint", "token_url");
            copy(draft, fields, "audience", "audience");
            copy(draft, fields, "subject_token_type", "subject_token_type");
        }
        "true_passthrough" | "oauth_delegate" => {
            if !draft.credentials("auth_type", "caller-header") {
                return;
            }
            callers_header(draft);
        }
        other => draft.note(format!(
            "`auth_type: {other}` has no counterpart: the server is asked without credentials"
        )),
    }
}

/// Callers bring their own token in a header that reaches nobody else.
fn callers_header(draft: &mut Draft) {
    let header = format!("x-toolgate-{}-token", draft.name);
    draft.note(format!("callers bring their own token in the header `{header}`, not in `Authorization`"));
    draft.set_in("credentials", "header", header);
    draft.set("sharing", "per-caller");
}

fn client(draft: &mut Draft, fields: &Map<String, Value>, vault: &mut Vault) {
    for field in ["client_id", "client_secret"] {
        if let Some(value) = fields.get(field).and_then(Value::as_str) {
            let clean = vault.clean(&draft.name, &field.replace('_', "-"), value);
            draft.set_in("credentials", field, clean);
        }
    }
    scopes(draft, fields);
}

fn scopes(draft: &mut Draft, fields: &Map<String, Value>) {
    let scopes = match fields.get("scopes") {
        Some(Value::String(scopes)) => scopes.split_whitespace().collect(),
        list => texts(list),
    };
    if !scopes.is_empty() {
        draft.set_in("credentials", "scopes", scopes);
    }
}

fn copy(draft: &mut Draft, fields: &Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.get(from).and_then(Value::as_str) {
        let value =
            value.strip_prefix("os.environ/").map_or_else(|| value.to_owned(), |name| format!("${{{name}}}"));
        draft.set_in("credentials", to, value);
    }
}

fn rest(draft: &mut Draft, fields: &Map<String, Value>) {
    for (field, list) in [("allowed_tools", "allow"), ("disallowed_tools", "deny")] {
        let names = texts(fields.get(field));
        if !names.is_empty() {
            draft.set_in("tools", list, names);
        }
    }
    if let Some(seconds) = fields.get("timeout").and_then(Value::as_f64).filter(|seconds| *seconds > 0.0) {
        draft.set_in("timeouts", "call", format!("{:.0}ms", seconds * 1000.0));
    }
    let forwarded = texts(fields.get("extra_headers"));
    if !forwarded.is_empty() {
        draft.lose(
            "extra_headers",
            "headers of callers are not forwarded; one token of theirs is, see `credentials`",
        );
    }
    for field in fields.keys().filter(|field| !READ.contains(&field.as_str())) {
        draft.lose(field, reason(field));
    }
}

fn reason(field: &str) -> &'static str {
    match field {
        "access_groups" | "mcp_access_groups" | "allow_all_keys" | "allowed_params" => {
            "policies say who may see and call which tools"
        }
        "available_on_public_internet" => "policies say who may use it, `listen` who reaches the gateway",
        "authorization_url" | "registration_url" => "the server's metadata names it",
        "description" | "mcp_info" | "instructions" => "write it as a comment",
        _ => "Toolgate has no such field",
    }
}
