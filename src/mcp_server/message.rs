//! JSON-RPC as MCP uses it, read and written without a loss.

use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};

/// One message of a client.
#[derive(Debug)]
pub(super) enum Message {
    Request(Request),
    Notification(Notification),
    /// To a question of the server's.
    Response {
        id: Value,
        answer: Result<Value, ErrorData>,
    },
}

/// Something that wants an answer.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// A string or a number.
    pub(super) id: Value,
    pub(super) method: String,
    /// Without `_meta`.
    pub(super) params: Map<String, Value>,
    pub(super) meta: Map<String, Value>,
}

/// Something that wants none.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
}

impl Message {
    /// Reads a body; the error comes with the id that it answers, if that could be read.
    pub(super) fn read(body: &[u8]) -> Result<Self, (Option<Value>, ErrorData)> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| (None, ErrorData::parse_error(format!("Parse error: {error}"), None)))?;
        let invalid = |id, message: &'static str| (id, ErrorData::invalid_request(message, None));
        let Value::Object(mut message) = value else {
            return Err(invalid(
                None,
                "Invalid Request: expected one JSON-RPC message, batches are not supported",
            ));
        };
        let id = message.remove("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64());
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return Err(invalid(id, "Invalid Request: expected jsonrpc 2.0"));
        }
        let method = match message.remove("method") {
            Some(Value::String(method)) => method,
            Some(_) => return Err(invalid(id, "Invalid Request: the method must be a string")),
            None => return Self::response(id, &mut message),
        };
        let params = match message.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => return Err((id, ErrorData::invalid_params("the params must be an object", None))),
        };
        match id {
            Some(id) => Request::new(id, method, params).map(Self::Request),
            None => Ok(Self::Notification(Notification { method, params })),
        }
    }

    fn response(
        id: Option<Value>,
        message: &mut Map<String, Value>,
    ) -> Result<Self, (Option<Value>, ErrorData)> {
        let Some(id) = id else {
            return Err((None, ErrorData::invalid_request("Invalid Request: no method and no id", None)));
        };
        let answer = match (message.remove("result"), message.remove("error")) {
            (Some(result), None) => Ok(result),
            (None, Some(error)) => Err(serde_json::from_value(error)
                .unwrap_or_else(|_| ErrorData::internal_error("the client answered with an error", None))),
            _ => {
                let message = "Invalid Request: expected a method, a result or an error";
                return Err((Some(id), ErrorData::invalid_request(message, None)));
            }
        };
        Ok(Self::Response { id, answer })
    }
}

impl Request {
    fn new(
        id: Value,
        method: String,
        mut params: Map<String, Value>,
    ) -> Result<Self, (Option<Value>, ErrorData)> {
        let meta = match params.remove("_meta") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(meta)) => meta,
            Some(_) => return Err((Some(id), ErrorData::invalid_params("_meta must be an object", None))),
        };
        Ok(Self { id, method, params, meta })
    }

    /// A parameter that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

pub(super) fn result(id: &Value, result: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": result })
}

pub(super) fn error(id: Option<&Value>, error: &ErrorData) -> Value {
    let mut message = json!({ "jsonrpc": "2.0", "error": error });
    if let Some(id) = id {
        message["id"] = id.clone();
    }
    message
}

pub(super) fn notification(method: &str, params: Value) -> Value {
    match params {
        Value::Null => json!({ "jsonrpc": "2.0", "method": method }),
        params => json!({ "jsonrpc": "2.0", "method": method, "params": params }),
    }
}

pub(super) fn request(id: i64, method: &str, params: &Value) -> Value {
    match params {
        Value::Null => json!({ "jsonrpc": "2.0", "id": id, "method": method }),
        params => json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }),
    }
}

pub(super) fn method_not_found(method: &str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("Method not found: {method}"), None)
}
