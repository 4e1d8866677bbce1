//! Which records somebody asks for. Each filter is a name and a text, the same for the API and for the commands.

use jiff::{SpanRelativeTo, Timestamp};
use serde::Serialize;

use super::super::search::Search;
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
pub const MAX_VALUE: usize = 1024;

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

    /// The names alone: what interceptions, their conversations and their calls can be filtered by.
    pub const ALL: [&'static str; 15] = {
        let mut names = [""; 15];
        let mut at = 0;
        while at < names.len() {
            names[at] = Self::NAMES[at].0;
            at += 1;
        }
        names
    };

    /// What people and events can be filtered by.
    pub const OF_PEOPLE: [&'static str; 5] = ["user", "group", "key", "from", "to"];

    /// Sets the filter of this name; `false` where there is none of this name.
    pub fn set(&mut self, name: &str, value: &str, now: Timestamp) -> Result<bool, String> {
        if value.is_empty() || value.len() > MAX_VALUE || value.contains('\0') {
            let known = Self::NAMES.iter().any(|(known, _)| *known == name);
            return if known { Err(format!("it takes 1 to {MAX_VALUE} bytes of text")) } else { Ok(false) };
        }
        let text = Some(value.to_owned());
        match name {
            "user" => self.user = text,
            "group" if !value.contains(char::is_alphanumeric) => {
                return Err("it is a group's name, with a letter or digit in it".to_owned());
            }
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
}

/// A time, a day in UTC, or how long ago.
fn parse_time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
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
