//! How a request goes on with its conversation: what earlier answers hid is put back, and what this answer will
//! hide has its place.

use super::Gateway;
use super::admission::{Incoming, unreadable};
use super::continuity::{OpenAnswer, Scope, Told};
use super::injection::Injection;
use super::stopwatch::{On, Stopwatch};
use crate::audit::Follows;
use crate::dialect::{History, Request};
use crate::domain::{Digest, Failure};
use crate::provider::Provider;

/// A request's place in its conversation.
#[derive(Debug)]
pub struct Resumption {
    /// What the answer adds.
    pub answer: OpenAnswer,
    /// What the records find the last answer before it by.
    pub follows: Follows,
    /// What is asked, apart from how the answer is delivered.
    pub asked: Digest,
    /// Whether, if the same was asked before, it was by the same client, which does not ask twice on purpose.
    pub is_repeat: bool,
    /// What became of earlier turns, in words for the records.
    pub notes: Vec<String>,
}

/// The header in which official SDKs count their tries.
const RETRIES: &str = "x-stainless-retry-count";

impl Gateway {
    /// Puts back what earlier answers hid from this client, into a request that has been read.
    pub(super) async fn resume(
        &self,
        incoming: &Incoming,
        provider: &Provider,
        request: &mut Request,
        history: &History,
        injection: &Injection,
        watch: &mut Stopwatch,
    ) -> Result<Resumption, Failure> {
        let dialect = incoming.operation.dialect;
        let scope =
            Scope::new(dialect.name(), &incoming.caller, &incoming.client, history.end_user.as_deref());
        let is_same_client = incoming.client.session.is_some();
        let told = Told {
            scope,
            dialect,
            history,
            tool_set: injection.digest(),
            provider: &provider.name,
            is_same_client,
        };
        let ends = self.journals.ends();
        let mut plan = self.continuity.plan(&told, request).await.map_err(unreadable)?;
        // Who goes on from an answer that nobody knows may have seen one that still runs.
        if incoming.operation.generates
            && let Some(place) = plan.unknown_end()
            && watch.count(On::Provider, self.journals.left(place, is_same_client, ends)).await
        {
            plan = self.continuity.plan(&told, request).await.map_err(unreadable)?;
        }
        plan.apply(dialect, request, history);
        let asked = Digest::of_parts(&[
            incoming.operation.path.as_bytes(),
            provider.name.as_bytes(),
            &request.fingerprint().0,
        ]);
        let answer = plan.answer(scope, history);
        let last = history.turns.iter().rfind(|turn| !turn.is_last);
        let follows = Follows {
            place: last.map(|turn| scope.after(turn.before)),
            echo: last.and_then(|turn| scope.echo(turn.before, &turn.visible)),
            ..Follows::default()
        };
        let is_repeat = is_same_client || is_retry(incoming);
        Ok(Resumption { answer, follows, asked, is_repeat, notes: plan.notes })
    }
}

fn is_retry(incoming: &Incoming) -> bool {
    incoming.headers.get(RETRIES).is_some_and(|count| count.as_bytes() != b"0")
}
