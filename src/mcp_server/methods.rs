//! What there is to ask for, in either era.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use rmcp::ErrorData;
use rmcp::model::ErrorCode;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::message::{self, Request, method_not_found};
use super::reply::Reply;
use super::session::Session;
use super::{Endpoint, McpServer, era, pass, tools, translate};
use crate::domain::Behalf;
use crate::gateway::Gateway;
use crate::identity;
use crate::mcp::Introduction;

/// An extension that the gateway does not take part in, and so declares to nobody.
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// One request and all that its answer needs.
pub(super) struct Asked {
    pub(super) server: Arc<McpServer>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) endpoint: Endpoint,
    pub(super) behalf: Behalf,
    pub(super) request: Request,
    pub(super) client: Client,
    pub(super) reply: Reply,
    /// Cancelled when the answer is not wanted any more.
    pub(super) cancel: CancellationToken,
}

/// Who asks, as its protocol tells.
pub(super) enum Client {
    /// 2026-07-28: each request says what the client can do.
    Stateless { program: Program, capabilities: Value },
    /// An older protocol: it said so at the beginning.
    Session(Arc<Session>),
}

impl Client {
    pub(super) fn stateless(request: &Request, headers: &HeaderMap) -> Self {
        let said = request.meta.get(era::CLIENT_INFO);
        let capabilities = request.meta.get(era::CLIENT_CAPABILITIES).cloned().unwrap_or_else(|| json!({}));
        Self::Stateless { program: Program::said(said, headers), capabilities: declared(capabilities) }
    }

    pub(super) fn program(&self) -> &Program {
        match self {
            Self::Stateless { program, .. } => program,
            Self::Session(session) => &session.program,
        }
    }

    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Stateless { .. })
    }

    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Stateless { .. } => None,
        }
    }
}

/// The program that asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) name: String,
    pub(super) version: Option<String>,
}

impl Program {
    /// As the client names itself, or its headers do.
    pub(super) fn said(info: Option<&Value>, headers: &HeaderMap) -> Self {
        let word = |key: &str| info?[key].as_str().map(|word| word.chars().take(64).collect::<String>());
        let word = |key: &str| word(key).filter(|word| !word.is_empty());
        if let Some(name) = word("name") { Self { name, version: word("version") } } else {
            let identity::Client { name, version, .. } = identity::Client::from_headers(headers);
            Self { name, version }
        }
    }
}

/// What a client can do, as far as it goes through this gateway.
pub(super) fn declared(mut capabilities: Value) -> Value {
    if let Some(capabilities) = capabilities.as_object_mut() {
        capabilities.remove("tasks");
        if let Some(extensions) = capabilities.get_mut("extensions").and_then(Value::as_object_mut) {
            extensions.remove(TASKS);
        }
    }
    capabilities
}

impl Asked {
    /// Answers the request.
    pub(super) async fn run(self) {
        let is_modern = self.client.is_modern();
        let id = &self.request.id;
        let answer = self.answer().await;
        let answer = answer.and_then(|result| translate::result(&self.request.method, result, is_modern));
        match answer {
            Ok(result) => self.reply.end(StatusCode::OK, message::result(id, result)).await,
            Err(error) => {
                let error = translate::error(error, is_modern);
                let status = if is_modern { status(&error) } else { StatusCode::OK };
                self.reply.end(status, message::error(Some(id), &error)).await;
            }
        }
    }

    async fn answer(&self) -> Result<Value, ErrorData> {
        match (self.request.method.as_str(), self.client.is_modern()) {
            ("tools/list", _) => {
                if self.endpoint == Endpoint::All {
                    let may_know = |server: &str| self.gateway.shows(&self.behalf.caller, server);
                    self.gateway.fleet.first_listing(&self.behalf, may_know).await;
                }
                let cursor = self.request.params.get("cursor");
                tools::list(&self.gateway, &self.behalf.caller, &self.endpoint, cursor)
            }
            ("tools/call", _) => self.call().await,
            ("server/discover", true) => Ok(self.discover().await),
            ("subscriptions/listen", true) => self.listen().await,
            ("ping", false) => Ok(json!({})),
            (method, _) => match &self.endpoint {
                Endpoint::Server(server) => {
                    let passed = match self.subject(server) {
                        Some(subject) => self.pass_on_record(server, subject).await,
                        None => self.pass(server).await,
                    };
                    passed.map_err(pass::in_words)
                }
                Endpoint::All => Err(method_not_found(method)),
            },
        }
    }

