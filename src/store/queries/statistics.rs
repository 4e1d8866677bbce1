//! Sums over many interceptions and calls. They come from hourly sums, which triggers keep; where a filter asks for what
//! those do not tell apart, from the rows themselves.

use std::str::FromStr;

use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::time_text;
use super::compose::number;
use super::filter::restrict_outcome;
use super::interceptions::tokens;
use super::{Filter, Sql, Tokens};

/// The most groups of one answer.
const MAX_GROUPS: i64 = 10_000;

/// Where a text of hours is cut: `2026-01-31T12`.
const HOUR: usize = 13;

/// By what interceptions are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its word")]
pub enum By {
    Day,
    Hour,
    User,
    Key,
    Provider,
    Model,
    Client,
    Dialect,
    Outcome,
}

/// By what calls are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its word")]
pub enum ToolBy {
    Day,
    Hour,
    Server,
    Tool,
    Injected,
    Outcome,
}

/// A word by which is told apart, and the expression for it.
pub trait Dimension: Copy + Sized + 'static {
    /// All of them.
    const ALL: &'static [(Self, &'static str, &'static str)];

    /// The word for it.
    fn word(self) -> &'static str;

    /// Reads words with commas between them.
    fn list(text: &str) -> Result<Vec<Self>, String> {
        let one = |word: &str| {
            let known = Self::ALL.iter().find(|(_, known, _)| *known == word.trim());
            known.map(|(by, ..)| *by).ok_or_else(|| {
                let words: Vec<_> = Self::ALL.iter().map(|(_, word, _)| *word).collect();
                format!("it is a list of {}", words.join(", "))
            })
        };
        text.split(',').map(one).collect()
    }
}

impl Dimension for By {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Day, "day", "SUBSTR(h.hour, 1, 10)"),
        (Self::Hour, "hour", "h.hour"),
        (Self::User, "user", "COALESCE(p.user_name, '')"),
        (Self::Key, "key", "COALESCE(c.key_name, '')"),
        (Self::Provider, "provider", "h.provider"),
        (Self::Model, "model", "h.model"),
        (Self::Client, "client", "h.client"),
        (Self::Dialect, "dialect", "h.dialect"),
        (Self::Outcome, "outcome", "h.outcome"),
    ];

    fn word(self) -> &'static str {
        word(self)
    }
}

impl Dimension for ToolBy {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Day, "day", "SUBSTR(h.hour, 1, 10)"),
        (Self::Hour, "hour", "h.hour"),
        (Self::Server, "server", "h.server"),
        (Self::Tool, "tool", "h.tool"),
        (Self::Injected, "injected", "CASE WHEN h.injected = 1 THEN 'true' ELSE 'false' END"),
        (Self::Outcome, "outcome", "h.outcome"),
    ];

    fn word(self) -> &'static str {
        word(self)
    }
}

fn word<D: Dimension + PartialEq>(by: D) -> &'static str {
    D::ALL.iter().find(|(known, ..)| *known == by).map_or("", |(_, word, _)| word)
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::list(text)?.pop().ok_or_else(String::new)
    }
}

/// Sums of ended interceptions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenStatistics {
    /// What these have in common, in the order asked for.
    pub group: Vec<String>,
    /// How many.
    pub interceptions: u64,
    /// Their rounds.
    pub rounds: u64,
    /// Injected calls that ran.
    pub injected_calls: u64,
    /// Calls of clients' own tools.
    pub client_calls: u64,
    /// Their tokens.
    pub tokens: Tokens,
    /// Their time, microseconds.
    pub total_us: u64,
    /// Waited for providers, microseconds.
    pub provider_us: u64,
    /// Waited for tools, microseconds.
    pub tools_us: u64,
}

/// Sums of calls that have an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ToolStatistics {
    /// What these have in common, in the order asked for.
    pub group: Vec<String>,
    /// How many.
    pub calls: u64,
    /// Their time, microseconds.
    pub duration_us: u64,
    /// Sizes of their results, bytes.
    pub result_bytes: u64,
    /// Of how many the model got less than the whole result.
    pub truncated: u64,
}

const USAGE_ROWS: &str = "(SELECT SUBSTR(i.started_at, 1, 13) AS hour, i.person, i.caller, i.provider, i.dialect, i.model, \
     i.client, i.outcome, 1 AS interceptions, i.rounds, i.injected_calls, i.client_calls, i.input, i.output, \
     i.cache_read, i.cache_write, i.reasoning, i.total_us, i.provider_us, i.tools_us FROM interceptions i \
     WHERE i.outcome IS NOT NULL";
const CALL_ROWS: &str = "(SELECT SUBSTR(t.recorded_at, 1, 13) AS hour, COALESCE(t.server, '') AS server, \
     COALESCE(t.server_tool, t.tool) AS tool, t.injected, t.outcome, 1 AS calls, t.duration_us, t.result_bytes, \
     t.truncated FROM tool_usage t JOIN interceptions i ON i.id = t.interception_id WHERE t.outcome IS NOT NULL";

const USAGE_SUMS: [&str; 12] = [
    "interceptions",
    "rounds",
    "injected_calls",
    "client_calls",
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "total_us",
    "provider_us",
    "tools_us",
];
const CALL_SUMS: [&str; 4] = ["calls", "duration_us", "result_bytes", "truncated"];

