use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::{HeaderMap, header};
use tokio::time::{Duration, Instant, timeout};

use super::Gateway;
use super::continuity::Scope;
use super::injection::{self, Injection};
use super::past::Past;
use super::pins;
use super::stopwatch::{On, Stopwatch};
use crate::audit::Follows;
use crate::config::ProviderKind;
use crate::dialect::{Brought, Dialect, Request};
use crate::domain::{Caller, Digest, Failure, FailureKind, InterceptionId};
use crate::identity::Client;
use crate::provider::Provider;

/// How long a client may be silent while it sends a body.
const UPLOAD_SILENCE: Duration = Duration::from_secs(30);

/// A request that has come in, of a caller who is known.
pub struct Incoming {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// When the request came.
    pub began: Instant,
    /// With which program.
    pub client: Client,
    /// What is asked for.
    pub operation: Operation,
    /// The provider that the route names; `None` for the default of the dialect.
    pub provider: Option<String>,
    /// As they came.
    pub headers: HeaderMap,
    /// As it came.
    pub query: Option<String>,
}

/// The headers hold the caller's key, which no dump may show.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming")
            .field("caller", &self.caller)
            .field("client", &self.client)
            .field("operation", &self.operation)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The dialect that the request speaks, and its errors too.
    pub dialect: &'static dyn Dialect,
    /// The kind of provider that speaks it.
    pub kind: ProviderKind,
    /// The path after the API's `/v1`.
    pub path: &'static str,
    /// How many tools the API takes in one request; one more, and it refuses the whole request.
    pub max_tools: usize,
    /// Whether the answer is a message of the model's; if not, it is passed on as it is.
    pub generates: bool,
}

/// What is known of a request when it is admitted or refused.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The provider's name; empty where the request did not get so far.
    pub provider: String,
    /// The model, as far as the request got.
    pub model: String,
    /// What it brings for the records.
    pub brought: Brought,
    /// What it goes on from.
    pub follows: Follows,
    /// The place of the answer to come.
    pub place: Option<Digest>,
    /// Whether tools go in.
    pub injection: Injection,
    /// The request, or why it is refused.
    pub request: Result<Admitted<'a>, Failure>,
}

/// A request that may go up.
#[derive(Debug)]
pub struct Admitted<'a> {
    /// As it goes up.
    pub request: Request,
    /// Where it goes.
    pub provider: &'a Provider,
    /// The conversation that it belongs to.
    pub conversation: Digest,
    /// What went before, and what it leaves.
    pub past: Past<'a>,
    /// What became of earlier turns of its conversation, in words for the records.
    pub notes: Vec<String>,
}

impl Admission<'_> {
    /// Of a request that is not even read.
    pub fn refused(failure: Failure) -> Self {
        Self {
            provider: String::new(),
            model: String::new(),
            brought: Brought::default(),
            follows: Follows::default(),
            place: None,
            injection: Injection::refused(),
            request: Err(failure),
        }
    }
}

