//! `GET /api/v1/threads` and `GET /api/v1/threads/{id}`: conversations.

use axum::extract::RawQuery;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::question::Question;
use super::route::{List, Route};
use super::{Auditor, Named, answer, failed};
use crate::audit::read::Whole;
use crate::domain::InterceptionId;
use crate::store::queries::{self, Filter, Thread};

/// Interceptions in one answer where nobody says how many: each with all its texts.
const LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 50;

/// A conversation as it went.
#[derive(Debug, Serialize, JsonSchema)]
struct Conversation {
    thread: Thread,
    /// Its interceptions in their order, texts and all.
    interceptions: Vec<Whole>,
    /// Given as `after`, it leads on; null at the end.
    next: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/threads",
            list,
            "Conversations by their beginnings, newest first: those with a request that fits",
        )
        .needs("read_audit")
        .filters(&Filter::ALL)
        .paged()
        .answers::<List<Thread>>(),
        Route::get("/threads/{id}", show, "One conversation from its beginning, texts and all")
            .needs("read_audit")
            .parameter("after", "The `next` of an earlier answer: where to go on.")
            .parameter("limit", "The most requests: 1 to 50, 20 by default.")
            .answers::<Conversation>(),
    ]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &Filter::ALL, &[])?;
    let reader = auditor.reads("threads", &question).await?;
    let page = queries::threads(reader.store(), &question.filter, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}

async fn show(auditor: Auditor, Named(id): Named, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let question = Question::read(query.as_deref(), &[], &["after", "limit"])?;
    let (after, limit) = (question.parsed("after")?, question.limit(LIMIT, MAX_LIMIT)?);
    let none = || Problem::not_found(format!("there is no conversation {id:?}"));
    let id: InterceptionId = id.parse().map_err(|_| none())?;
    let reader = auditor.reads_one("thread", id).await?;
    let thread = queries::thread(reader.store(), id).await.map_err(failed)?.ok_or_else(none)?;
    let (interceptions, next) = reader.conversation(id, after, limit).await.map_err(failed)?;
    Ok(answer(&Conversation { thread, interceptions, next: next.map(|cursor| cursor.to_string()) }))
}
