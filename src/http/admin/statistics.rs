//! `GET /api/v1/stats/tokens` and `GET /api/v1/stats/tools`: sums over many requests and calls.

use axum::extract::RawQuery;
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use super::problem::Problem;
use super::question::Question;
use super::route::Route;
use super::{Auditor, answer, failed};
use crate::store::queries::{self, By, Dimension, Filter, TokenStatistics, ToolBy, ToolStatistics};

/// Sums, by time with the newest first, else with the largest first.
#[derive(Debug, Serialize, JsonSchema)]
struct Statistics<T> {
    /// By what they are told apart.
    by: Vec<&'static str>,
    /// The sums; at most 10000.
    items: Vec<T>,
}

pub(super) fn routes() -> Vec<Route> {
    let tokens = Route::get(
        "/stats/tokens",
        tokens,
        "Ended requests and their tokens, in sums; times count by whole days, or hours where these are asked for",
    );
    let tools = Route::get(
        "/stats/tools",
        tools,
        "Tool calls with an outcome, in sums; times count by whole days, or hours where these are asked for",
    );
    vec![
        of::<By>(tokens).answers::<Statistics<TokenStatistics>>(),
        of::<ToolBy>(tools).answers::<Statistics<ToolStatistics>>(),
    ]
}

fn of<D: Dimension>(route: Route) -> Route {
    let words: Vec<_> = D::ALL.iter().map(|(_, word, _)| format!("`{word}`")).collect();
    let meaning = format!(
        "By what sums are told apart, with commas between: {}; one sum by default.",
        words.join(", ")
    );
    route.needs("read_audit").filters(&Filter::ALL).parameter("by", meaning)
}

async fn tokens(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, by) = question::<By>(query.as_deref())?;
    let reader = auditor.reads("token_statistics", &question).await?;
    let items = queries::token_statistics(reader.store(), &question.filter, &by).await.map_err(failed)?;
    Ok(answer(&Statistics { by: by.into_iter().map(Dimension::word).collect(), items }))
}

async fn tools(auditor: Auditor, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let (question, by) = question::<ToolBy>(query.as_deref())?;
    let reader = auditor.reads("tool_statistics", &question).await?;
    let items = queries::tool_statistics(reader.store(), &question.filter, &by).await.map_err(failed)?;
    Ok(answer(&Statistics { by: by.into_iter().map(Dimension::word).collect(), items }))
}

fn question<D: Dimension>(query: Option<&str>) -> Result<(Question, Vec<D>), Problem> {
    let question = Question::read(query, &Filter::ALL, &["by"])?;
    let by = question.get("by").map(|text| D::list(text)).transpose();
    let by = by.map_err(|why| Problem::parameter("by", why))?.unwrap_or_default();
    Ok((question, by))
}
