//! `GET /api/v1/interceptions` and `GET /api/v1/interceptions/{id}`.

use axum::extract::RawQuery;
use axum::response::Response;

use super::problem::Problem;
use super::question::Question;
use super::route::{List, Route};
use super::{Auditor, Named, answer, failed};
use crate::audit::read::Whole;
use crate::domain::InterceptionId;
use crate::store::queries::{self, Filter, Interception};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/interceptions", list, "Requests of clients, newest first, without their texts")
            .needs("read_audit")
            .filters(&Filter::ALL)
            .paged()
            .answers::<List<Interception>>(),
        Route::get("/interceptions/{id}", show, "Everything about one request, texts and all")
            .needs("read_audit")
            .answers::<Whole>(),
    ]
}

async fn list(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, page) = Question::of_page(query.as_deref(), &Filter::ALL, &[])?;
    let reader = auditor.reads("interceptions", &question).await?;
    let page = queries::interceptions(reader.store(), &question.filter, &page).await.map_err(failed)?;
    Ok(answer(&List::from(page)))
}

async fn show(auditor: Auditor, Named(id): Named) -> Result<Response, Problem> {
    let none = || Problem::not_found(format!("there is no interception {id:?}"));
    let id: InterceptionId = id.parse().map_err(|_| none())?;
    let reader = auditor.reads_one("interception", id).await?;
    Ok(answer(&reader.whole(id).await.map_err(failed)?.ok_or_else(none)?))
}
