//! The HTTP client under rmcp's streamable HTTP transport, with what rmcp 3.9.0 leaves to its caller.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::auth::AuthError;
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use rmcp_sse_stream::Sse;
use secrecy::{ExposeSecret as _, SecretString};

use super::credentials::{Door, Refused, Shown};
use super::result::bounded;

/// Every error of this transport.
pub(super) type HttpError = StreamableHttpError<reqwest::Error>;

type SseStream = BoxStream<'static, Result<Sse, SseError>>;

/// A client for one connection: its static headers go with every request, and so does its credential. Redirects are
/// followed within the server's origin alone: elsewhere they would carry credentials and arguments.
#[derive(Debug, Clone)]
pub(super) struct HttpClient {
    client: reqwest::Client,
    server: Arc<str>,
    door: Door,
}

impl HttpClient {
    /// Builds the client; the error names the header that is at fault, never a value.
    pub(super) fn new(
        server: &str,
        headers: &BTreeMap<String, SecretString>,
        connect_timeout: Duration,
        door: &Door,
    ) -> Result<Self, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let key = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not a header name"))?;
            let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| {
                format!("the value of the header `{name}` holds characters that HTTP does not allow")
            })?;
            value.set_sensitive(true);
            map.insert(key, value);
        }
        let client =
            door.egress.client_for_own_urls().default_headers(map).connect_timeout(connect_timeout).build();
        let client = client.map_err(|error| format!("the HTTP client cannot be made: {}", cause(&error)))?;
        Ok(Self { client, server: server.into(), door: door.clone() })
    }

    /// Asks with the credential; where the server refuses it, once more with another one.
    async fn with_credential<T, A: Future<Output = Result<T, HttpError>> + Send>(
        &self,
        headers: HashMap<HeaderName, HeaderValue>,
        ask: impl Fn(HashMap<HeaderName, HeaderValue>) -> A + Send + Sync,
    ) -> Result<T, HttpError> {
        let with = |shown: &Shown| {
            let mut headers = headers.clone();
            headers.insert(shown.name.clone(), shown.value.clone());
            headers
        };
        let Some(shown) = self.door.proof.show().await.map_err(|reason| self.refused(reason))? else {
            return ask(headers).await.map_err(without_url);
        };
        let answer = ask(with(&shown)).await.map_err(without_url);
        match answer {
            Err(error) if is_unauthorized(&error) => {
                let another = self.door.proof.renew(&shown).await.map_err(|reason| self.refused(reason))?;
                let answer = ask(with(&another)).await.map_err(without_url);
                answer.map_err(|error| if is_unauthorized(&error) { self.refused_again() } else { error })
            }
            answer => answer,
        }
    }

    fn refused_again(&self) -> HttpError {
        let server = &self.server;
        self.refused(Refused::Unauthorized(format!(
            "The server `{server}` refuses a credential that was just renewed."
        )))
    }

    /// In the way in which rmcp carries what is none of its own errors.
    fn refused(&self, refused: Refused) -> HttpError {
        self.door.note(&refused);
        StreamableHttpError::Auth(match refused {
            Refused::Unauthorized(words) => AuthError::AuthorizationFailed(words),
            Refused::Unavailable(words) => AuthError::OAuthError(words),
        })
    }
}

/// Why no credential could be shown, where that is what failed.
pub(super) fn refusal(error: &HttpError) -> Option<Refused> {
    match error {
        StreamableHttpError::Auth(AuthError::AuthorizationFailed(words)) => {
            Some(Refused::Unauthorized(words.clone()))
        }
        StreamableHttpError::Auth(AuthError::OAuthError(words)) => Some(Refused::Unavailable(words.clone())),
        StreamableHttpError::AuthRequired(_) => Some(Refused::Unauthorized(
            "The tool's server asks for a credential, and none is configured for it. Nothing was run.".into(),
        )),
        StreamableHttpError::InsufficientScope(lacking) => {
            let scope = lacking.required_scope.as_deref().map(|scope| bounded(scope, 200));
            let scope = scope.map_or_else(String::new, |scope| format!(" (`{scope}`)"));
            Some(Refused::Unauthorized(format!(
                "The credential does not allow this: the tool's server asks for further rights{scope}. Nothing was run."
            )))
        }
        _ => None,
    }
}

