//! Which records somebody asks for. Each filter is a name and a text, the same for the API and for the commands.

use jiff::{SpanRelativeTo, Timestamp};
use serde::Serialize;

use super::super::Store;
use super::super::column::time_text;
use super::super::search::Search;
use super::{RUNNING, Sql};
use crate::domain::InterceptionId;

/// What has to be true of a record; what is not set is not asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Filter {
    /// The caller's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// One of the caller's groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The name of the caller's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The client program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The requested model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The MCP server of a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tool of a call: its name as the model sees it, or `server/tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Whether a call was of an injected tool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub injected: Option<bool>,
    /// How it ended, or `running`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Began then or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Began earlier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// The client's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The first interception of the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<InterceptionId>,
    /// Words that stand in one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The longest value of a filter, bytes.
const MAX_VALUE: usize = 1024;

impl Filter {
    /// The names and what they mean, in the order in which they are listed.
    pub const NAMES: [(&'static str, &'static str); 15] = [
        ("user", "The caller's user."),
        ("group", "One of the caller's groups."),
        ("key", "The name of the caller's key."),
        ("client", "The client program."),
        ("provider", "The provider's name."),
        ("model", "The requested model."),
        ("server", "The MCP server of a call."),
        ("tool", "The tool of a call: its name as the model sees it, or `server/tool`."),
        ("injected", "Whether a call was of an injected tool: `true` or `false`."),
        ("outcome", "How it ended, or `running`."),
        ("from", "Began then or later: a time (RFC 3339), a day, or how long ago, such as `24h` or `7d`."),
        ("to", "Began earlier than this."),
        ("session", "The client's own session id."),
        ("thread", "The id of the conversation: of its first interception."),
        ("text", "Words, all of which stand in one text."),
    ];

