//! How a request goes on with its conversation: what earlier answers hid is put back, and what this answer will
//! hide has its place.

use super::Gateway;
use super::admission::{Incoming, unreadable};
use super::continuity::{OpenAnswer, Scope};
use super::injection::Injection;
use crate::dialect::{History, Request};
use crate::domain::{Digest, Failure};

/// The header in which official SDKs count their tries.
const RETRIES: &str = "x-stainless-retry-count";

/// A request's place in its conversation.
#[derive(Debug)]
pub struct Resumption {
    /// What the answer adds.
    pub answer: OpenAnswer,
    /// What is asked, apart from how the answer is delivered.
    pub asked: Digest,
    /// Whether the same request again certainly comes from the same client, which does not ask it on purpose.
    pub is_same_client: bool,
    /// What became of earlier turns, in words for the records.
    pub notes: Vec<String>,
}

impl Gateway {
    /// Puts back what earlier answers hid from this client, into a request that has been read.
    pub(super) async fn resume(
        &self,
        incoming: &Incoming,
        request: &mut Request,
        history: &History,
        injection: &Injection,
    ) -> Result<Resumption, Failure> {
        let dialect = incoming.operation.dialect;
        let scope =
            Scope::new(dialect.name(), &incoming.caller, &incoming.client, history.end_user.as_deref());
        let is_same_client = incoming.client.session.is_some() || is_retry(incoming);
        if let Some(last) = history.turns.last() {
            self.journals.end_earlier(scope.after(last.before), is_same_client).await;
        }
        let tool_set = injection.digest();
        let plan = self.continuity.plan(scope, dialect, request, history, tool_set).await;
        let plan = plan.map_err(unreadable)?;
        plan.apply(dialect, request, history);
        let asked = Digest::of_parts(&[
            incoming.operation.path.as_bytes(),
            incoming.provider.as_deref().unwrap_or_default().as_bytes(),
            &history.request.0,
        ]);
        let answer = plan.answer(scope, history);
        Ok(Resumption { answer, asked, is_same_client, notes: plan.notes })
    }
}

fn is_retry(incoming: &Incoming) -> bool {
    incoming.headers.get(RETRIES).is_some_and(|count| count.as_bytes() != b"0")
}
