//! Sums over many interceptions and calls. They come from daily sums, which triggers keep; where somebody asks for what
//! those do not tell apart, from the rows themselves.

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::super::Store;
use super::super::column::time_text;
use super::compose::number;
use super::conditions::Conditions;
use super::interceptions::tokens;
use super::{Filter, Sql, Tokens};

/// The most groups of one answer.
const MAX_GROUPS: i64 = 10_000;

/// Characters of a name that daily sums keep.
const NAME: usize = 120;
/// Where a time is cut to a day: `2026-01-31`.
const DAY: usize = 10;

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
        let all: Vec<Self> = text.split(',').map(one).collect::<Result<_, _>>()?;
        let is_twice = |place: usize| all[..place].iter().any(|earlier| earlier.word() == all[place].word());
        if (0..all.len()).any(is_twice) { Err("a word stands twice in it".to_owned()) } else { Ok(all) }
    }
}

impl Dimension for By {
    const ALL: &'static [(Self, &'static str, &'static str)] = &[
        (Self::Day, "day", "h.day"),
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
        (Self::Day, "day", "h.day"),
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

const USAGE_ROWS: &str = "(SELECT SUBSTR(i.started_at, 1, 10) AS day, SUBSTR(i.started_at, 1, 13) AS hour, i.person, i.caller, i.provider, i.dialect, i.model, \
     i.client, i.outcome, 1 AS interceptions, i.rounds, i.injected_calls, i.client_calls, i.input, i.output, \
     i.cache_read, i.cache_write, i.reasoning, i.total_us, i.provider_us, i.tools_us FROM interceptions i \
     WHERE i.outcome IS NOT NULL";
const CALL_ROWS: &str = "(SELECT SUBSTR(t.recorded_at, 1, 10) AS day, SUBSTR(t.recorded_at, 1, 13) AS hour, COALESCE(t.server, '') AS server, \
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

/// Sums of interceptions, by when they began; times count by whole days, or whole hours where sums are by the hour.
pub async fn token_statistics(
    store: &Store,
    filter: &Filter,
    by: &[By],
) -> Result<Vec<TokenStatistics>, sqlx::Error> {
    let filter = &whole(filter, by.contains(&By::Hour));
    let conditions = Conditions::of(store, filter).await?;
    let mut sql = select(by, &USAGE_SUMS);
    let sums = sums_for(filter, by);
    if let Some(table) = sums {
        sql.push(table).push(" h");
    } else {
        sql.push(USAGE_ROWS);
        conditions.restrict_interceptions(&mut sql);
        sql.push(") h");
    }
    if by.contains(&By::User) {
        sql.push(" LEFT JOIN people p ON p.id = h.person");
    }
    if by.contains(&By::Key) {
        sql.push(" LEFT JOIN callers c ON c.id = h.caller");
    }
    sql.push(" WHERE true");
    if sums.is_some() {
        restrict_days(filter, &mut sql);
        conditions.restrict_who(&mut sql, "h");
        sql.and_if("h.provider =", filter.provider.as_ref());
        sql.and_if("h.model =", filter.model.as_deref().map(cut).as_ref());
        sql.and_if("h.client =", filter.client.as_deref().map(cut).as_ref());
        conditions.restrict_outcome_of(&mut sql, "h.outcome");
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

/// The daily sums that tell apart all that is asked for, if some do.
fn sums_for(filter: &Filter, by: &[By]) -> Option<&'static str> {
    let any = |of: &[By]| by.iter().any(|by| of.contains(by));
    let of_calls = filter.server.is_some() || filter.tool.is_some() || filter.injected.is_some();
    if of_calls
        || filter.session.is_some()
        || filter.thread.is_some()
        || filter.text.is_some()
        || any(&[By::Hour])
    {
        return None;
    }
    let asks_who =
        any(&[By::User, By::Key]) || filter.user.is_some() || filter.key.is_some() || filter.group.is_some();
    let asks_what = any(&[By::Model, By::Client, By::Dialect, By::Outcome])
        || filter.model.is_some()
        || filter.client.is_some()
        || filter.outcome.is_some();
    match (asks_who, asks_what) {
        (false, _) => Some("usage_days"),
        (true, false) => Some("people_days"),
        (true, true) => None,
    }
}

/// Sums of tool calls, by when they were recorded; times count by whole days, or whole hours where sums are by the hour.
pub async fn tool_statistics(
    store: &Store,
    filter: &Filter,
    by: &[ToolBy],
) -> Result<Vec<ToolStatistics>, sqlx::Error> {
    let filter = &whole(filter, by.contains(&ToolBy::Hour));
    let conditions = Conditions::of(store, filter).await?;
    let mut sql = select(by, &CALL_SUMS);
    let of_tools = Filter {
        server: filter.server.clone(),
        injected: filter.injected,
        outcome: filter.outcome.clone(),
        from: filter.from,
        to: filter.to,
        ..Filter::default()
    };
    if *filter == of_tools && !by.contains(&ToolBy::Hour) {
        sql.push("tool_days h WHERE true");
        restrict_days(filter, &mut sql);
        sql.and_if("h.server =", filter.server.as_ref());
        if let Some(injected) = filter.injected {
            sql.and("h.injected =", i64::from(injected));
        }
        conditions.restrict_outcome_of(&mut sql, "h.outcome");
    } else {
        sql.push(CALL_ROWS);
        conditions.restrict_calls(&mut sql);
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

/// The same filter with its times at whole days or hours, so that nothing is left out.
fn whole(filter: &Filter, hours: bool) -> Filter {
    let step = SignedDuration::from_hours(if hours { 1 } else { 24 });
    let floor = |time: Timestamp| {
        let over = time.as_microsecond().rem_euclid(i64::try_from(step.as_micros()).unwrap_or(1));
        time.checked_sub(SignedDuration::from_micros(over)).unwrap_or(time)
    };
    let ceiling = |time: Timestamp| {
        let floor = floor(time);
        if floor == time { time } else { floor.checked_add(step).unwrap_or(time) }
    };
    Filter { from: filter.from.map(floor), to: filter.to.map(ceiling), ..filter.clone() }
}

/// A name as daily sums have it.
fn cut(name: &str) -> String {
    name.chars().take(NAME).collect()
}

fn restrict_days(filter: &Filter, sql: &mut Sql) {
    let day = |time| time_text(time)[..DAY].to_owned();
    if let Some(from) = filter.from {
        sql.and("h.day >=", day(from));
    }
    if let Some(to) = filter.to {
        sql.and("h.day <", day(to));
    }
}

fn group(row: &AnyRow, places: usize) -> Result<Vec<String>, sqlx::Error> {
    (0..places).map(|place| row.try_get(format!("g{place}").as_str())).collect()
}
