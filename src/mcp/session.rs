//! Sessions of streamable HTTP that begin anew without a word.
//!
//! A server that was restarted knows its sessions no more. rmcp then starts another one and sends the request again,
//! and tells nobody; but the server may have other tools now.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::BoxStream;
use http::{HeaderName, HeaderValue};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, JsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use rmcp_sse_stream::Sse;
use tokio::sync::Notify;

/// An HTTP client that gives notice when a session is begun once more.
#[derive(Debug, Clone)]
pub(super) struct WatchesSessions<C> {
    inner: C,
    has_begun: Arc<AtomicBool>,
    anew: Arc<Notify>,
}

impl<C> WatchesSessions<C> {
    /// `anew` is notified after each `initialize` but the first.
    pub(super) fn new(inner: C, anew: Arc<Notify>) -> Self {
        Self { inner, has_begun: Arc::default(), anew }
    }

    fn noted<T, E>(&self, begins: bool, response: Result<T, E>) -> Result<T, E> {
        if begins && response.is_ok() && self.has_begun.swap(true, Ordering::Relaxed) {
            self.anew.notify_one();
        }
        response
    }
}

fn begins_session(message: &ClientJsonRpcMessage) -> bool {
    let JsonRpcMessage::Request(request) = message else { return false };
    matches!(request.request, ClientRequest::InitializeRequest(_))
}

impl<C: StreamableHttpClient + Sync> StreamableHttpClient for WatchesSessions<C> {
    type Error = C::Error;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<C::Error>> {
        let begins = begins_session(&message);
        let response = self.inner.post_message(uri, message, session_id, auth_header, custom_headers).await;
        self.noted(begins, response)
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<StreamableHttpPostResponse, StreamableHttpError<C::Error>> {
        let begins = begins_session(&message);
        let posting = self.inner.post_message_with_max_sse_event_size(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            max,
        );
        self.noted(begins, posting.await)
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), StreamableHttpError<C::Error>> {
        self.inner.delete_session(uri, session_id, auth_header, custom_headers).await
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<C::Error>> {
        self.inner.get_stream(uri, session_id, last_event_id, auth_header, custom_headers).await
    }

    async fn get_stream_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        max: usize,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, StreamableHttpError<C::Error>> {
        let getting = self.inner.get_stream_with_max_sse_event_size(
            uri,
            session_id,
            last_event_id,
            auth_header,
            custom_headers,
            max,
        );
        getting.await
    }
}