impl Gateway {
    /// Reads a request and decides whether it may go on, and with which tools.
    pub async fn admit(
        &self,
        id: InterceptionId,
        incoming: &Incoming,
        body: Body,
        watch: &mut Stopwatch,
    ) -> Admission<'_> {
        let mut admission = Admission::refused(Failure::new(FailureKind::Internal, "not read yet"));
        admission.request = self.read(id, incoming, body, watch, &mut admission).await;
        admission
    }

    async fn read<'a>(
        &'a self,
        id: InterceptionId,
        incoming: &Incoming,
        body: Body,
        watch: &mut Stopwatch,
        admission: &mut Admission<'a>,
    ) -> Result<Admitted<'a>, Failure> {
        let provider = self.provider(incoming)?;
        admission.provider.clone_from(&provider.name);
        check_content_type(&incoming.headers)?;
        let reading = read_body(body, &incoming.headers, self.limits.max_body_bytes);
        let body = watch.count(On::Client, reading).await?;
        let mut request = incoming.operation.dialect.read(body)?;
        admission.model.clone_from(&request.model);
        admission.brought = std::mem::take(&mut request.brought);
        admission.follows.call_ids = std::mem::take(&mut admission.brought.results);
        self.check_hosted_tools(&request)?;
        self.resolve_references(incoming, &mut request).await?;
        self.introduce(&incoming.caller, &incoming.headers);
        let history = incoming.operation.dialect.history(&request);
        admission.injection = injection::decide(self, incoming, provider, &request, &history).await;
        let mut resumption =
            self.resume(incoming, provider, &mut request, &history, &admission.injection, watch).await?;
        let tools: Vec<_> =
            admission.injection.tools.iter().map(|tool| Arc::clone(&tool.definition)).collect();
        incoming.operation.dialect.inject(&mut request, &tools);
        let follows = match &request.previous {
            Some(id) => self.issued.follows(&incoming.caller.key, id).await,
            None => std::mem::take(&mut resumption.follows),
        };
        let mut call_ids = std::mem::take(&mut admission.follows.call_ids);
        call_ids.retain(|id| is_telling(id, follows.place.is_some()));
        admission.follows = Follows { call_ids, ..follows };
        // Who asks for a count goes on with the same history.
        admission.place = incoming.operation.generates.then(|| resumption.answer.place());
        let notes = std::mem::take(&mut resumption.notes);
        let may_loop = incoming.operation.generates && admission.injection.is_active();
        let (conversation, past) =
            (pins::conversation(incoming, &history), self.recall(id, resumption, may_loop));
        Ok(Admitted { request, provider, conversation, past, notes })
    }

    fn provider(&self, incoming: &Incoming) -> Result<&Provider, Failure> {
        let Operation { dialect, kind, .. } = incoming.operation;
        let not_found = |message: String| Failure::new(FailureKind::NotFound, message);
        match &incoming.provider {
            None => self.providers.default_of(kind).ok_or_else(|| {
                not_found(format!("no provider is configured that speaks {}", dialect.name()))
            }),
            Some(name) => match self.providers.named(name) {
                None => Err(not_found(format!("there is no provider named {name:?}")).quoting(name)),
                Some(provider) if provider.kind != kind => {
                    Err(not_found(format!("the provider {name:?} does not speak {}", dialect.name())))
                }
                Some(provider) => Ok(provider),
            },
        }
    }

    /// MCP servers that the caller brings would be run by the provider, unseen, under the organisation's key.
    fn check_hosted_tools(&self, request: &Request) -> Result<(), Failure> {
        match request.tools.mcp_servers.first() {
            Some(server) if !self.hosted_tools.caller_mcp_servers => Err(Failure::new(
                FailureKind::Forbidden,
                format!(
                    "the MCP server {server:?} in the request is not allowed: requests may not bring MCP servers \
                     of their own (hosted_tools.caller_mcp_servers)"
                ),
            )
            .quoting(server)),
            _ => Ok(()),
        }
    }

    /// An id of a stored response counts only for the key that it was given to.
    async fn resolve_references(&self, incoming: &Incoming, request: &mut Request) -> Result<(), Failure> {
        for id in request.references.clone() {
            let found = self.issued.find(&incoming.caller.key, &id).await.map_err(unreadable)?;
            let Some(issued) = found else {
                return Err(Failure::new(
                    FailureKind::NotFound,
                    format!("there is no response or item with the id {id:?}"),
                )
                .quoting(&id));
            };
            if request.previous.as_deref() == Some(&id) {
                let dialect = incoming.operation.dialect;
                let place = Scope::of_caller(dialect.name(), &incoming.caller).answer(&id);
                let kept = self.continuity.find(&[place]).await.map_err(unreadable)?;
                // Two that could be meant, by a provider that uses ids again, are none.
                let only = kept.first().filter(|kept| kept.len() == 1).and_then(|kept| kept.first());
                let last = only.and_then(|answer| answer.rounds.last());
                dialect.continue_from(request, &issued, last);
            }
        }
        Ok(())
    }
}

/// The store has failed.
pub fn unreadable(error: sqlx::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, "the store cannot be read now").with_detail(error)
}

/// Whether a conversation may be found by the id of a call. Servers that number their calls give the same ids again and
/// again: there the place tells more.
fn is_telling(id: &str, has_place: bool) -> bool {
    (id.len() >= 8 || !has_place) && !id.contains(char::is_control)
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type == "application/json" || media_type.ends_with("+json") {
        return Ok(());
    }
    let message = format!("the content type {value:?} is not supported: send application/json");
    Err(Failure::new(FailureKind::UnsupportedMediaType, message).quoting(value))
}

async fn read_body(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, Failure> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let message = "compressed request bodies are not supported: leave out content-encoding";
        return Err(Failure::new(FailureKind::UnsupportedMediaType, message));
    }
    let too_large = || {
        Failure::new(
            FailureKind::TooLarge,
            format!("the request body is larger than {limit} bytes (limits.max_body)"),
        )
    };
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    let mut pieces = body.into_data_stream();
    let mut whole =
        BytesMut::with_capacity(declared.and_then(|length| usize::try_from(length).ok()).unwrap_or(0));
    while let Some(piece) = timeout(UPLOAD_SILENCE, pieces.next()).await.map_err(|_| {
        let seconds = UPLOAD_SILENCE.as_secs();
        Failure::new(FailureKind::BadRequest, format!("no more of the request body came for {seconds} s"))
    })? {
        let piece = piece.map_err(|error| {
            Failure::new(FailureKind::BadRequest, "the request body broke off").with_detail(error)
        })?;
        if whole.len() + piece.len() > limit {
            return Err(too_large());
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}
