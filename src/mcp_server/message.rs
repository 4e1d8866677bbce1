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

/// Why a body is no message, and to which id that is the answer, if it could be read.
#[derive(Debug)]
pub(super) struct Unreadable {
    pub(super) id: Option<Value>,
    pub(super) error: ErrorData,
}

type Read<T> = Result<T, Box<Unreadable>>;

fn unreadable<T>(id: Option<Value>, error: ErrorData) -> Read<T> {
    Err(Box::new(Unreadable { id, error }))
}

fn invalid<T>(id: Option<Value>, message: &'static str) -> Read<T> {
    unreadable(id, ErrorData::invalid_request(message, None))
}

impl Message {
    /// Reads a body.
    pub(super) fn read(body: &[u8]) -> Read<Self> {
        let value: Value = match serde_json::from_slice(body) {
            Ok(value) => value,
            Err(error) => {
                return unreadable(None, ErrorData::parse_error(format!("Parse error: {error}"), None));
            }
        };
        let Value::Object(mut message) = value else {
            return invalid(
                None,
                "Invalid Request: expected one JSON-RPC message, batches are not supported",
            );
        };
        let id = match message.remove("id") {
            Some(id) if !(id.is_string() || id.is_i64() || id.is_u64()) => {
                return invalid(None, "Invalid Request: the id must be a string or an integer");
            }
            id => id,
        };
        if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
            return invalid(id, "Invalid Request: expected jsonrpc 2.0");
        }
        let method = match message.remove("method") {
            Some(Value::String(method)) => method,
            Some(_) => return invalid(id, "Invalid Request: the method must be a string"),
            None => return Self::response(id, &mut message),
        };
        let params = match message.remove("params") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(params)) => params,
            Some(_) => {
                return unreadable(id, ErrorData::invalid_params("the params must be an object", None));
            }
        };
        match id {
            Some(id) => Request::new(id, method, params).map(Self::Request),
            None => Ok(Self::Notification(Notification { method, params })),
        }
    }

    fn response(id: Option<Value>, message: &mut Map<String, Value>) -> Read<Self> {
        let Some(id) = id else { return invalid(None, "Invalid Request: no method and no id") };
        let answer = match (message.remove("result"), message.remove("error")) {
            (Some(result), None) => Ok(result),
            (None, Some(error)) => Err(serde_json::from_value(error)
                .unwrap_or_else(|_| ErrorData::internal_error("the client answered with an error", None))),
            _ => return invalid(Some(id), "Invalid Request: expected a method, a result or an error"),
        };
        Ok(Self::Response { id, answer })
    }
}

impl Request {
    fn new(id: Value, method: String, mut params: Map<String, Value>) -> Read<Self> {
        let meta = match params.remove("_meta") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(meta)) => meta,
            Some(_) => {
                return unreadable(Some(id), ErrorData::invalid_params("_meta must be an object", None));
            }
        };
        Ok(Self { id, method, params, meta })
    }

    /// A parameter that is a text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.params.get(name).and_then(Value::as_str)
    }
}

pub(super) fn result(id: &Value, result: Value) -> Value {
    message([("id", id.clone()), ("result", result)])
}

pub(super) fn error(id: Option<&Value>, error: &ErrorData) -> Value {
    let id = id.map(|id| ("id", id.clone()));
    message(id.into_iter().chain([("error", json!(error))]))
}

pub(super) fn notification(method: &str, params: Value) -> Value {
    let params = (!params.is_null()).then_some(("params", params));
    message([("method", method.into())].into_iter().chain(params))
}

pub(super) fn request(id: i64, method: &str, params: Value) -> Value {
    let params = (!params.is_null()).then_some(("params", params));
    message([("id", id.into()), ("method", method.into())].into_iter().chain(params))
}

fn message<'a>(fields: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
    [("jsonrpc".to_owned(), json!("2.0"))].into_iter().chain(fields).collect::<Map<_, _>>().into()
}

pub(super) fn method_not_found(method: &str) -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, format!("Method not found: {method}"), None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_and_lose_nothing() {
        let body = br#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":[1],"_meta":{"progressToken":7}},"y":0}"#;
        let Ok(Message::Request(request)) = Message::read(body) else { panic!("not a request") };
        assert_eq!((&request.id, request.method.as_str()), (&json!("a"), "m"));
        assert_eq!(Value::Object(request.params), json!({"x": [1]}));
        assert_eq!(request.meta["progressToken"], 7);
        let notification = br#"{"jsonrpc":"2.0","method":"n"}"#;
        assert!(matches!(Message::read(notification), Ok(Message::Notification(it)) if it.method == "n"));
        let answer = br#"{"jsonrpc":"2.0","id":3,"result":{}}"#;
        assert!(matches!(Message::read(answer), Ok(Message::Response { answer: Ok(_), .. })));
        let refusal = br#"{"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"no"}}"#;
        assert!(
            matches!(Message::read(refusal), Ok(Message::Response { answer: Err(error), .. }) if error.code.0 == -1)
        );
    }

    #[test]
    fn what_is_no_message_is_answered_under_its_id_where_it_has_one() {
        for (body, code, id) in [
            ("{", -32700, None),
            ("[]", -32600, None),
            (r#"{"id":1,"method":"m"}"#, -32600, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"method":2}"#, -32600, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, -32602, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":1}}"#, -32602, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":1,"result":1,"error":1}"#, -32600, Some(json!(1))),
            (r#"{"jsonrpc":"2.0","id":null,"result":1}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, -32600, None),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, -32600, None),
        ] {
            let unreadable = Message::read(body.as_bytes()).unwrap_err();
            assert_eq!((unreadable.error.code.0, unreadable.id), (code, id), "{body}");
        }
    }

    #[test]
    fn what_is_written_has_what_it_needs_and_no_more() {
        assert_eq!(result(&json!(1), json!({})), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
        assert_eq!(notification("n", Value::Null), json!({"jsonrpc": "2.0", "method": "n"}));
        assert_eq!(
            request(2, "q", json!({})),
            json!({"jsonrpc": "2.0", "id": 2, "method": "q", "params": {}})
        );
        let refused = error(None, &method_not_found("m"));
        assert_eq!(refused["error"]["code"], -32601);
        assert!(refused.get("id").is_none());
    }
}
