//! The upstream calls of one interception, and how it ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::BytesMut;
use http::{HeaderMap, Method, header};
use tokio::time::timeout;

use super::Gateway;
use super::admission::{Admitted, Incoming};
use super::answer::AnswerHead;
use super::ending::Stop;
use super::exchange::Exchange;
use super::injection::Injection;
use super::line::Line;
use super::past::Past;
use super::rendering::Rendering;
use super::stopwatch::On;
use crate::audit::{InterceptionEnd, Trail};
use crate::dialect::{Broken, Reported, Request, Round, SpliceSettings, Splicer, UsageStyle};
use crate::domain::{Behalf, CallerHeaders, Failure, FailureKind, SpanId, Trace};
use crate::provider::{self, Provider};

/// The rounds of one interception.
pub struct Rounds<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) incoming: &'a Incoming,
    pub(super) behalf: Behalf,
    pub(super) provider: &'a Provider,
    pub(super) request: Request,
    pub(super) injection: Arc<Injection>,
    pub(super) past: Past<'a>,
    pub(super) line: Line,
    pub(super) trail: Trail,
    /// The upstream call under way.
    pub(super) exchange: Exchange,
    headers: HeaderMap,
    pub(super) settings: SpliceSettings,
    /// Whether the client gets a short line about each call.
    pub(super) shows_lines: bool,
    /// The servers whose tools the client has been told of.
    pub(super) listed: BTreeSet<String>,
    /// The round under way, from 1.
    pub(super) number: u32,
    /// Rounds in which injected calls were run or answered.
    pub(super) with_calls: u32,
    /// Rounds in which a cap kept injected calls from running.
    pub(super) capped: u32,
    /// Injected calls that ran.
    pub(super) calls_run: u32,
    /// How it ended, where the client has been told while calls still run.
    pub(super) told: Option<InterceptionEnd>,
}

impl<'a> Rounds<'a> {
    /// Nothing is sent yet.
    pub fn new(
        gateway: &'a Gateway,
        incoming: &'a Incoming,
        admitted: Admitted<'a>,
        injection: Injection,
        line: Line,
        trail: Trail,
    ) -> Self {
        let Admitted { request, provider, past, conversation, .. } = admitted;
        let behalf = Behalf {
            caller: Arc::clone(&incoming.caller),
            conversation: Some(conversation),
            headers: CallerHeaders::of(&incoming.headers),
            trace: Some(Trace::of_request(&incoming.headers, trail.id()))
                .filter(|trace| gateway.tells_trace(trace)),
        };
        let usage =
            if incoming.client.sizes_context_by_usage() { UsageStyle::LastInput } else { UsageStyle::Sum };
        let settings = gateway.settings(incoming, provider);
        let rendering = Rendering::choose(settings, &incoming.client, incoming.operation.dialect);
        let (max_frame, max_answer) = (gateway.limits.max_frame_bytes, gateway.limits.max_answer_bytes);
        Self {
            gateway,
            incoming,
            behalf,
            provider,
            request,
            injection: Arc::new(injection),
            past,
            line,
            trail,
            exchange: Exchange::begin(),
            headers: provider::request_headers(&incoming.headers),
            settings: SpliceSettings { max_frame, max_answer, usage, form: rendering.form },
            shows_lines: rendering.lines,
            listed: BTreeSet::new(),
            number: 0,
            with_calls: 0,
            capped: 0,
            calls_run: 0,
            told: None,
        }
    }

    /// Gives back the records, to be ended.
    pub fn into_trail(self) -> Trail {
        self.trail
    }

    /// Runs round after round until the message is complete or cannot be completed.
    pub async fn run(&mut self) -> InterceptionEnd {
        match self.all_rounds().await {
            Ok(end) => end,
            Err(stop) => {
                let end = self.stop(stop).await;
                self.keep_broken().await;
                end
            }
        }
    }

    async fn all_rounds(&mut self) -> Result<InterceptionEnd, Stop> {
        loop {
            self.number += 1;
            let round = match self.repeated_round().await? {
                Some(round) => round,
                None => self.new_round().await?,
            };
            self.note_round(&round);
            let verdict = self.answer_calls(&round).await?;
            let kept = self.take_in(&round, &verdict.results());
            self.show(&round, &verdict.answered, &kept).await?;
            let Some(next) = verdict.next else { return Ok(self.finish(&round, verdict.capped).await) };
            self.incoming.operation.dialect.append(&mut self.request, &kept, next);
            self.splice(|splicer, out| {
                splicer.next_round(out);
                Ok(())
            })
            .await?;
        }
    }

