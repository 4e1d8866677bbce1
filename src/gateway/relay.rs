use http::Method;

use super::Gateway;
use super::admission::Incoming;
use super::answer::AnswerHead;
use super::line::{Interruption, Line};
use crate::audit::{InterceptionEnd, Outcome, Times};
use crate::dialect::Request;
use crate::domain::{Failure, FailureKind};
use crate::provider::Provider;

/// Passes a request that generates nothing, such as a token count, to the provider and its answer back.
pub async fn relay(
    gateway: &Gateway,
    incoming: &Incoming,
    provider: &Provider,
    request: &Request,
    mut line: Line,
) -> InterceptionEnd {
    let (path, query) = (incoming.operation.path, incoming.query.as_deref());
    let passing =
        provider.relay(Method::POST, path, query, &incoming.headers, request.body(), &gateway.limits);
    let relayed = line.attend(passing).await;
    let (outcome, error) = match relayed {
        Err(Interruption::ClientGone) => (Outcome::Cancelled, Some(Interruption::ClientGone.to_string())),
        Err(interruption) => {
            let failure = Failure::new(FailureKind::Unavailable, interruption.to_string());
            fail(&mut line, incoming, failure).await
        }
        Ok(Err(failure)) => fail(&mut line, incoming, failure).await,
        Ok(Ok(answer)) => {
            let (http::response::Parts { status, headers, .. }, body) = answer.into_parts();
            let failed = !status.is_success();
            line.answer.set_head(AnswerHead { status, headers });
            match line.send_last(body.into()).await {
                Err(interruption) => (Outcome::Cancelled, Some(interruption.to_string())),
                Ok(()) if failed => (Outcome::Failed, None),
                Ok(()) => (Outcome::Completed, None),
            }
        }
    };
    let status = line.answer.status().map(|status| status.as_u16());
    InterceptionEnd { outcome, status, error, stop_reason: None, times: Times::default() }
}

async fn fail(line: &mut Line, incoming: &Incoming, failure: Failure) -> (Outcome, Option<String>) {
    line.answer.set_head(AnswerHead::of_failure(&failure, !failure.kind.is_retryable()));
    let body = incoming.operation.dialect.error(&failure);
    let _ = line.send_last(body.as_bytes().into()).await;
    (Outcome::Failed, Some(failure.message))
}