    /// Sets the filter of this name; `false` where there is none of this name.
    pub fn set(&mut self, name: &str, value: &str, now: Timestamp) -> Result<bool, String> {
        if value.is_empty() || value.len() > MAX_VALUE || value.contains('\0') {
            let known = Self::NAMES.iter().any(|(known, _)| *known == name);
            return if known { Err(format!("it takes 1 to {MAX_VALUE} bytes of text")) } else { Ok(false) };
        }
        let text = Some(value.to_owned());
        match name {
            "user" => self.user = text,
            "group" => self.group = text,
            "key" => self.key = text,
            "client" => self.client = text,
            "provider" => self.provider = text,
            "model" => self.model = text,
            "server" => self.server = text,
            "tool" => self.tool = text,
            "outcome" => self.outcome = text,
            "session" => self.session = text,
            "injected" => self.injected = Some(value.parse().map_err(|_| "it is `true` or `false`")?),
            "from" => self.from = Some(parse_time(value, now)?),
            "to" => self.to = Some(parse_time(value, now)?),
            "thread" => self.thread = Some(value.parse().map_err(|_| "it is an interception's id")?),
            "text" => {
                Search::new(value).ok_or("it has no word to search for")?;
                self.text = text;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Restricts `interceptions i`.
    pub(super) fn restrict_interceptions(&self, sql: &mut Sql, store: &Store) {
        self.restrict_started(sql, "i.started_at");
        restrict_outcome(sql, "i.outcome", self.outcome.as_deref());
        self.restrict_callers(sql, store);
        if self.asks_for_calls() {
            sql.push(" AND EXISTS (SELECT 1 FROM tool_usage t WHERE t.interception_id = i.id");
            self.restrict_tools(sql);
            sql.push(")");
        }
    }

    /// Restricts `tool_usage t`, beside `interceptions i`.
    pub(super) fn restrict_calls(&self, sql: &mut Sql, store: &Store) {
        self.restrict_started(sql, "t.recorded_at");
        restrict_outcome(sql, "t.outcome", self.outcome.as_deref());
        self.restrict_tools(sql);
        self.restrict_callers(sql, store);
    }

    /// What is known of an interception from its start, but when that was.
    fn restrict_callers(&self, sql: &mut Sql, store: &Store) {
        self.restrict_who(sql, "i");
        sql.and_if("i.provider =", self.provider.as_ref());
        sql.and_if("i.model =", self.model.as_ref());
        sql.and_if("i.client =", self.client.as_ref());
        sql.and_if("i.client_session =", self.session.as_ref());
        if let Some(thread) = self.thread {
            sql.and("i.thread =", thread.to_string());
        }
        if let Some(search) = self.text.as_deref().and_then(Search::new) {
            search.restrict(sql, "i.id", store.database());
        }
    }

    /// Restricts the columns `person` and `caller` of this table.
    pub(super) fn restrict_who(&self, sql: &mut Sql, table: &str) {
        if let Some(user) = &self.user {
            sql.push(&format!(" AND {table}.person IN (SELECT id FROM people WHERE user_name = "));
            sql.value(user.as_str()).push(")");
        }
        if self.key.is_some() || self.group.is_some() {
            sql.push(&format!(" AND {table}.caller IN (SELECT id FROM callers WHERE true"));
            self.restrict_keys(sql);
            sql.push(")");
        }
    }

    /// Restricts `callers`.
    pub(super) fn restrict_keys(&self, sql: &mut Sql) {
        sql.and_if("key_name =", self.key.as_ref());
        if let Some(group) = &self.group {
            // As it stands in the array, quotes and all; unlike LIKE, both databases do this letter by letter.
            let quoted = serde_json::Value::from(group.as_str()).to_string();
            sql.push(" AND REPLACE(group_names, ").value(quoted).push(", '') <> group_names");
        }
    }

    fn restrict_tools(&self, sql: &mut Sql) {
        sql.and_if("t.server =", self.server.as_ref());
        match self.tool.as_deref().map(|tool| tool.split_once('/').ok_or(tool)) {
            Some(Ok((server, tool))) => {
                sql.and("t.server =", server).and("t.server_tool =", tool);
            }
            Some(Err(tool)) => {
                sql.and("t.tool =", tool);
            }
            None => {}
        }
        if let Some(injected) = self.injected {
            sql.and("t.injected =", i64::from(injected));
        }
    }

    pub(super) fn restrict_started(&self, sql: &mut Sql, column: &str) {
        if let Some(from) = self.from {
            sql.and(&format!("{column} >="), time_text(from));
        }
        if let Some(to) = self.to {
            sql.and(&format!("{column} <"), time_text(to));
        }
    }

    pub(super) fn asks_for_calls(&self) -> bool {
        self.server.is_some() || self.tool.is_some() || self.injected.is_some()
    }
}

pub(super) fn restrict_outcome(sql: &mut Sql, column: &str, outcome: Option<&str>) {
    match outcome {
        Some(RUNNING) => {
            sql.push(&format!(" AND {column} IS NULL"));
        }
        Some(outcome) => {
            sql.and(&format!("{column} ="), outcome);
        }
        None => {}
    }
}

/// A time, a day in UTC, or how long ago.
pub fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        let start = day.to_zoned(jiff::tz::TimeZone::UTC).map(|zoned| zoned.timestamp());
        return start.map_err(|error| error.to_string());
    }
    let ago =
        text.parse::<jiff::Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    ago.ok().and_then(|ago| now.checked_sub(ago.abs()).ok()).ok_or_else(|| {
        "it is a time such as 2026-01-31T12:00:00Z, a day such as 2026-01-31, or how long ago, such as 24h or 7d"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_times_days_or_how_long_ago() {
        let now: Timestamp = "2026-02-01T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-31T12:00:00+01:00", "2026-01-31T11:00:00Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
            ("24h", "2026-01-31T12:00:00Z"),
            ("7d", "2026-01-25T12:00:00Z"),
            ("90m", "2026-02-01T10:30:00Z"),
        ] {
            assert_eq!(parse_time(text, now).unwrap().to_string(), expected, "{text}");
        }
        for wrong in ["", "yesterday", "7", "2026-13-01", "99999999d"] {
            parse_time(wrong, now).unwrap_err();
        }
    }

    #[test]
    fn every_name_is_a_filter_and_says_what_is_wrong() {
        let now = Timestamp::UNIX_EPOCH;
        for (name, _) in Filter::NAMES {
            let value = match name {
                "injected" => "true",
                "from" | "to" => "1d",
                "thread" => "01999999-0000-7000-8000-00000000000a",
                _ => "a",
            };
            let mut filter = Filter::default();
            assert!(filter.set(name, value, now).unwrap(), "{name}");
            assert_ne!(filter, Filter::default(), "{name}");
            filter.set(name, "", now).unwrap_err();
        }
        let mut filter = Filter::default();
        assert!(!filter.set("colour", "red", now).unwrap());
        for (name, wrong) in
            [("injected", "1"), ("thread", "x"), ("from", "soon"), ("text", "*"), ("user", "a\0")]
        {
            filter.set(name, wrong, now).unwrap_err();
        }
    }
}
