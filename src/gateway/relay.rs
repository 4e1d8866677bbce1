use http::Method;
use tokio::time::timeout;

use super::Gateway;
use super::admission::Incoming;
use super::answer::AnswerHead;
use super::interception::set_failure_head;
use super::line::{Interruption, Line};
use crate::audit::{InterceptionEnd, Outcome};
use crate::dialect::Request;
use crate::domain::{Failure, FailureKind};
use crate::provider::{self, Provider};

/// Passes a request that generates nothing, such as a token count, to the provider and its answer back.
pub async fn relay(
    gateway: &Gateway,
    incoming: &Incoming,
    provider: &Provider,
    request: &Request,
    mut line: Line,
) -> InterceptionEnd {
    let relayed = line.attend(pass(gateway, incoming, provider, request)).await;
    let (outcome, error) = match relayed {
        Err(Interruption::ClientGone) => (Outcome::Cancelled, Some(Interruption::ClientGone.to_string())),
        Err(interruption) => {
            let failure = Failure::new(FailureKind::Unavailable, interruption.to_string());
            fail(&mut line, incoming, failure).await
        }
        Ok(Err(failure)) => fail(&mut line, incoming, failure).await,
        Ok(Ok((head, body))) => {
            let failed = !head.status.is_success();
            line.answer.set_head(head);
            match line.send_last(body.into()).await {
                Err(interruption) => (Outcome::Cancelled, Some(interruption.to_string())),
                Ok(()) if failed => (Outcome::Failed, None),
                Ok(()) => (Outcome::Completed, None),
            }
        }
    };
    let status = line.answer.status().map(|status| status.as_u16());
    InterceptionEnd { outcome, status, error, stop_reason: None }
}

async fn fail(line: &mut Line, incoming: &Incoming, failure: Failure) -> (Outcome, Option<String>) {
    set_failure_head(&mut line.answer, &failure, !failure.kind.is_retryable());
    let body = incoming.operation.dialect.error(&failure);
    let _ = line.send_last(body.as_bytes().into()).await;
    (Outcome::Failed, Some(failure.message))
}

async fn pass(
    gateway: &Gateway,
    incoming: &Incoming,
    provider: &Provider,
    request: &Request,
) -> Result<(AnswerHead, bytes::Bytes), Failure> {
    let headers = provider::request_headers(&incoming.headers);
    let path = incoming.operation.path;
    let sending = provider.send(Method::POST, path, incoming.query.as_deref(), &headers, request.body());
    let exchange = async {
        let response = sending.await?;
        let head =
            AnswerHead { status: response.status(), headers: provider::response_headers(response.headers()) };
        let body = provider.read_body(response, gateway.limits.max_answer_bytes).await?;
        Ok((head, body))
    };
    timeout(gateway.limits.provider_silence, exchange).await.unwrap_or_else(|_| {
        Err(Failure::new(
            FailureKind::UpstreamTimeout,
            format!("the provider {} took too long", provider.name),
        ))
    })
}
