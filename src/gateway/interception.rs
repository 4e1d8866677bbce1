//! One interception, from its first byte to its last.

use std::sync::Arc;

use axum::body::Body;

use super::admission::{Admission, Incoming};
use super::answer::{Answer, AnswerHead};
use super::line::{Interruption, Line};
use super::relay::relay;
use super::rounds::Rounds;
use super::stopwatch::Stopwatch;
use super::{Gateway, Reply, answer, missing};
use crate::audit::{AuditUnavailable, InterceptionEnd, InterceptionStart, Outcome, Role};
use crate::domain::{Failure, FailureKind, InterceptionId, Trace};

impl Gateway {
    /// Serves one request in a task of its own, which ends its records whatever happens to the client.
    pub fn intercept(self: &Arc<Self>, incoming: Incoming, body: Body) -> Reply {
        let (answer, reply) = answer();
        let gateway = Arc::clone(self);
        self.tasks.spawn(async move { gateway.phases(incoming, body, answer).await });
        reply
    }

    /// The phases of an interception.
    async fn phases(&self, incoming: Incoming, body: Body, mut answer: Answer) {
        let id = InterceptionId::new();
        answer.own_header("x-toolgate-interception", &id.to_string());
        if let Err(error) = self.audit.ready() {
            return refuse(&mut answer, &incoming, &unrecorded(error)).await;
        }
        let place = self.places.try_acquire();
        let mut watch = Stopwatch::new(incoming.began);
        let admission = match &place {
            Ok(_) => tokio::select! {
                admission = self.admit(id, &incoming, body, &mut watch) => admission,
                // One that nobody waits for must not take the place of another that comes after it.
                () = answer.gone() => Admission::refused(gone()),
                () = self.closing.cancelled() => Admission::refused(closing()),
            },
            Err(_) => Admission::refused(Failure::new(
                FailureKind::TooMany,
                "too many requests at once (limits.max_interceptions)",
            )),
        };
        answer.own_header("x-toolgate-injection", admission.injection.word);
        let start = InterceptionStart { policy: self.policy.version(), ..start(id, &incoming, &admission) };
        let mut trail = match self.audit.begin(start).await {
            Ok(trail) => trail,
            Err(error) => return refuse(&mut answer, &incoming, &unrecorded(error)).await,
        };
        for instructions in admission.brought.system {
            trail.prompt(Role::System, instructions);
        }
        if let Some(prompt) = admission.brought.prompt {
            trail.prompt(Role::User, prompt);
        }

        let admitted = match admission.request {
            Ok(admitted) => admitted,
            Err(failure) => {
                let outcome = if answer.is_gone() { Outcome::Cancelled } else { Outcome::Refused };
                refuse(&mut answer, &incoming, &failure).await;
                return trail.end(refused(&failure, outcome, watch));
            }
        };
        if let Some(missing) = self.missing_servers(&incoming, &admitted) {
            answer.own_header(missing::HEADER, &missing);
        }
        let delivery = admitted.request.delivery;
        // No call has to wait for these texts.
        trail.flush_if_room();
        let line = Line::new(answer, watch, &self.limits, delivery, self.closing.child_token());
        let end = if incoming.operation.generates {
            let mut rounds = Rounds::new(self, &incoming, admitted, admission.injection, line, trail);
            let end = rounds.run().await;
            trail = rounds.into_trail();
            end
        } else {
            relay(self, &incoming, admitted.provider, &admitted.request, line, &mut trail).await
        };
        trail.end(end);
    }
}

/// What the records say of an interception when it begins.
fn start(id: InterceptionId, incoming: &Incoming, admission: &Admission<'_>) -> InterceptionStart {
    let admitted = admission.request.as_ref();
    let hosted = admitted.map(|admitted| admitted.request.tools.hosted.clone());
    let notes = admitted.map(|admitted| admitted.notes.clone());
    InterceptionStart {
        provider: admission.provider.clone(),
        model: admission.model.clone(),
        client: incoming.client.name.clone(),
        client_version: incoming.client.version.clone(),
        client_session: incoming.client.session.clone(),
        trace: Some(Trace::of_request(&incoming.headers, id).to_string()),
        agent: incoming.client.agent.clone(),
        parent_agent: incoming.client.parent_agent.clone(),
        request_id: incoming.client.request_id.clone(),
        began: incoming.began,
        place: admission.place,
        follows: admission.follows.clone(),
        injection: admission.injection.word,
        left_out: admission.injection.left_out.clone(),
        hosted: hosted.unwrap_or_default(),
        continuity: notes.unwrap_or_default(),
        repeats: admitted.ok().and_then(|admitted| admitted.past.repeats()),
        ..InterceptionStart::new(id, Arc::clone(&incoming.caller), incoming.operation.dialect.name())
    }
}

/// Answers with the gateway's own error, in the shape of the caller's dialect.
async fn refuse(answer: &mut Answer, incoming: &Incoming, failure: &Failure) {
    tracing::info!(status = failure.kind.status(), reason = %failure, detail = failure.detail, "refused");
    answer.set_head(AnswerHead::of_failure(failure, !failure.kind.is_retryable()));
    let body = incoming.operation.dialect.error(failure);
    // A client that has gone needs no answer.
    let _ = answer.send(body.into()).await;
}

fn unrecorded(error: AuditUnavailable) -> Failure {
    Failure::new(FailureKind::Unavailable, "the audit cannot record now").with_detail(error)
}

fn gone() -> Failure {
    Failure::new(FailureKind::BadRequest, Interruption::ClientGone.to_string())
}

fn closing() -> Failure {
    Failure::new(FailureKind::Unavailable, "the gateway is shutting down")
}

/// The client had its answer at once.
fn refused(failure: &Failure, outcome: Outcome, mut watch: Stopwatch) -> InterceptionEnd {
    if outcome != Outcome::Cancelled {
        watch.note_sent();
    }
    InterceptionEnd {
        outcome,
        status: Some(failure.kind.status()),
        error: Some(failure.recorded()),
        stop_reason: None,
        times: watch.times(),
    }
}
