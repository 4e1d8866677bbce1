//! `GET /api/v1/audit-events`: what was done with the records.

use axum::extract::RawQuery;
use axum::response::Response;

use super::problem::Problem;
use super::question::{OF_PEOPLE, Question};
use super::route::{List, Route};
use super::{Auditor, answer, failed};
use crate::store::queries::{self, AuditEvent};

/// What is done with records.
const ACTIONS: [&str; 7] = ["read", "export", "prune", "erase", "close", "late", "lost"];

pub(super) fn routes() -> Vec<Route> {
    let list = Route::get("/audit-events", list, "What was done with the records, newest first")
        .needs("read_audit")
        .filters(&OF_PEOPLE)
        .parameter("action", "What was done: `read`, `export`, `prune`, `erase`, `close`, `late` or `lost`.");
    vec![list.paged().answers::<List<AuditEvent>>()]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &OF_PEOPLE, &["action"])?;
    let action = question.get("action");
    if action.is_some_and(|action| !ACTIONS.contains(&action.as_str())) {
        return Err(Problem::parameter("action", format_args!("it is one of {}", ACTIONS.join(", "))));
    }
    let reader = auditor.reads("audit_events", &question).await?;
    let page = queries::events(reader.store(), &question.filter, action, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}