    /// A round that the provider answers now.
    async fn new_round(&mut self) -> Result<Arc<Round>, Stop> {
        self.exchange = Exchange::begin();
        match self.round().await {
            Ok(round) => {
                self.record(&round);
                Ok(Arc::new(round))
            }
            Err(stop) => {
                self.record_so_far();
                Err(stop)
            }
        }
    }

    /// One upstream call, from its request to the last byte of its answer.
    async fn round(&mut self) -> Result<Round, Stop> {
        if let Some(trace) = &self.behalf.trace {
            trace.put_into_headers(SpanId::of_round(self.trail.id(), self.number), &mut self.headers);
        }
        let path = self.incoming.operation.path;
        let sending = self.provider.send(
            Method::POST,
            path,
            self.incoming.query.as_deref(),
            &self.headers,
            self.request.body(),
        );
        let silence = self.gateway.limits.provider_silence;
        let response = self.line.attend(On::Provider, timeout(silence, sending)).await?;
        let response = response.map_err(|_| self.too_slow())?.map_err(Stop::Failed)?;
        self.exchange.note_head(response.status(), response.headers());
        if !response.status().is_success() {
            return Err(self.pass_error(response).await);
        }
        self.begin_answer(&response)?;
        self.stream(response).await
    }

    /// Takes over the head of the provider's answer; the first one decides on the splicer.
    fn begin_answer(&mut self, response: &reqwest::Response) -> Result<(), Stop> {
        let headers = provider::response_headers(response.headers());
        let coded = headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
        if coded {
            let message =
                format!("the provider {} compressed its answer although asked not to", self.provider.name);
            return Err(Stop::Failed(Failure::new(FailureKind::Upstream, message)));
        }
        let content_type =
            headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("");
        match &self.line.splicer {
            None => {
                let dialect = self.incoming.operation.dialect;
                self.line.splicer = Some(dialect.splicer(&self.request, content_type, self.settings));
            }
            Some(splicer) if !splicer.takes(content_type) => {
                let (name, number) = (&self.provider.name, self.number);
                let message =
                    format!("the provider {name} answered round {number} in another form: {content_type:?}");
                let failure = Failure::new(FailureKind::Upstream, message).quoting(content_type);
                return Err(Stop::Failed(failure));
            }
            Some(_) => {}
        }
        if let Some(journal) = self.past.journal.as_ref().filter(|_| self.number == 1) {
            journal.set_headers(&headers);
        }
        self.line.answer.set_head(AnswerHead { status: response.status(), headers });
        Ok(())
    }

    /// Splices the provider's answer, piece by piece.
    async fn stream(&mut self, mut response: reqwest::Response) -> Result<Round, Stop> {
        let silence = self.gateway.limits.provider_silence;
        let mut received = 0;
        loop {
            let piece = self.line.attend(On::Provider, timeout(silence, response.chunk())).await?;
            let piece = piece.map_err(|_| self.too_slow())?.map_err(|error| {
                let message = format!("the answer of the provider {} broke off", self.provider.name);
                Stop::Failed(Failure::new(FailureKind::Upstream, message).with_detail(error.without_url()))
            })?;
            let Some(piece) = piece else { break };
            self.exchange.note_piece();
            received += piece.len();
            if received > self.settings.max_answer {
                return Err(self.too_large());
            }
            self.splice(|splicer, out| splicer.feed(&piece, out)).await?;
        }
        self.splice(|splicer, out| splicer.end_round(out)).await
    }

    /// Lets the splicer work, and sends what it wrote also where it failed.
    pub(super) async fn splice<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Splicer, &mut BytesMut) -> Result<T, Broken>,
    ) -> Result<T, Stop> {
        let mut out = BytesMut::new();
        let Some(splicer) = self.line.splicer.as_deref_mut() else {
            return Err(Stop::Failed(Failure::new(FailureKind::Internal, "no answer has begun")));
        };
        let worked = work(splicer, &mut out);
        if matches!(worked, Err(Broken::Reported(_))) {
            out = self.provider.redact_bytes(out.freeze()).into();
            self.note_leaving();
        }
        self.line.send(out).await?;
        worked.map_err(|broken| match broken {
            Broken::Reported(reported) => {
                let text = self.provider.redact(&reported.text);
                Stop::Told(self.exchange.note_error(Reported { text, ..reported }))
            }
            Broken::Malformed(message) => {
                let message = format!("{message} (provider {})", self.provider.name);
                Stop::Failed(Failure::new(FailureKind::Upstream, message))
            }
        })
    }
}
