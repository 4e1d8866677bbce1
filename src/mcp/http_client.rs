//! The HTTP client under rmcp's streamable HTTP transport, with what rmcp 3.9.0 leaves to its caller.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use http::{HeaderMap, HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, JsonRpcMessage, RequestId, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use rmcp_sse_stream::Sse;
use secrecy::{ExposeSecret as _, SecretString};

/// Every error of this transport.
pub(super) type HttpError = StreamableHttpError<reqwest::Error>;

type SseStream = BoxStream<'static, Result<Sse, SseError>>;

/// A client for one server: its static headers go with every request, redirects are not followed.
#[derive(Debug, Clone)]
pub(super) struct HttpClient(reqwest::Client);

impl HttpClient {
    /// Builds the client; the error names the header that is at fault, never a value.
    pub(super) fn new(
        headers: &BTreeMap<String, SecretString>,
        connect_timeout: Duration,
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
        reqwest::Client::builder()
            .default_headers(map)
            .connect_timeout(connect_timeout)
            // A redirect would carry the credentials and the arguments to another place.
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(30))
            .user_agent(concat!("toolgate/", env!("CARGO_PKG_VERSION")))
            .build()
            .map(Self)
            .map_err(|error| format!("the HTTP client cannot be made: {}", cause(&error)))
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
        let response = self.0.post_message(uri, message, session_id, auth_header, custom_headers).await;
        correlate(request, had_session, response.map_err(without_url)?)
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
        let response = self
            .0
            .post_message_with_max_sse_event_size(
                uri,
                message.clone(),
                session_id,
                auth_header,
                custom_headers,
                max,
            )
            .await;
        correlate(request, had_session, response.map_err(without_url)?)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), HttpError> {
        self.0.delete_session(uri, session_id, auth_header, custom_headers).await.map_err(without_url)
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<SseStream, HttpError> {
        self.0
            .get_stream(uri, session_id, last_event_id, auth_header, custom_headers)
            .await
            .map_err(without_url)
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
        self.0
            .get_stream_with_max_sse_event_size(
                uri,
                session_id,
                last_event_id,
                auth_header,
                custom_headers,
                max,
            )
            .await
            .map_err(without_url)
    }
}
