//! `GET /api/v1/tool-calls`.

use axum::extract::RawQuery;
use axum::response::Response;

use super::problem::Problem;
use super::question::Question;
use super::route::{List, Route};
use super::{Auditor, answer, failed};
use crate::store::queries::{self, Filter, ToolCall};

pub(super) fn routes() -> Vec<Route> {
    let list = Route::get("/tool-calls", list, "Calls of injected tools and of clients' own, newest first");
    vec![list.needs("read_audit").filters(&Filter::ALL).paged().answers::<List<ToolCall>>()]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &Filter::ALL, &[])?;
    let reader = auditor.reads("tool_calls", &question).await?;
    let page = queries::tool_calls(reader.store(), &question.filter, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}