    async fn discover(&self) -> Value {
        let introduction = match &self.endpoint {
            Endpoint::Server(server) => self.gateway.fleet.introduction(server, &self.behalf).await,
            Endpoint::All => None,
        };
        let mut result = json!({
            "supportedVersions": [era::MODERN],
            "capabilities": capabilities(introduction.as_ref(), Through::Request),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": { era::SERVER_INFO: server_info(&self.endpoint) },
        });
        if let Some(instructions) = introduction.and_then(|introduction| introduction.instructions) {
            result["instructions"] = instructions.into();
        }
        result
    }
}

fn status(error: &ErrorData) -> StatusCode {
    match error.code {
        ErrorCode::METHOD_NOT_FOUND => StatusCode::NOT_FOUND,
        ErrorCode::HEADER_MISMATCH
        | ErrorCode::UNSUPPORTED_PROTOCOL_VERSION
        | ErrorCode::MISSING_REQUIRED_CLIENT_CAPABILITY => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

/// Through what a client reaches a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// A stateless request.
    Request,
    /// A session, over a connection that others share.
    SharedConnection,
    /// A session, over a connection of its own.
    OwnConnection,
}

/// What the endpoint declares: tools, and of what the server behind declares all that goes through.
pub(super) fn capabilities(introduction: Option<&Introduction>, through: Through) -> Value {
    let mut declared = Map::new();
    declared.insert("tools".into(), json!({ "listChanged": true }));
    let Some(introduction) = introduction else { return declared.into() };
    let theirs = |name: &str| introduction.capabilities.get(name).cloned();
    for name in ["prompts", "completions"] {
        declared.extend(theirs(name).map(|capability| (name.to_owned(), capability)));
    }
    if let Some(mut resources) = theirs("resources") {
        let subscribes = match through {
            Through::Request => introduction.is_modern,
            // Subscriptions belong to a connection, and that one is not theirs.
            Through::SharedConnection => false,
            Through::OwnConnection => !introduction.is_modern,
        };
        if let (false, Some(resources)) = (subscribes, resources.as_object_mut()) {
            resources.remove("subscribe");
        }
        declared.insert("resources".into(), resources);
    }
    // Messages do not say to whose request they belong: over a connection that others share they go to nobody.
    let logs = through == Through::OwnConnection && !introduction.is_modern;
    declared.extend(theirs("logging").filter(|_| logs).map(|logging| ("logging".to_owned(), logging)));
    declared.into()
}

/// Who answers.
pub(super) fn server_info(endpoint: &Endpoint) -> Value {
    let title = match endpoint {
        Endpoint::All => "Toolgate".to_owned(),
        Endpoint::Server(name) => format!("Toolgate: {name}"),
    };
    json!({ "name": env!("CARGO_PKG_NAME"), "title": title, "version": env!("CARGO_PKG_VERSION") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn introduced(is_modern: bool) -> Introduction {
        let Value::Object(capabilities) = json!({
            "tools": {"listChanged": true},
            "prompts": {"listChanged": true},
            "resources": {"subscribe": true, "listChanged": true},
            "completions": {},
            "logging": {},
            "tasks": {},
            "experimental": {"x": {}}
        }) else {
            unreachable!()
        };
        Introduction { capabilities, instructions: None, is_modern }
    }

    #[test]
    fn only_what_goes_through_is_declared() {
        let names = |through, is_modern| -> Vec<String> {
            let declared = capabilities(Some(&introduced(is_modern)), through);
            let mut names: Vec<String> = declared.as_object().unwrap().keys().cloned().collect();
            if declared["resources"]["subscribe"] == true {
                names.push("subscribe".into());
            }
            names
        };
        let always = ["tools", "prompts", "completions", "resources"];
        let all = [&always[..], &["logging", "subscribe"]].concat();
        assert_eq!(names(Through::SharedConnection, false), always);
        assert_eq!(names(Through::SharedConnection, true), always);
        assert_eq!(names(Through::OwnConnection, false), all);
        assert_eq!(names(Through::OwnConnection, true), always);
        assert_eq!(names(Through::Request, true), [&always[..], &["subscribe"]].concat());
        assert_eq!(names(Through::Request, false), always);
        assert_eq!(capabilities(None, Through::Request), json!({"tools": {"listChanged": true}}));
    }

    #[test]
    fn nobody_learns_that_a_client_can_wait_for_tasks() {
        let can = json!({"sampling": {}, "tasks": {}, "extensions": {TASKS: {}, "vendor/x": {}}});
        assert_eq!(declared(can), json!({"sampling": {}, "extensions": {"vendor/x": {}}}));
    }
}
