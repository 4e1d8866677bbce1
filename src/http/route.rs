use http::{HeaderMap, Method, header};

use crate::config::ProviderKind;
use crate::dialect::{Chat, Messages, Responses};
use crate::gateway::Operation;

/// What a request's method and path ask for.
#[derive(Debug)]
pub enum Route<'a> {
    /// A request that is read and answered in a dialect.
    Call {
        /// What is asked for.
        operation: Operation,
        /// The provider in the path.
        provider: Option<&'a str>,
    },
    /// The list of a provider's models.
    Models {
        /// The provider in the path.
        provider: Option<&'a str>,
    },
    /// Responses over WebSocket, which there are not.
    WebSocket,
    /// Nothing.
    Unknown,
}

/// The most tools in one request that `OpenAI`'s APIs take.
const OPENAI_TOOLS: usize = 128;

const MESSAGES: Operation = Operation {
    dialect: &Messages,
    kind: ProviderKind::Anthropic,
    path: "/messages",
    max_tools: usize::MAX,
    generates: true,
};
const COUNT_TOKENS: Operation = Operation { path: "/messages/count_tokens", generates: false, ..MESSAGES };
const CHAT: Operation = Operation {
    dialect: &Chat,
    kind: ProviderKind::OpenAi,
    path: "/chat/completions",
    max_tools: OPENAI_TOOLS,
    generates: true,
};
const RESPONSES: Operation = Operation {
    dialect: &Responses,
    kind: ProviderKind::OpenAi,
    path: "/responses",
    max_tools: OPENAI_TOOLS,
    generates: true,
};

/// What providers of this kind are asked for messages with.
pub fn generating(kind: ProviderKind) -> &'static [Operation] {
    match kind {
        ProviderKind::Anthropic => &[MESSAGES],
        ProviderKind::OpenAi => &[CHAT, RESPONSES],
    }
}

/// Finds the route of a request.
pub fn route<'a>(method: &Method, path: &'a str, headers: &HeaderMap) -> Route<'a> {
    let (provider, path) = split(path);
    let operation = match path {
        "/v1/messages" => MESSAGES,
        "/v1/messages/count_tokens" => COUNT_TOKENS,
        "/v1/chat/completions" => CHAT,
        "/v1/responses" => RESPONSES,
        "/v1/models" if *method == Method::GET => return Route::Models { provider },
        _ => return Route::Unknown,
    };
    if *method == Method::POST {
        return Route::Call { operation, provider };
    }
    if operation.path == RESPONSES.path && asks_for_websocket(headers) {
        Route::WebSocket
    } else {
        Route::Unknown
    }
}

/// The provider's name before `/v1`, and the rest.
fn split(path: &str) -> (Option<&str>, &str) {
    if path.starts_with("/v1/") {
        return (None, path);
    }
    match path.strip_prefix('/').and_then(|rest| rest.split_once('/')) {
        Some((provider, _)) if !provider.is_empty() => (Some(provider), &path[1 + provider.len()..]),
        _ => (None, path),
    }
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &Method, path: &str) -> Option<(Option<String>, &'static str)> {
        match route(method, path, &HeaderMap::new()) {
            Route::Call { operation, provider } => Some((provider.map(str::to_owned), operation.path)),
            _ => None,
        }
    }

    #[test]
    fn a_provider_may_stand_before_the_version() {
        assert_eq!(found(&Method::POST, "/v1/messages"), Some((None, "/messages")));
        assert_eq!(found(&Method::POST, "/acme/v1/responses"), Some((Some("acme".into()), "/responses")));
        assert_eq!(
            found(&Method::POST, "/acme/v1/messages/count_tokens"),
            Some((Some("acme".into()), "/messages/count_tokens"))
        );
    }

    #[test]
    fn f51_no_other_method_or_path_reaches_a_provider() {
        for (method, path) in [
            (Method::GET, "/v1/responses/resp_1"),
            (Method::DELETE, "/v1/responses/resp_1"),
            (Method::GET, "/v1/responses"),
            (Method::POST, "/v1/responses/resp_1/cancel"),
            (Method::POST, "/v1/files"),
            (Method::POST, "/a/b/v1/messages"),
            (Method::POST, "//v1/messages"),
            (Method::PUT, "/v1/messages"),
            (Method::POST, "/v1/models"),
        ] {
            assert_eq!(found(&method, path), None, "{method} {path}");
        }
    }
}
