use http::Method;

use super::Gateway;
use super::admission::Incoming;
use super::answer::AnswerHead;
use super::exchange::Exchange;
use super::line::{Interruption, Line};
use super::stopwatch::On;
use crate::audit::{InterceptionEnd, Outcome, TokenUsage, Trail};
use crate::dialect::{Reported, Request};
use crate::domain::{Failure, FailureKind, SpanId, Trace};
use crate::provider::{self, Provider};

/// The only one.
const ROUND: u32 = 1;

/// Passes a request that generates nothing, such as a token count, to the provider and its answer back.
pub async fn relay(
    gateway: &Gateway,
    incoming: &Incoming,
    provider: &Provider,
    request: &Request,
    mut line: Line,
    trail: &mut Trail,
) -> InterceptionEnd {
    let (path, query) = (incoming.operation.path, incoming.query.as_deref());
    let mut headers = provider::request_headers(&incoming.headers);
    let trace = Trace::of_request(&incoming.headers, trail.id());
    if gateway.tells_trace(&trace) {
        trace.put_into_headers(SpanId::of_round(trail.id(), ROUND), &mut headers);
    }
    let passing = provider.relay(Method::POST, path, query, &headers, request.body(), &gateway.limits);
    let mut exchange = Exchange::begin();
    let relayed = line.attend(On::Provider, passing).await;
    let (outcome, error) = match relayed {
        Err(Interruption::ClientGone) => (Outcome::Cancelled, Some(Interruption::ClientGone.to_string())),
        Err(interruption) => {
            let failure = Failure::new(FailureKind::Unavailable, interruption.to_string());
            fail(&mut line, incoming, failure).await
        }
        Ok(Err(failure)) => fail(&mut line, incoming, failure).await,
        Ok(Ok(answer)) => {
            let (http::response::Parts { status, headers, .. }, body) = answer.into_parts();
            exchange.note_head(status, &headers);
            let text = String::from_utf8_lossy(&body).into_owned();
            let error = (!status.is_success()).then(|| exchange.note_error(Reported::of_body(&text)));
            trail.tokens(TokenUsage { text, ..exchange.told(ROUND) });
            line.answer.set_head(AnswerHead { status, headers });
            match (line.send_last(body.into()).await, error) {
                (Err(interruption), _) => (Outcome::Cancelled, Some(interruption.to_string())),
                (Ok(()), Some(error)) => (Outcome::Failed, Some(error)),
                (Ok(()), None) => (Outcome::Completed, None),
            }
        }
    };
    let status = line.answer.status().map(|status| status.as_u16());
    InterceptionEnd { outcome, status, error, stop_reason: None, times: line.watch.times() }
}

async fn fail(line: &mut Line, incoming: &Incoming, failure: Failure) -> (Outcome, Option<String>) {
    line.answer.set_head(AnswerHead::of_failure(&failure, !failure.kind.is_retryable()));
    let body = incoming.operation.dialect.error(&failure);
    let _ = line.send_last(body.as_bytes().into()).await;
    (Outcome::Failed, Some(failure.recorded()))
}