/// Sums of interceptions, by the hour in which they began; times count by whole hours.
pub async fn token_statistics(
    store: &Store,
    filter: &Filter,
    by: &[By],
) -> Result<Vec<TokenStatistics>, sqlx::Error> {
    let mut sql = select(by, &USAGE_SUMS);
    let is_summed = !filter.asks_for_calls()
        && filter.session.is_none()
        && filter.thread.is_none()
        && filter.text.is_none();
    if is_summed {
        sql.push("usage_hours h");
    } else {
        sql.push(USAGE_ROWS);
        hours(filter, |filter| filter.restrict_interceptions(&mut sql, store));
        sql.push(") h");
    }
    if by.contains(&By::User) {
        sql.push(" LEFT JOIN people p ON p.id = h.person");
    }
    if by.contains(&By::Key) {
        sql.push(" LEFT JOIN callers c ON c.id = h.caller");
    }
    sql.push(" WHERE true");
    if is_summed {
        restrict_hours(filter, &mut sql);
        filter.restrict_who(&mut sql, "h");
        sql.and_if("h.provider =", filter.provider.as_ref());
        sql.and_if("h.model =", filter.model.as_ref());
        sql.and_if("h.client =", filter.client.as_ref());
        restrict_outcome(&mut sql, "h.outcome", filter.outcome.as_deref());
    }
    finish(&mut sql, by, by.iter().any(|by| matches!(by, By::Day | By::Hour)));
    sql.fetch(store, |row| {
        let sum = |name| number(row, name).map(Option::unwrap_or_default);
        Ok(TokenStatistics {
            group: group(row, by.len())?,
            interceptions: sum("interceptions")?,
            rounds: sum("rounds")?,
            injected_calls: sum("injected_calls")?,
            client_calls: sum("client_calls")?,
            tokens: tokens(row)?,
            total_us: sum("total_us")?,
            provider_us: sum("provider_us")?,
            tools_us: sum("tools_us")?,
        })
    })
    .await
}

/// Sums of tool calls, by the hour in which they were recorded; times count by whole hours.
pub async fn tool_statistics(
    store: &Store,
    filter: &Filter,
    by: &[ToolBy],
) -> Result<Vec<ToolStatistics>, sqlx::Error> {
    let mut sql = select(by, &CALL_SUMS);
    let of_tools = Filter {
        server: filter.server.clone(),
        injected: filter.injected,
        outcome: filter.outcome.clone(),
        from: filter.from,
        to: filter.to,
        ..Filter::default()
    };
    let is_summed = *filter == of_tools;
    if is_summed {
        sql.push("tool_hours h WHERE true");
        restrict_hours(filter, &mut sql);
        sql.and_if("h.server =", filter.server.as_ref());
        if let Some(injected) = filter.injected {
            sql.and("h.injected =", i64::from(injected));
        }
        restrict_outcome(&mut sql, "h.outcome", filter.outcome.as_deref());
    } else {
        sql.push(CALL_ROWS);
        hours(filter, |filter| filter.restrict_calls(&mut sql, store));
        sql.push(") h WHERE true");
    }
    finish(&mut sql, by, by.iter().any(|by| matches!(by, ToolBy::Day | ToolBy::Hour)));
    sql.fetch(store, |row| {
        let sum = |name| number(row, name).map(Option::unwrap_or_default);
        Ok(ToolStatistics {
            group: group(row, by.len())?,
            calls: sum("calls")?,
            duration_us: sum("duration_us")?,
            result_bytes: sum("result_bytes")?,
            truncated: sum("truncated")?,
        })
    })
    .await
}

/// `SELECT` with the groups as `g0`, `g1` …, and the sums by their names.
fn select<D: Dimension + PartialEq>(by: &[D], sums: &[&str]) -> Sql {
    let mut sql = Sql::new("SELECT ");
    for (place, by) in by.iter().enumerate() {
        let expression = D::ALL.iter().find(|(known, ..)| known == by).map_or("''", |(.., sql)| sql);
        sql.push(&format!("{expression} AS g{place}, "));
    }
    for (place, sum) in sums.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        sql.push(&format!("{comma}CAST(COALESCE(SUM(h.{sum}), 0) AS BIGINT) AS {sum}"));
    }
    sql.push(" FROM ");
    sql
}

/// Groups and orders: by time with the newest first where time is among them, else the largest first.
fn finish<D>(sql: &mut Sql, by: &[D], is_over_time: bool) {
    if by.is_empty() {
        return;
    }
    let groups: Vec<String> = (1..=by.len()).map(|place| place.to_string()).collect();
    let first_sum = by.len() + 1;
    let order = if is_over_time { "1 DESC, " } else { "" };
    sql.push(&format!(
        " GROUP BY {} ORDER BY {order}{first_sum} DESC, {} LIMIT ",
        groups.join(", "),
        groups.join(", ")
    ));
    sql.value(MAX_GROUPS);
}

/// The same filter with its times at whole hours.
fn hours(filter: &Filter, restrict: impl FnOnce(&Filter)) {
    let whole = |time: jiff::Timestamp| {
        let options = jiff::TimestampRound::new().smallest(jiff::Unit::Hour).mode(jiff::RoundMode::Trunc);
        time.round(options).unwrap_or(time)
    };
    let to = filter
        .to
        .map(|to| if whole(to) == to { to } else { whole(to) + jiff::SignedDuration::from_hours(1) });
    restrict(&Filter { from: filter.from.map(whole), to, ..filter.clone() });
}

fn restrict_hours(filter: &Filter, sql: &mut Sql) {
    hours(filter, |whole| {
        let hour = |time| time_text(time)[..HOUR].to_owned();
        if let Some(from) = whole.from {
            sql.and("h.hour >=", hour(from));
        }
        if let Some(to) = whole.to {
            sql.and("h.hour <", hour(to));
        }
    });
}

fn group(row: &AnyRow, places: usize) -> Result<Vec<String>, sqlx::Error> {
    (0..places).map(|place| row.try_get(format!("g{place}").as_str())).collect()
}
