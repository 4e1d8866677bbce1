//! `GET /api/v1/audit-events`: what was done with the records.

use axum::extract::RawQuery;
use axum::response::Response;

use super::problem::Problem;
use super::question::Question;
use super::route::{List, Route};
use super::{Auditor, answer, failed};
use crate::audit::Action;
use crate::store::queries::{self, AuditEvent, Filter};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::get("/audit-events", list, "What was done with the records, newest first")
        .needs("read_audit")
        .filters(&Filter::OF_PEOPLE)
        .parameter("action", "What was done: `read`, `export`, `prune`, `erase`, `close`, `late` or `lost`.");
    vec![list.paged().answers::<List<AuditEvent>>()]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &Filter::OF_PEOPLE, &["action"])?;
    let action = question.get("action").map(|word| Action::of_word(word).ok_or_else(unknown)).transpose()?;
    let reader = auditor.reads("audit_events", &question).await?;
    let page = queries::events(reader.store(), &question.filter, action, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}

fn unknown() -> Problem {
    let known = Action::ALL.map(Action::word).join(", ");
    Problem::parameter("action", format_args!("it is one of {known}"))
}
