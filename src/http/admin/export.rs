//! `GET /api/v1/export/{what}`: records as a file, made while it is sent.

use axum::body::Body;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::{HeaderValue, header};
use jiff::Timestamp;
use serde_json::json;

use super::problem::Problem;
use super::question::Question;
use super::route::Route;
use super::{Auditor, Named};
use crate::audit::Action;
use crate::audit::export::{Export, Format, What};
use crate::store::queries::Filter;

const CSV: &str = "text/csv; charset=utf-8; header=present";
const JSONL: &str = "application/jsonl";

pub(super) fn routes() -> Vec<Route> {
    let whole = "Records as a file, newest first: `interceptions`, `tool-calls` or `audit-events`";
    let route = Route::get("/export/{what}", export, whole).needs("read_audit").filters(&Filter::ALL);
    vec![route.parameter("format", "`jsonl` (default) or `csv`.").streams(&["application/jsonl", "text/csv"])]
}

async fn export(
    auditor: Auditor,
    Named(what): Named,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let known = What::ALL.iter().find(|(_, word)| *word == what);
    let (what, word) = known.ok_or_else(|| Problem::not_found(format!("there is no export of {what:?}")))?;
    let filters = if *what == What::AuditEvents { &Filter::OF_PEOPLE[..] } else { &Filter::ALL };
    let question = Question::read(query.as_deref(), filters, &["format"])?;
    let (format, content_type, suffix) = match question.get("format").map(String::as_str) {
        None | Some("jsonl") => (Format::Jsonl, JSONL, "jsonl"),
        Some("csv") => (Format::Csv, CSV, "csv"),
        Some(_) => return Err(Problem::parameter("format", "it is `jsonl` or `csv`")),
    };
    let reader = auditor.0.gateway.reader.clone();
    let told = question.told(&reader).await?;
    auditor.0.read(Action::Export, json!({"what": word, "question": told})).await?;
    let export = Export::new(reader.store().clone(), *what, question.filter, Timestamp::now());
    // The next page is read when the client has taken the last one.
    let pieces = stream::try_unfold((export, reader), move |(mut export, reader)| async move {
        let _turn = reader.turn().await;
        let piece = export.next_piece(format).await.inspect_err(|error| {
            tracing::error!(%error, "an export broke off: the records cannot be read");
        })?;
        Ok::<_, crate::store::StoreError>(piece.map(|piece| (piece, (export, reader))))
    });
    let name = format!("attachment; filename=\"toolgate-{word}.{suffix}\"");
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.extend(HeaderValue::from_str(&name).ok().map(|name| (header::CONTENT_DISPOSITION, name)));
    Ok(response)
}
