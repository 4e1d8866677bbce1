//! The records of each interception, until its end.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::super::open::Open;
use crate::audit::Published;
use crate::config::Record;
use crate::domain::{Caller, InterceptionId, Trace, Via};
use crate::store::records::{End, Outcome, Row, Start, Tokens, ToolUse};

/// The most records of one interception.
const MOST: usize = 2_000;
/// The most records of all.
const RECORDS: usize = 65_536;
/// The most that their texts may hold, bytes.
const TEXTS: usize = 64 << 20;

/// How the conventions call a tool call.
const TOOLS_CALL: &str = "tools/call";

/// An interception that has ended, with all of its records in between.
#[derive(Debug)]
pub(super) struct Interception {
    pub start: Start,
    pub end: End,
    pub caller: Option<Arc<Caller>>,
    pub records: Vec<Published>,
}

/// A tool call of it.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "it is the call's row")]
pub(super) struct Call<'a> {
    pub call: &'a ToolUse,
    pub arguments: &'a Published,
    pub outcome: Option<(&'a Outcome, &'a Published)>,
}

/// Interceptions that have not ended; bounded, for some never do.
#[derive(Debug)]
pub(super) struct Gathering {
    open: Open<Begun>,
    /// How many records there are of them, and how much text, bytes.
    records: usize,
    texts: usize,
    /// Whether texts are wanted.
    with_texts: bool,
    lost: usize,
}

#[derive(Debug)]
struct Begun {
    start: Start,
    caller: Option<Arc<Caller>>,
    records: Vec<Published>,
}

impl Gathering {
    pub(super) fn new(content: Record) -> Self {
        Self { open: Open::default(), records: 0, texts: 0, with_texts: content > Record::Digest, lost: 0 }
    }

    /// Takes a record; gives back its interception where this ends it.
    pub(super) fn take(&mut self, record: Published) -> Option<Interception> {
        let id = match &record.row {
            Row::Start(start) => {
                let begun =
                    Begun { start: (**start).clone(), caller: record.caller.clone(), records: Vec::new() };
                for gone in self.open.insert(start.id, begun) {
                    self.give_up(gone);
                }
                return None;
            }
            Row::End(end) => {
                let begun = self.open.remove(end.id)?;
                let Begun { start, caller, records } = self.release(begun);
                return Some(Interception { start, end: (**end).clone(), caller, records });
            }
            Row::Event(event) => {
                // Another gateway has ended it, and told of it in its own way.
                if let Some(begun) = event.late_end().and_then(|id| self.open.remove(id)) {
                    self.give_up(begun);
                }
                return None;
            }
            row => row.interception()?,
        };
        self.gather(id, record);
        None
    }

    fn gather(&mut self, id: InterceptionId, mut record: Published) {
        let Some(begun) = self.open.get_mut(id).filter(|begun| begun.records.len() < MOST) else {
            self.lost += 1;
            return;
        };
        if !self.with_texts {
            record.text = None;
        } else if self.texts + text_of(&record) > TEXTS {
            record.text = None;
            self.lost += 1;
        }
        self.records += 1;
        self.texts += text_of(&record);
        begun.records.push(record);
        if self.records > RECORDS
            && let Some(oldest) = self.open.remove_oldest()
        {
            self.give_up(oldest);
        }
    }

    fn release(&mut self, begun: Begun) -> Begun {
        self.records -= begun.records.len();
        self.texts -= begun.records.iter().map(text_of).sum::<usize>();
        begun
    }

    fn give_up(&mut self, begun: Begun) {
        self.lost += 1 + self.release(begun).records.len();
    }

    /// Records that belong to nothing, or for which or whose texts there was no room.
    pub(super) fn take_lost(&mut self) -> usize {
        std::mem::take(&mut self.lost)
    }
}

impl Interception {
    pub(super) fn trace(&self) -> Option<Trace> {
        self.start.trace.as_ref()?.parse().ok()
    }

    /// As the conventions call who answered; a gateway's provider speaks one company's API.
    pub(super) fn provider(&self) -> &'static str {
        match self.start.dialect.as_str() {
            "messages" => "anthropic",
            _ => "openai",
        }
    }

    /// Whether it is an MCP client's call.
    pub(super) fn is_mcp(&self) -> bool {
        self.start.dialect == "mcp"
    }

    pub(super) fn rounds(&self) -> impl Iterator<Item = (&Tokens, &Published)> {
        self.records.iter().filter_map(|record| match &record.row {
            Row::Tokens(row) => Some((&**row, record)),
            _ => None,
        })
    }

    /// The calls of the catalogue's tools, with their outcomes.
    pub(super) fn calls(&self) -> impl Iterator<Item = Call<'_>> {
        self.records.iter().filter_map(|record| match &record.row {
            Row::ToolUse(call) if call.injected => {
                let outcome = self.records.iter().find_map(|record| match &record.row {
                    Row::Outcome(outcome) if outcome.id == call.id => Some((outcome, record)),
                    _ => None,
                });
                Some(Call { call, arguments: record, outcome })
            }
            _ => None,
        })
    }
}

impl Call<'_> {
    /// The class of error that it ended with, if it did.
    pub(super) fn error(&self) -> Option<&str> {
        match self.outcome.map(|(outcome, _)| outcome.outcome.as_str()) {
            Some("ok" | "reused") => None,
            Some("timed_out") => Some("timeout"),
            Some(other) => Some(other),
            None => Some("unknown"),
        }
    }

    /// The MCP method: a client of the gateway's own endpoint may ask for other things than tools.
    pub(super) fn method(&self) -> &str {
        if self.is_passed_on() { &self.call.tool } else { TOOLS_CALL }
    }

    /// The tool's name as its server lists it; none where it is no tool of a server's.
    pub(super) fn tool(&self) -> Option<&str> {
        self.call.server_tool.as_deref().filter(|_| !self.is_passed_on())
    }

    /// When it went to a server and when that was over, if it went there.
    pub(super) fn sent(&self) -> Option<(Timestamp, Timestamp)> {
        let ended = self.ended();
        if self.is_passed_on() {
            let duration = self.outcome.and_then(|(outcome, _)| outcome.duration_us);
            return Some((before(ended, duration), ended));
        }
        self.call.intended_at.map(|began| (began, ended))
    }

    pub(super) fn ended(&self) -> Timestamp {
        self.outcome.map_or(self.call.recorded_at, |(outcome, _)| outcome.ended_at)
    }

    /// Whether it is a request that was passed on, under its method's name: no tool's name has a slash for models.
    fn is_passed_on(&self) -> bool {
        self.call.via.as_deref() == Some(Via::Mcp.word()) && self.call.tool.contains('/')
    }
}

fn text_of(record: &Published) -> usize {
    record.text.as_ref().map_or(0, |text| text.len())
}

/// The time so many microseconds before.
pub(super) fn before(end: Timestamp, micros: Option<u64>) -> Timestamp {
    let micros = SignedDuration::from_micros(i64::try_from(micros.unwrap_or(0)).unwrap_or(i64::MAX));
    end.checked_sub(micros).unwrap_or(end)
}

#[cfg(test)]
mod tests;