/// With or without the challenge that HTTP asks for.
fn is_unauthorized(error: &HttpError) -> bool {
    match error {
        StreamableHttpError::AuthRequired(_) => true,
        StreamableHttpError::UnexpectedServerResponse(words) => words.starts_with("HTTP 401"),
        StreamableHttpError::Client(error) => error.status() == Some(http::StatusCode::UNAUTHORIZED),
        _ => false,
    }
}

/// The error with what caused it, without the URL, which may hold a credential.
fn cause(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

fn without_url(error: HttpError) -> HttpError {
    match error {
        StreamableHttpError::Client(error) => StreamableHttpError::Client(error.without_url()),
        other => other,
    }
}

/// Ties an error in the body of a response to the request that it answers.
///
/// Servers answer an unknown session with an error that has no id, or an id of their own; rmcp would drop
/// that, and the request would wait for its time-out. Where the server has forgotten the session, rmcp is
/// told so in the way that makes it start a new one and send the request again.
fn correlate(
    request: Option<RequestId>,
    had_session: bool,
    response: StreamableHttpPostResponse,
) -> Result<StreamableHttpPostResponse, HttpError> {
    match (request, response) {
        (Some(id), StreamableHttpPostResponse::Json(JsonRpcMessage::Error(error), session))
            if error.id.as_ref() != Some(&id) =>
        {
            if had_session && error.error.message.to_ascii_lowercase().contains("session") {
                return Err(StreamableHttpError::SessionExpired);
            }
            Ok(StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(error.error, Some(id)), session))
        }
        (_, response) => Ok(response),
    }
}

fn request_id(message: &ClientJsonRpcMessage) -> Option<RequestId> {
    match message {
        JsonRpcMessage::Request(request) => Some(request.id.clone()),
        _ => None,
    }
}

impl StreamableHttpClient for HttpClient {
    type Error = reqwest::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let (request, had_session) = (request_id(&message), session_id.is_some());
        let ask = |headers| {
            let (uri, message, session) = (uri.clone(), message.clone(), session_id.clone());
            self.client.post_message(uri, message, session, auth_header.clone(), headers)
        };
        correlate(request, had_session, self.with_credential(custom_headers, ask).await?)
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<StreamableHttpPostResponse, HttpError> {
        let (request, had_session) = (request_id(&message), session_id.is_some());
        let ask = |headers| {
            let (uri, message, session) = (uri.clone(), message.clone(), session_id.clone());
            let auth = auth_header.clone();
            self.client.post_message_with_max_sse_event_size(uri, message, session, auth, headers, max)
        };
        correlate(request, had_session, self.with_credential(custom_headers, ask).await?)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        let ask = |headers| {
            self.client.delete_session(uri.clone(), session_id.clone(), auth_header.clone(), headers)
        };
        self.with_credential(custom_headers, ask).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<SseStream, HttpError> {
        let ask = |headers| {
            let (uri, session, last) = (uri.clone(), session_id.clone(), last_event_id.clone());
            self.client.get_stream(uri, session, last, auth_header.clone(), headers)
        };
        self.with_credential(custom_headers, ask).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<SseStream, HttpError> {
        let ask = |headers| {
            let (uri, session, last) = (uri.clone(), session_id.clone(), last_event_id.clone());
            self.client.get_stream_with_max_sse_event_size(
                uri,
                session,
                last,
                auth_header.clone(),
                headers,
                max,
            )
        };
        self.with_credential(custom_headers, ask).await
    }
}
