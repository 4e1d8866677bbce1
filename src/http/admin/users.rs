//! `GET /api/v1/users`.

use axum::extract::RawQuery;
use axum::response::Response;

use super::problem::Problem;
use super::question::Question;
use super::route::{List, Route};
use super::{Auditor, answer, failed};
use crate::store::queries::{self, Filter, User};

pub(super) fn routes() -> Vec<Route> {
    let list =
        Route::get("/users", list, "Those who have asked, the latest to come for the first time first");
    vec![list.needs("read_audit").filters(&Filter::OF_PEOPLE).paged().answers::<List<User>>()]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &Filter::OF_PEOPLE, &[])?;
    let reader = auditor.reads("users", &question).await?;
    let page = queries::users(reader.store(), &question.filter, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}
